"""The exit codes of doai.exits, as the commands import them (all steps)."""

from __future__ import annotations

from doai.exits import (
    CANCELLED,
    CONFIG,
    EXPIRED,
    FENCED,
    INTERNAL,
    INTERRUPTED,
    IO_ERROR,
    NO_PERMISSION,
    NOT_PASSED,
    PARTIAL,
    PASSED,
    UNAVAILABLE,
    USAGE,
)

__all__ = [
    "CANCELLED",
    "CONFIG",
    "EXPIRED",
    "FENCED",
    "INTERNAL",
    "INTERRUPTED",
    "IO_ERROR",
    "NOT_PASSED",
    "NO_PERMISSION",
    "PARTIAL",
    "PASSED",
    "UNAVAILABLE",
    "USAGE",
]
