"""The simulated Android phone: a TCP server that speaks the ADB daemon's protocol (way of a task: 9).

A real adb server connects to it with `host:connect:127.0.0.1:PORT` and cannot tell it from a phone.

Begin at `doai.phone.shelf`: `async with open_shelf(count=20, seed=1) as shelf:` opens a shelf of
phones; each `shelf.phones[i]` has `.port`, `.serial`, `.journal` and `.order(Fault..., ...)`.
`bin/phones` runs a shelf as a program, and `doai.phone.control` orders its faults from another process.

Reading order, from the outside in: `shelf` -> `phone` -> `connection` -> `services` -> `shell` and
`commands/` -> `device` -> `apps`, `screens`, `media`, `power`, `files`. What decides (all from `shell`
inwards) is sans-IO: time is an argument and effects are data. `faults` lists what can be ordered.
"""
