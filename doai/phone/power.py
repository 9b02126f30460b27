"""The battery, which drains with time, and the screen's power (way of a task: 9)."""

DRAIN_SCREEN_ON_PERCENT_PER_HOUR = 9.0
DRAIN_SCREEN_OFF_PERCENT_PER_HOUR = 1.0
CHARGE_PERCENT_PER_HOUR = 40.0
"""Round figures of a phone in use; what matters is that the level moves, and the right way."""


class Power:
    """Battery and screen. `now_s` is monotonic seconds; the level is a percentage with its fraction."""

    def __init__(self, level_percent: float, now_s: float) -> None:
        self.charging = False
        self.screen_on = True
        self.ordered_tenths_c: int | None = None
        """The battery's temperature as somebody wants it; None = as it comes."""
        self.ordered_thermal: int | None = None
        """The thermal status likewise."""
        self._level_percent = level_percent
        self._counted_at_s = now_s

    def level_percent(self, now_s: float) -> float:
        """The charge now, 0 to 100."""
        hours = max(0.0, now_s - self._counted_at_s) / 3600
        drain = DRAIN_SCREEN_ON_PERCENT_PER_HOUR if self.screen_on else DRAIN_SCREEN_OFF_PERCENT_PER_HOUR
        change = CHARGE_PERCENT_PER_HOUR if self.charging else -drain
        return min(100.0, max(0.0, self._level_percent + change * hours))

    def temperature_tenths_c(self) -> int:
        """The battery's temperature in tenths of a degree: warmer with the screen on, and when charging."""
        if self.ordered_tenths_c is not None:
            return self.ordered_tenths_c
        return 270 + (30 if self.screen_on else 0) + (25 if self.charging else 0)

    def set_level(self, level_percent: float, now_s: float) -> None:
        """Puts the charge at a level."""
        self._level_percent = level_percent
        self._counted_at_s = now_s

    def set_charging(self, charging: bool, now_s: float) -> None:
        """Plugs the charger in or out."""
        self.set_level(self.level_percent(now_s), now_s)
        self.charging = charging

    def set_screen(self, on: bool, now_s: float) -> None:
        """Turns the screen on or off."""
        self.set_level(self.level_percent(now_s), now_s)
        self.screen_on = on
