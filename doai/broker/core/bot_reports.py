"""Reports of bots: each is an event of its own subject, so that the newest are found at once (steps 2, 14)."""

from __future__ import annotations

from typing import Final

import msgspec

from doai import topics
from doai.broker.core.decision import Decision
from doai.codec import encode
from doai.envelope import Envelope
from doai.errors import UserError
from doai.ids import is_name
from doai.messages.bot_reports import BotReported, PublishReport, ReportPublished
from doai.messages.link import Role

REPORT_BYTES_MAX: Final = 32 * 1024
"""A page of text and some tables of people's size; what is larger belongs into a file."""


def publish_report(decision: Decision, command: Envelope, report: PublishReport) -> ReportPublished:
    """Write a report to the log."""
    speaker = decision.speaker
    if speaker is None or speaker.role is not Role.BOT:
        raise UserError("only a bot publishes reports", code="not_a_bot")
    if not is_name(report.kind):
        raise UserError(f"{report.kind[:80]!r} is no kind of report: 1-63 of a-z 0-9 . _ -", code="bad_report")
    size = len(encode(report))
    if size > REPORT_BYTES_MAX:
        raise UserError(f"a report has at most {REPORT_BYTES_MAX} bytes, not {size}: say less", code="too_large")
    widths = [(len(table.columns), {len(row) for row in table.rows}) for table in report.tables]
    if any(rows - {columns} for columns, rows in widths):
        raise UserError("a row of a table has another number of cells than there are columns", code="bad_report")
    subject = topics.report_subject(speaker.name)
    told = BotReported(bot=speaker.name, **msgspec.structs.asdict(report))
    decision.event(topics.BOT_REPORTED, subject, told, actor=command.actor)
    decision.changed(subject, None, {"kind": report.kind, "title": report.title})
    return ReportPublished(bot=speaker.name, kind=report.kind)
