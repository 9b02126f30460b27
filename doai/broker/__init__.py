"""The broker: the only writer, the only scheduler; binds the ROUTER (steps 2-5, 12 and 13).

- `core`: decides, sans-IO. `shell`: performs, on trio. `app`: puts the two, store and wire together.
- `config`: the settings of the program.
"""
