"""The configuration of a bot as an operator sets it, read while the bot runs (step 14)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from doai.bots.bot import Bot
from doai.errors import ConfigError
from doai.workflow.duration import DurationError, parse_duration


class Interval(msgspec.Struct, frozen=True):
    """How often a handler of time runs, where the configuration may say otherwise."""

    handler: str
    setting: str
    default_s: float

    def seconds(self, config: msgspec.Struct) -> float:
        """Return it by a configuration; raises ConfigError."""
        value = getattr(config, self.setting)
        if value in (None, ""):
            return self.default_s
        if isinstance(value, int | float):
            seconds = float(value)
        else:
            try:
                seconds = parse_duration(str(value))
            except DurationError as error:
                raise ConfigError(f"the setting {self.setting}: {error}") from None
        if seconds < 0.1:
            raise ConfigError(f"the setting {self.setting} can not be {value!r}: 100ms is the shortest")
        return seconds


def intervals(bot: Bot) -> list[Interval]:
    """Return the handlers whose interval is a setting."""
    return [Interval(h.name, h.setting, h.every_s) for h in bot.handlers.values() if h.setting]


def config_of(bot: Bot, values: Mapping[str, Any]) -> msgspec.Struct:
    """Return the configuration with these values, defaults for the rest; raises ConfigError."""
    try:
        config: msgspec.Struct = msgspec.convert(dict(values), bot.config_type)
    except msgspec.ValidationError as error:
        raise ConfigError(f"the configuration of {bot.name} does not fit: {error}") from None
    return config


def limit_of(bot: Bot, config: msgspec.Struct) -> int:
    """Return how many handlers may run at once."""
    wanted = getattr(config, "max_concurrent", None)
    return wanted if isinstance(wanted, int) and wanted >= 1 else bot.max_concurrent
