"""Which bots of a host run: by their settings, an operator's word, and how they ended."""

from __future__ import annotations

from doai.bots.core.supervision import StartProcess, StopProcess, Supervision
from doai.exits import CONFIG
from doai.messages.bots import BotStatus


def names(decided: list[StartProcess | StopProcess]) -> list[str]:
    return [("+" if isinstance(each, StartProcess) else "-") + each.name for each in decided]


def test_what_has_settings_runs_until_they_go() -> None:
    supervision = Supervision()
    supervision.files({"a": 1, "b": 1})
    assert names(supervision.decide(0.0)) == ["+a", "+b"]
    assert names(supervision.decide(1.0)) == []
    supervision.files({"a": 1})
    assert names(supervision.decide(2.0)) == ["-b"]
    assert supervision.ended("b", 0, 3.0, 0.5) == ""
    supervision.files({"a": 1, "b": 2})
    assert names(supervision.decide(4.0)) == ["+b"]


def test_an_operator_puts_to_rest_and_wakes() -> None:
    supervision = Supervision()
    supervision.want("a", BotStatus.INACTIVE)
    supervision.files({"a": 1})
    assert supervision.decide(0.0) == []
    supervision.want("a", BotStatus.ACTIVE)
    assert names(supervision.decide(1.0)) == ["+a"]
    supervision.want("a", BotStatus.INACTIVE)
    assert supervision.decide(2.0) == [StopProcess("a", "an operator put it to rest")]
    assert supervision.decide(2.5) == [], "once"
    supervision.want("a", BotStatus.DEPRECATED)
    assert supervision.decide(3.0) == [], "the one that ends is waited for"
    supervision.ended("a", -9, 4.0, 0.5)
    assert names(supervision.decide(4.0)) == ["+a"]


def test_one_that_fails_is_started_again_ever_later() -> None:
    supervision = Supervision()
    supervision.files({"a": 1})
    now_s, waits = 0.0, []
    for _ in range(8):
        assert names(supervision.decide(now_s)) == ["+a"]
        told = supervision.ended("a", 70, now_s + 1, 0.999999)
        assert told.startswith("a ended by itself (exit code 70) and is started again in")
        due_s = supervision.due_s()
        assert due_s is not None
        assert supervision.decide(due_s - 0.01) == []
        waits.append(round(due_s - now_s - 1))
        now_s = due_s
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert names(supervision.decide(now_s)) == ["+a"]
    supervision.ended("a", -11, now_s + 1000, 0.999999)
    assert round((supervision.due_s() or 0) - now_s) == 1001, "what ran well failed for a new reason"


def test_one_that_is_hopeless_waits_for_a_person() -> None:
    supervision = Supervision()
    supervision.files({"a": 1})
    supervision.decide(0.0)
    assert "the same again would not help" in supervision.ended("a", CONFIG, 1.0, 0.5)
    assert (supervision.decide(10_000.0), supervision.due_s()) == ([], None)
    assert list(supervision.held) == ["a"]
    supervision.files({"a": 2})
    assert names(supervision.decide(10_001.0)) == ["+a"]
    supervision.ended("a", CONFIG, 10_002.0, 0.5)
    supervision.want("a", BotStatus.ACTIVE)
    assert names(supervision.decide(10_003.0)) == ["+a"]


def test_at_the_end_nothing_is_started() -> None:
    supervision = Supervision()
    supervision.files({"a": 1, "b": 1})
    supervision.want("b", BotStatus.INACTIVE)
    supervision.decide(0.0)
    supervision.stopping = True
    assert names(supervision.decide(1.0)) == ["-a"]
    supervision.ended("a", 0, 2.0, 0.5)
    supervision.want("b", BotStatus.ACTIVE)
    assert supervision.decide(3.0) == []
