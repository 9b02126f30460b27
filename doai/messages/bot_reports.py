"""What a bot has to say to people, such as a digest of its day: payloads of a command and its event (step 14)."""

from __future__ import annotations

from typing import Final

from doai.envelope import Message

PUBLISH_REPORT: Final = "bot.publish_report"


class ReportTable(Message, frozen=True, kw_only=True):
    """Rows under headings, as they are shown."""

    title: str
    columns: list[str]
    rows: list[list[str]]


class PublishReport(Message, frozen=True, kw_only=True):
    """A bot writes a report, which becomes an event. Answer: ReportPublished."""

    kind: str
    """What kind of report it is, 1-63 of a-z 0-9 . _ -, such as ``daily``."""
    title: str
    title_ko: str = ""
    lines: list[str] = []
    """Sentences."""
    lines_ko: list[str] = []
    """The same in Korean; empty = there are none."""
    tables: list[ReportTable] = []


class ReportPublished(Message, frozen=True, kw_only=True):
    """Answer to PublishReport."""

    bot: str
    kind: str


class BotReported(Message, frozen=True, kw_only=True):
    """A bot wrote a report (bot.report.published)."""

    bot: str
    kind: str
    title: str
    title_ko: str = ""
    lines: list[str] = []
    lines_ko: list[str] = []
    tables: list[ReportTable] = []
