"""Reports of bots: an event of a subject of its own, of a bounded size, by a bot alone."""

from __future__ import annotations

from typing import Any

import pytest

from doai.broker.core.bot_reports import REPORT_BYTES_MAX
from doai.messages.bot_reports import PUBLISH_REPORT, PublishReport, ReportPublished, ReportTable
from tests.unit.broker.harness import FakeBot, started_world


def test_a_report_is_an_event_of_its_bot() -> None:
    world, _, _ = started_world("d1")
    bot = FakeBot(world).connect(title="t")
    table = ReportTable(title="By rule", columns=["rule", "now"], rows=[["hot", "3"]])
    report = PublishReport(kind="daily", title="Phones", lines=["All is well."], tables=[table])
    assert bot.do(PUBLISH_REPORT, report, ReportPublished) == ReportPublished(bot="robot", kind="daily")
    [event] = world.events("bot.report.published")
    assert event.subject == "report/robot"
    assert world.payload(event)["tables"] == [
        {"title": "By rule", "columns": ["rule", "now"], "rows": [["hot", "3"]]}
    ]


@pytest.mark.parametrize(
    ("about", "code"),
    [
        ({"kind": "no kind"}, "bad_report"),
        ({"lines": ["x" * REPORT_BYTES_MAX]}, "too_large"),
        ({"tables": [ReportTable(title="t", columns=["a"], rows=[["1"], ["1", "2"]])]}, "bad_report"),
    ],
)
def test_a_report_that_can_not_be_shown_is_refused(about: dict[str, Any], code: str) -> None:
    world, _, admin = started_world("d1")
    bot = FakeBot(world).connect(title="t")
    reply = bot.ask(PUBLISH_REPORT, PublishReport(**{"kind": "daily", "title": "t"} | about))
    assert reply.problem is not None
    assert reply.problem.code == code
    reply = admin.ask(PUBLISH_REPORT, PublishReport(kind="daily", title="t"))
    assert reply.problem is not None
    assert reply.problem.code == "not_a_bot"
    assert world.events("bot.report.published") == []
