"""Bots: processes that hear of events, take tasks of their kind, and give commands (step 14).

What an author imports is here; docs/tutorials/your-first-bot.md is the way in. `bot.py` has the decorators,
`context.py` what handlers are given, `core/` what decides, `shell.py` what performs, `testing.py` a mesh for tests.
"""

from doai.bots.bot import Bot
from doai.bots.context import Context
from doai.bots.errors import BotError, CommandRefused, GiveUp, NoAnswer, SecretMissing
from doai.bots.payloads import Fields
from doai.bots.results import QueryFailed, RunResult, TaskResult
from doai.bots.stored_apps import StoredApp

__all__ = [
    "Bot",
    "BotError",
    "CommandRefused",
    "Context",
    "Fields",
    "GiveUp",
    "NoAnswer",
    "QueryFailed",
    "RunResult",
    "SecretMissing",
    "StoredApp",
    "TaskResult",
]
