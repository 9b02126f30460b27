"""Every name of the vendor's protocol that is used, in one place, so that it can be corrected (step 9).

Source: the OEM manual of the program (API, `list`, `adb`, `adb_shell`) and a probe of its version 9.10.113.
"""

from __future__ import annotations

from typing import Final

DEFAULT_URL: Final = "ws://127.0.0.1:22222"
"""Where the program listens once its `config.toml` has `port=22222` and `switch=true`."""

ACTION: Final = "action"
DEVICES: Final = "devices"
DATA: Final = "data"
COMMAND: Final = "command"
"""Field of `data` of both adb actions."""

LIST: Final = "list"
SHELL: Final = "adb_shell"
"""The part of a command line after `adb shell`; `data` of the answer maps a serial to what was written."""
ADB: Final = "adb"
"""A whole adb command line, paths in double quotes; `data` of the answer as of SHELL."""

SUCCESS: Final = 10000
FAILURE: Final = 10001

AWAY: Final = frozenset({"offline", "0", "false", "disconnected"})
"""Texts of a listed phone's `status` that mean that it can not be used."""
WITHOUT_ADB: Final = frozenset({"3"})
"""Values of a listed phone's `mode` in which the program has no adb: 3 = over accessibility."""
