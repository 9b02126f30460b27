"""The digest of a day: how many phones are not well, which rules began how often, the worst phones (step 14)."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

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
        report = report_of(day, phones, await _never_read(ctx, phones), ctx.config)
        await ctx.command(report, subject=f"report/{ctx.bot}", key=f"{ctx.bot}:digest:{day}")
    await ctx.state.put(DAY_KEY, today)


async def _never_read(ctx: Context, known: dict[str, Phone]) -> list[str] | str:
    """Return the phones that are there and never were read, with their nodes; or why that is not known."""
    found: list[str] = []
    cursor: str | None = ""
    try:
        while cursor is not None:
            more = {"cursor": cursor} if cursor else {}
            page = await ctx.query("/devices", state="online", limit=PAGE, **more)
            found += [
                f"{each['serial']} ({each['nodeId']})" for each in page["items"] if each["serial"] not in known
            ]
            cursor = page.get("next") or None
    except QueryFailed as error:
        return str(error)
    return sorted(found)


def report_of(
    day: str, phones: dict[str, Phone], never_read: list[str] | str, config: HealthConfig
) -> PublishReport:
    """Return the digest of a day."""
    wrong = [phone for phone in phones.values() if phone.wrong]
    began: Counter[str] = Counter()
    for phone in phones.values():
        began.update(phone.times.get(day, {}))
    now = Counter(condition.rule.value for phone in wrong for condition in phone.wrong)
    since = f"{day} {config.digest_hour:02}:00 ({config.zone})"
    lines = [
        f"{len(phones)} phones are watched, {len(wrong)} of them are not well now.",
        f"{began.total()} times something began since {since}.",
    ]
    korean = [
        f"기기 {len(phones)}대를 지켜보고 있으며, 지금 {len(wrong)}대에 이상이 있습니다.",
        f"{since}부터 이상이 {began.total()}번 시작되었습니다.",
    ]
    if isinstance(never_read, str):
        lines.append(f"Which phones are never read is not known: {never_read}")
        korean.append(f"상태를 읽지 못한 기기가 있는지 알 수 없습니다: {never_read}")
    elif never_read:
        some = ", ".join(never_read[:WORST])
        lines.append(f"{len(never_read)} online phones never were read; older release of their node? {some}")
        korean.append(f"온라인인데 상태를 읽은 적 없는 기기 {len(never_read)}대(노드 버전 확인): {some}")
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
