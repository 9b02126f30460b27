"""health-bot: judges every sample of a phone; what begins or ends is told once, some phones get no tasks (step 14).

What is wrong with each phone is in the state of the bot, written when it is another: a bot that starts again goes
on where it was. That something is in hand is written first, then it is told, then written: a bot that is killed
in between does all of it again, and the broker knows what is new to it, so that nothing happens twice.
"""

from __future__ import annotations

from typing import Final

import msgspec

from doai import __version__
from doai.bots.bot import Bot
from doai.bots.context import Context
from doai.bots.errors import CommandRefused
from doai.bots.health.digest import digest
from doai.bots.health.phones import DAYS_KEPT, PREFIX, Phone, day_of
from doai.bots.health.rules import HealthConfig, judge
from doai.messages.health import Condition, HealthReported, HealthRule, ReportHealth
from doai.messages.samples import DeviceHealth

NAME: Final = "health-bot"
AGAIN_MS: Final = 3_600_000
"""What is wrong is told again after this: a broker that was put back to a backup may not know of it."""
WELL_AGAIN_MS: Final = 24 * AGAIN_MS


def make_bot() -> Bot:
    """Return the bot."""
    bot = Bot(
        NAME,
        title="Watches how phones are",
        type="health",
        version=__version__,
        config=HealthConfig,
        tags=["shipped"],
    )
    bot.sample("device.health", every="30s", setting="interval")(check)
    bot.every("1m")(digest)
    return bot


async def check(health: DeviceHealth, ctx: Context) -> None:
    """Judge a sample."""
    key = f"{PREFIX}{health.serial}"
    before: Phone = await ctx.state.get(key, Phone(), type=Phone)
    known = {condition.rule: condition for condition in before.wrong}
    judged = judge(ctx.config, health, known, before.unanswered)
    rules = [condition.rule for condition in judged.conditions]
    began = [rule for rule in rules if rule not in known]
    ended = [rule for rule in known if rule not in rules]
    now_ms = ctx.now_ms
    after = msgspec.structs.replace(before, wrong=judged.conditions, unanswered=judged.unanswered)
    is_due = now_ms - before.told_at_ms >= (AGAIN_MS if rules else WELL_AGAIN_MS)
    if began or ended or before.in_hand or is_due:
        await ctx.state.put(key, msgspec.structs.replace(before, in_hand=True))
        told: HealthReported = await ctx.command(
            ReportHealth(serial=health.serial, conditions=judged.conditions), subject=f"device/{health.serial}"
        )
        for rule in (*told.began, *told.ended):
            ctx.log.info("%s of %s %s", rule.value, health.serial, "began" if rule in told.began else "is over")
        after = msgspec.structs.replace(
            after,
            quarantined=await _quarantined(ctx, health.serial, before, began, judged.conditions),
            in_hand=False,
            told_at_ms=now_ms,
            began_at_ms={rule.value: before.began_at_ms.get(rule.value, now_ms) for rule in rules},
            times=_counted(before.times, began, day_of(ctx.now, ctx.config)),
        )
    elif judged.unanswered == before.unanswered:
        return  # nothing but measures is another: not worth a write each time
    await ctx.state.put(key, after)


def _counted(times: dict[str, dict[str, int]], began: list[HealthRule], day: str) -> dict[str, dict[str, int]]:
    if not began:
        return times
    now = times.get(day, {})
    after = times | {day: now | {rule.value: now.get(rule.value, 0) + 1 for rule in began}}
    return {name: after[name] for name in sorted(after)[-DAYS_KEPT:]}


async def _quarantined(
    ctx: Context, serial: str, before: Phone, began: list[HealthRule], wrong: list[Condition]
) -> bool:
    """Take a phone out of service when a rule begins that wants it, and back when none does; return whose it is."""
    config: HealthConfig = ctx.config
    wanted = [condition for condition in wrong if condition.rule.value in config.quarantine]
    try:
        begins = not before.quarantined and any(condition.rule in began for condition in wanted)
        if wanted and (begins or before.in_hand):
            reason = ", ".join(f"{each.rule.value} {each.value:g}" for each in wanted)
            await ctx.quarantine(serial, reason=f"{NAME}: {reason}", unless_other=True)
            return True
        if not wanted and (before.quarantined or before.in_hand):
            await ctx.release(serial, reason=f"{NAME}: it is well again", only_own=True)
            return False
    except CommandRefused as error:
        # Somebody else took it out of service, or back into it: that is theirs to say.
        if error.code not in ("not_own", "not_quarantined"):
            raise
        ctx.log.info("%s", error)
        return False
    return before.quarantined
