"""Which database engines this installation has (before all steps)."""

from __future__ import annotations

import sqlite3

import apsw


def sqlite_versions() -> dict[str, str]:
    """Return the versions of SQLite by who uses them: ``writer`` (broker and node) and ``reader`` (admin)."""
    return {"writer": apsw.sqlite_lib_version(), "reader": sqlite3.sqlite_version}
