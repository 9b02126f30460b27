"""Exit codes of all programs, after sysexits.h where it has one (all steps)."""

from __future__ import annotations

from typing import Final

PASSED: Final = 0
NOT_PASSED: Final = 1
"""It ran and the answer is no: a task did not pass, something was not found, a command was refused."""
USAGE: Final = 2
"""The command line can not be understood (argparse's own code)."""
CANCELLED: Final = 3
"""Of a run that was waited for: none of its tasks failed, and some were cancelled."""
EXPIRED: Final = 4
"""Of a run that was waited for: none of its tasks failed, and some expired before they began."""
PARTIAL: Final = 5
"""It was done in part: what was left out is named."""
UNAVAILABLE: Final = 69
"""Something that is needed does not answer, or a port is in use."""
INTERNAL: Final = 70
IO_ERROR: Final = 74
"""The store can not be written: its outcome is unknown, the process must start again."""
FENCED: Final = 76
"""The broker will not hear this process: a copy of its data is in use, or its key was revoked."""
NO_PERMISSION: Final = 77
CONFIG: Final = 78
"""Settings are missing or wrong, or the store is newer than this program: starting again does not help."""
INTERRUPTED: Final = 130
