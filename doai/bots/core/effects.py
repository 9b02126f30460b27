"""What a bot's core is made of and what it wants done, as data (step 14)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from doai.bots.core.boxes import Samples, Tasks, Timer
from doai.bots.core.session import Answered
from doai.bots.core.subscription import Subscription
from doai.bots.core.work import Cut, Note, Start
from doai.link.actions import OpenSocket, SendFrame
from doai.messages.bots import BotSettings


class StopBot(msgspec.Struct, frozen=True):
    """End the process."""

    reason: str
    exit_code: int


class Settled(msgspec.Struct, frozen=True):
    """The bot is registered and subscribed, or an operator changed what is wanted of it."""

    settings: BotSettings


class RunsFollowed(msgspec.Struct, frozen=True):
    """From now on `RunEnded` follows for each run that ends; what ended before is to be looked for."""

    problem: str
    """Why it does not, one sentence; empty = it does."""


class RunEnded(msgspec.Struct, frozen=True):
    """A run is over."""

    run_id: str


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """What the bot is called for, by the name of its handler."""

    events: Mapping[str, Subscription]
    samples: Mapping[str, Samples]
    timers: Mapping[str, Timer]
    tasks: Mapping[str, Tasks]
    """By kind."""


class ExitCodes(msgspec.Struct, frozen=True):
    """With which the process ends, by what ended it."""

    stopped: int
    refused: int
    fenced: int


CoreEffect = OpenSocket | SendFrame | Start | Cut | Answered | Settled | RunsFollowed | RunEnded | Note | StopBot
