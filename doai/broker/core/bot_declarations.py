"""What a bot says of itself, refused in one sentence where it can not be (steps 2, 14)."""

from __future__ import annotations

import math
from typing import Final

import msgspec

from doai import topics
from doai.errors import UserError
from doai.json_schema import schema_mistakes
from doai.limits import BOT_DECLARED_BYTES_MAX, SUBSCRIPTIONS_PER_BOT_MAX
from doai.messages.bots import RegisterBot

NAME_CHARS_MAX: Final = 100
NO_PATTERN: Final = "{!r} is no pattern of types: words joined by dots, * is one, a last ** any"


def check_declared(wish: RegisterBot) -> None:
    """Raise UserError for what can not be."""
    if len(msgspec.json.encode(wish)) > BOT_DECLARED_BYTES_MAX:
        raise UserError(f"a bot says at most {BOT_DECLARED_BYTES_MAX} bytes of itself", code="too_large")
    if len(wish.subscriptions) > SUBSCRIPTIONS_PER_BOT_MAX:
        raise UserError(f"a bot has at most {SUBSCRIPTIONS_PER_BOT_MAX} subscriptions", code="too_many")
    names = [subscription.name for subscription in wish.subscriptions]
    if len(set(names)) != len(names) or not all(0 < len(name) <= NAME_CHARS_MAX for name in names):
        raise UserError("each subscription has a name of its own, of 1-100 characters", code="bad_subscription")
    for subscription in wish.subscriptions:
        if not 0 <= subscription.every_s < math.inf:
            # As JSON, in which a bot is kept, there is neither NaN nor infinity.
            text = (
                f"{subscription.name} can not be told every {subscription.every_s:g} s: give seconds, 0 = as usual"
            )
            raise UserError(text, code="bad_subscription")
        for pattern in [*subscription.topics, *subscription.samples]:
            if not topics.is_pattern(pattern):
                raise UserError(NO_PATTERN.format(pattern[:80]), code="bad_subscription")
    for kind in wish.task_kinds:
        if not topics.is_kind(kind):
            raise UserError(f"{kind[:80]!r} is no kind of tasks: words joined by dots", code="bad_kind")
    mistakes = schema_mistakes(wish.config_schema)
    if mistakes:
        raise UserError(f"the configuration that it declares can not be checked: {mistakes[0]}", code="bad_schema")
