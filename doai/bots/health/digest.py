"""The digest of a day: how many phones are not well, which rules began how often, the worst phones (step 14)."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from doai.bots.context import Context
from doai.bots.health.phones import PREFIX, Phone, day_of
from doai.bots.health.rules import HealthConfig
from doai.bots.results import QueryFailed
from doai.messages.bot_reports import PublishReport, ReportTable
from doai.messages.health import HealthRule

DAY_KEY: Final = "digest"
"""Of the state: the day of which the next digest is."""
WORST: Final = 10
PAGE: Final = 500


async def digest(ctx: Context) -> None:
    """Write the digest of the day that is over; once, whatever is killed meanwhile."""
    today = day_of(ctx.now, ctx.config)
    day = await ctx.state.get(DAY_KEY, "", type=str)
    if day == today:
        return
    if day:
        kept: dict[str, Phone] = await ctx.state.list(PREFIX, type=Phone)
        phones = {key.removeprefix(PREFIX): phone for key, phone in kept.items()}
        report = report_of(day, phones, await _online(ctx), ctx.config)
        await ctx.command(report, subject=f"report/{ctx.bot}", key=f"{ctx.bot}:digest:{day}")
    await ctx.state.put(DAY_KEY, today)


async def _online(ctx: Context) -> dict[str, str] | str:
    """Return the phones that are there, with their nodes; or why that is not known."""
    found: dict[str, str] = {}
    cursor: str | None = ""
    try:
        while cursor is not None:
            more = {"cursor": cursor} if cursor else {}
            page = await ctx.query("/devices", state="online", limit=PAGE, **more)
            found |= {each["serial"]: each["nodeId"] for each in page["items"]}
            cursor = page.get("next") or None
    except QueryFailed as error:
        return str(error)
    return found


def report_of(
    day: str, kept: dict[str, Phone], online: dict[str, str] | str, config: HealthConfig
) -> PublishReport:
    """Return the digest of a day, of the phones that are kept.

    What is wrong now is said of those online alone: a phone that has gone is not read any more. ``online`` are
    all phones with their nodes, or why that is not known.
    """
    is_known = not isinstance(online, str)
    phones = {
        serial: phone if not is_known or serial in online else msgspec.structs.replace(phone, wrong=[])
        for serial, phone in kept.items()
    }
    watched = sum(not is_known or serial in online for serial in phones)
    wrong = [phone for phone in phones.values() if phone.wrong]
    began: Counter[str] = Counter()
    for phone in phones.values():
        began.update(phone.times.get(day, {}))
    now = Counter(condition.rule.value for phone in wrong for condition in phone.wrong)
    since = f"{day} {config.digest_hour:02}:00 ({config.zone})"
    lines = [
        f"{watched} phones are watched, {len(wrong)} of them not well now.",
        f"{began.total()} times something began since {since}.",
    ]
    korean = [
        f"기기 {watched}대를 지켜보고 있으며, 지금 {len(wrong)}대에 이상이 있습니다.",
        f"{since}부터 이상이 {began.total()}번 시작되었습니다.",
    ]
    if isinstance(online, str):
        lines.append(f"Which phones have gone, or never are read, is not known: {online}")
        korean.append(f"사라졌거나 상태를 읽지 못한 기기가 있는지 알 수 없습니다: {online}")
    else:
        _tell_missing(kept, online, lines, korean)
    rules = [(rule.value, now[rule.value], began[rule.value]) for rule in HealthRule]
    by_rule = [[rule, str(holds), str(times)] for rule, holds, times in rules if holds or times]
    return PublishReport(
        kind="daily",
        title=f"Health of phones, {day}",
        title_ko=f"{day} 기기 상태",
        lines=lines,
        lines_ko=korean,
        tables=[
            ReportTable(title="By rule", columns=["rule", "now", "began"], rows=by_rule),
            ReportTable(
                title="Worst phones",
                columns=["phone", "wrong now", "since", "began"],
                rows=_worst(day, phones, config),
            ),
        ],
    )


def _tell_missing(kept: dict[str, Phone], online: dict[str, str], lines: list[str], korean: list[str]) -> None:
    gone = sorted(serial for serial in kept if serial not in online)
    if gone:
        some = ", ".join(gone[:WORST])
        lines.append(f"{len(gone)} phones that were read before are not online now: {some}")
        korean.append(f"전에 상태를 읽었으나 지금 온라인이 아닌 기기 {len(gone)}대: {some}")
    never_read = sorted(f"{serial} ({node})" for serial, node in online.items() if serial not in kept)
    if never_read:
        some = ", ".join(never_read[:WORST])
        lines.append(f"{len(never_read)} online phones never were read; older release of their node? {some}")
        korean.append(f"온라인인데 상태를 읽은 적 없는 기기 {len(never_read)}대(노드 버전 확인): {some}")


def _worst(day: str, phones: dict[str, Phone], config: HealthConfig) -> list[list[str]]:
    """Rows of the phones with most wrong now, then with most beginnings."""
    ranked = sorted(
        ((len(phone.wrong), sum(phone.times.get(day, {}).values()), serial) for serial, phone in phones.items()),
        key=lambda entry: (-entry[0], -entry[1], entry[2]),
    )
    rows = []
    for count, began, serial in ranked[:WORST]:
        if not count and not began:
            break
        phone = phones[serial]
        wrong = ", ".join(f"{each.rule.value} {each.value:g}" for each in phone.wrong)
        rows.append([serial, wrong or "-", _since(phone, config), str(began)])
    return rows


def _since(phone: Phone, config: HealthConfig) -> str:
    if not phone.began_at_ms:
        return "-"
    at = datetime.fromtimestamp(min(phone.began_at_ms.values()) / 1000, UTC)
    return at.astimezone(ZoneInfo(config.zone)).strftime("%m-%d %H:%M")
