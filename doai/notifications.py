"""Names on which notify-bot and those who ask it agree: of the bot, of its tasks, of what came of a test."""

from __future__ import annotations

from typing import Final

import msgspec

NOTIFY_BOT: Final = "notify-bot"
OWN_KINDS: Final = "notify."
"""Kinds of its tasks begin so: their ends are told to nobody."""
TEST_KIND: Final = f"{OWN_KINDS}test"
SEND_KIND: Final = f"{OWN_KINDS}send"


class ChannelTest(msgspec.Struct, frozen=True):
    """Parameters of a test of one channel."""

    channel: str


class ChannelTested(msgspec.Struct, frozen=True, rename="camel"):
    """Outputs of a test, and of a message that was tried again."""

    channel: str
    sent: bool
    problem: str = ""
