"""The fake driver: devices in memory, for tests and for fleets of thousands (step 9).

A fake phone answers with the pure model of the simulated phone (doai.phone), without adb, sockets or Pillow, and
costs below 2 KB until its first command makes that model. `driver` is what a node holds, `scripts` what can be
ordered, `phone` one device's state, `device` what steps call.
"""
