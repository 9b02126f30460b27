"""What one check of `doai doctor` found, and how findings look (before all steps)."""

from __future__ import annotations

import enum
from typing import Any

import msgspec


class Verdict(enum.Enum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    """It works, and something of it will not."""
    FAIL = "fail"
    """Something can not work."""


class Finding(msgspec.Struct, frozen=True):
    """One sentence on one thing, and what to do about it."""

    check: str
    verdict: Verdict
    message: str
    advice: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it as `--json` shows it."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        return fields


def ok(check: str, message: str) -> Finding:
    """Return that something is as it should be."""
    return Finding(check, Verdict.OK, message)


def warn(check: str, message: str, advice: str) -> Finding:
    """Return that something will not do for long."""
    return Finding(check, Verdict.WARN, message, advice)


def fail(check: str, message: str, advice: str) -> Finding:
    """Return that something can not work."""
    return Finding(check, Verdict.FAIL, message, advice)
