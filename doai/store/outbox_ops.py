"""Moved to doai.changes.outbox (cores may not import the store); import from there. This shim goes away soon."""

from doai.changes.outbox import *  # noqa: F403
