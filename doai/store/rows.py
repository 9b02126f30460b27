"""Moved to doai.changes.rows (cores may not import the store); import from there. This shim goes away soon."""

from doai.changes.rows import *  # noqa: F403
