"""Moved to doai.changes.ops (cores may not import the store); import from there. This shim goes away soon."""

from doai.changes.ops import *  # noqa: F403
