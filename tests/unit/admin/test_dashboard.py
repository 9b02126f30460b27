"""What pages are made of: words in both languages, addresses that lead nowhere else, curves, and who sees what."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import doai
from doai.admin.dashboard import acting, drawing, plots, schedules
from doai.admin.dashboard.assets import assets
from doai.admin.dashboard.visit import local_path
from doai.admin.dashboard.wording import Wording, catalogue, chosen_language, chosen_zone
from doai.incidents import RULES
from doai.story.voice import KOREAN, failures, states

TEMPLATES = Path(acting.__file__).with_name("templates")
HANGUL = re.compile(r"[가-힣]")
SAME_IN_BOTH = {
    "app.name",
    "app.signed_in_as",
    "runs.asked_by",
    "col.adb",
    "health.range",
    "col.android",
    "col.cpu",
    "col.id",
}


def test_every_word_that_a_page_uses_is_in_the_catalogue() -> None:
    used = set()
    for path in TEMPLATES.glob("*.html"):
        used |= set(re.findall(r"""\bt\("([a-z_.0-9]+)"[,)]""", path.read_text(encoding="utf-8")))
    assert used
    assert used - catalogue().keys() == set()


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.html")), ids=lambda path: path.name)
def test_no_form_carries_the_token_of_the_session_into_an_address(path: Path) -> None:
    """Addresses are kept: in histories, in logs of proxies, in what is copied to others."""
    for form in re.findall(r"<form\b.*?</form>", path.read_text(encoding="utf-8"), re.DOTALL):
        if 'method="post"' not in form or 'formmethod="get"' in form:
            assert not re.search(r"<input[^>]*csrf", form)


NO_LIST = {
    r"pid|percent|rss_bytes|priority|rate_per_min|seconds|took\(|attempt|row\.version": "a measure of one thing",
    r"position|behind|open_subjects": "events of the log, by position: no list has them of one subscription",
    r"^{{ steps }}$": "the steps of one workflow are its drawing",
}
"""Numbers that are no link, and why."""


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.html")), ids=lambda path: path.name)
def test_every_number_of_a_table_leads_to_the_list_that_it_counts(path: Path) -> None:
    for cell in re.findall(r'<td class="[^"]*\bnum\b[^>]*>(.*?)</td>', path.read_text(encoding="utf-8"), re.DOTALL):
        assert "<a " in cell or "p.ended(" in cell or any(re.search(each, cell) for each in NO_LIST), cell


@pytest.mark.parametrize("key", catalogue())
def test_every_word_is_there_in_both_languages_with_the_same_places(key: str) -> None:
    korean, english = catalogue()[key]
    assert set(re.findall(r"\{\w+\}", korean)) == set(re.findall(r"\{\w+\}", english))
    assert not HANGUL.search(english)
    assert HANGUL.search(korean) or key in SAME_IN_BOTH


@pytest.mark.parametrize("state", states())
def test_every_state_is_there_in_both_languages(state: str) -> None:
    korean, english = states()[state]
    assert HANGUL.search(korean)
    assert english
    assert not HANGUL.search(english)


CODE = re.compile(r"[a-z][a-z0-9_]+")
ROOT = Path(doai.__file__).parent


def codes_of(path: Path) -> Iterator[str]:
    """Codes of the failures of steps and tasks that a module raises: given beside an ErrorClass."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        given = [*node.args, *(keyword.value for keyword in node.keywords)]
        if not any(isinstance(each, ast.Attribute) and ast.unparse(each.value) == "ErrorClass" for each in given):
            continue
        named = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
        texts = [each.value for each in named or node.args if isinstance(each, ast.Constant)]
        yield from (text for text in texts[:1] if isinstance(text, str) and CODE.fullmatch(text))


def test_every_failure_of_a_task_is_said_in_both_languages() -> None:
    modules = [path for part in ("node", "drivers", "broker", "workflow") for path in (ROOT / part).rglob("*.py")]
    raised = {code for path in modules for code in codes_of(path)}
    assert len(raised) > 50
    assert raised - failures().keys() == set(), "add them to doai/story/failures.toml"


@pytest.mark.parametrize("code", failures())
def test_a_failure_is_said_in_both_languages(code: str) -> None:
    korean, english = failures()[code]
    assert HANGUL.search(korean)
    assert english
    assert not HANGUL.search(english)


def test_times_are_those_of_the_zone_that_was_chosen() -> None:
    at_ms = 1_750_000_000_000
    assert Wording(KOREAN, chosen_zone("Asia/Seoul")).moment(at_ms) == "2025-06-16 00:06:40"
    assert Wording(KOREAN, chosen_zone("UTC")).moment(at_ms) == "2025-06-15 15:06:40"
    assert Wording(KOREAN, chosen_zone("Asia/Seoul")).zone_name(at_ms) == "Asia/Seoul (UTC+0900)"
    assert Wording(KOREAN, chosen_zone("UTC")).moment(None) == "-"


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "/etc/passwd", "Nowhere/Town", "x" * 200, "a\0b"])
def test_a_zone_that_is_none_is_passed_over(name: str) -> None:
    assert chosen_zone(name) is None
    found = chosen_zone(name, "UTC")
    assert found is not None
    assert found.key == "UTC"


def test_every_button_has_a_word_for_what_was_done() -> None:
    assert {f"done.{of}_{deed}" for of, deed in acting.DEEDS} <= catalogue().keys()


@pytest.mark.parametrize(
    ("cookie", "accepted", "language"),
    [("", "", "ko"), ("en", "ko", "en"), ("xx", "fr, en-GB;q=0.8", "en"), ("", "ko-KR,ko;q=0.9,en;q=0.8", "ko")],
)
def test_the_language_is_what_was_chosen_else_what_the_browser_asks_for(
    cookie: str, accepted: str, language: str
) -> None:
    assert chosen_language(cookie, accepted) == language


def test_every_type_of_incident_is_explained_in_the_words_of_the_rules() -> None:
    for incident_type, rule in RULES.items():
        assert catalogue()[f"means.{incident_type.value}"][1] == rule.means
        assert catalogue()[f"to_do.{incident_type.value}"][1] == rule.to_do


def test_a_state_without_a_word_is_shown_as_it_is() -> None:
    words = Wording(KOREAN)
    assert words.state("passed") == "성공"
    assert words.state("<script>") == "<script>"
    assert words.of({"en": "Watch", "ko": "보기"}) == "보기"
    assert words.of({"en": "Watch"}, "x") == "Watch"
    assert words.of(None, "x") == "x"


@pytest.mark.parametrize(
    "wanted", ["", "//evil", "/\\evil", "https://evil", "javascript:x", "/a\nb", "\\\\evil", "/" + "x" * 2000]
)
def test_an_address_elsewhere_is_not_followed(wanted: str) -> None:
    assert local_path(wanted, "/") == "/"
    assert local_path("/devices?state=online", "/") == "/devices?state=online"


def test_a_schedule_is_said_in_the_language_of_the_page() -> None:
    cron = {"cron": "0 3 * * *", "zone": "Asia/Seoul"}
    assert schedules.when_of(cron, Wording(KOREAN)) == "0 3 * * * Asia/Seoul"
    often = {"everyS": 5400.0, "jitterS": 30.0}
    assert schedules.when_of(often, Wording(KOREAN)) == "1시간 30분마다, 최대 30초 늦게"
    assert schedules.when_of(often, Wording("en")) == "every 1 h 30 min, up to 30 s later"


def test_curves_have_gaps_where_nothing_is_known_and_stay_inside() -> None:
    assert drawing.curve([None, 1.0, 2.0, None, 4.0], 4.0, 400, 100).path == "M100.0 75.0 L200.0 50.0 M400.0 0.0"
    assert drawing.curve([], 0.0, 400, 100).path == ""
    bars = drawing.bars([("a", 3, 1), ("b", 0, 0)], 100, 50)
    assert (bars[0].passed, bars[0].failed, bars[1].passed) == (37.5, 12.5, 0.0)
    assert drawing.bars([], 100, 50) == []


def test_what_was_made_elsewhere_is_shipped_with_its_licence() -> None:
    for name, licence in (("htmx-4.0.1", "Zero-Clause BSD"), ("uplot-1.6.32", "The MIT License")):
        assert f"{name}.min.js" in assets()
        assert licence in assets()[f"{name}.LICENSE.txt"].body.decode()


def test_a_chart_for_browsers_has_its_gaps_and_the_zone_of_its_times() -> None:
    words = Wording(KOREAN, chosen_zone("Asia/Seoul"))
    lines = [plots.Line("중앙값", "median", [0.12345, None, 2.0])]
    told = json.loads(plots.plot_text([60_000, 120_000, 180_000], lines, words, unit="s"))
    assert told["x"] == [60, 120, 180]
    assert told["series"] == [{"label": "중앙값", "look": "median", "values": [0.123, None, 2.0]}]
    assert (told["zone"], told["unit"], told["bars"], told["low"]) == ("Asia/Seoul", "s", False, None)
