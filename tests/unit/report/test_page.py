"""The HTML page: complete, in two languages, without a request, and safe whatever was written on devices."""

from __future__ import annotations

import io
from datetime import UTC
from html.parser import HTMLParser
from typing import Any

import pytest
from PIL import Image

from doai.report.page import causes, page
from doai.report.pictures import smaller
from doai.report.results import Failure, Results, StoryLine, last_tries, plan_of
from doai.report.words import LANGUAGES, duration
from tests.unit.report.sample import MIXED, artifact, results, step, task

HOSTILE = """"><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}</style>'&"""
VOID = {"meta", "img"}


def png(width: int = 300, height: int = 600) -> bytes:
    into = io.BytesIO()
    Image.effect_noise((width, height), 90).save(into, "PNG")
    return into.getvalue()


class Reader(HTMLParser):
    """Notes tags, attributes and text; asserts that what opens is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def done(self) -> Reader:
        self.close()
        assert self._open == []
        return self


def read(
    told: Results, *, language: str = "en", pictures: dict[str, bytes] | None = None, room: int = 10**7
) -> Reader:
    made = page(told, (pictures or {}).get, language=language, zone=UTC, picture_bytes_max=room)
    reader = Reader()
    reader.feed(made.decode())
    return reader.done()


def classes(reader: Reader, tag: str) -> list[str]:
    return [attributes.get("class") or "" for name, attributes in reader.tags if name == tag]


def test_it_tells_everything() -> None:
    pictures = {item.path: png() for item in MIXED.artifacts}
    told = read(MIXED, pictures=pictures)
    for part in (
        "Look around",
        "look@2",
        "user/ann",
        "1 min 05 s",
        "no element 'Log in' after 10 s",
        "민지",
        "Run made",
    ):
        assert part in told.text
    cells = [name for name in classes(told, "span") if name.startswith("cell ")]
    assert cells[:4] == ["cell passed", "cell passed", "cell none", "cell none"]
    assert "cell failed" in cells
    sources = [attributes["src"] or "" for name, attributes in told.tags if name == "img"]
    assert [source[:22] for source in sources] == ["data:image/png;base64,"] * 2


def test_nothing_in_it_asks_for_anything() -> None:
    told = read(MIXED, pictures={item.path: png() for item in MIXED.artifacts})
    assert not {name for name, _ in told.tags} & {"script", "link", "iframe", "object", "form"}
    asked = [
        value for _, attributes in told.tags for name, value in attributes.items() if name in ("src", "srcset")
    ]
    assert all(value is not None and value.startswith("data:") for value in asked)
    [policy] = [a["content"] for _, a in told.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_korean() -> None:
    told = read(MIXED, language="ko")
    for part in ("둘러보기", "통과하지 못한 원인", "1분 05초"):
        assert part in told.text
    assert LANGUAGES["ko"].keys() == LANGUAGES["en"].keys()


def test_hostile_texts_stay_texts() -> None:
    failure = Failure(error_class=HOSTILE, code=HOSTILE, message=HOSTILE, step=HOSTILE)
    told = results(
        task(HOSTILE, "failed", failure=failure),
        task("A2", HOSTILE, reason=HOSTILE),
        outcome=HOSTILE,
        params={HOSTILE: HOSTILE},
        steps=(step(HOSTILE, HOSTILE, "failed", failure=failure, label=HOSTILE),),
        artifacts=(artifact(HOSTILE, HOSTILE, url=f"javascript:{HOSTILE}"),),
        title={"en": HOSTILE},
        story=(StoryLine(at="2025-11-21T08:00:00Z", text=HOSTILE),),
        url="javascript:alert(1)",
    )
    tame = read(MIXED)
    for pictures in ({}, {artifact(HOSTILE, HOSTILE).path: png()}):
        reader = read(told, pictures=pictures)
        assert {name for name, _ in reader.tags} <= {name for name, _ in tame.tags} | {"img", "details", "summary"}
        for _, attributes in reader.tags:
            assert not any(name.startswith("on") for name in attributes)
            assert not (attributes.get("href") or "").startswith("javascript")
        assert "{{ 7*7 }}" in reader.text


def test_causes_are_grouped_whatever_numbers_they_name() -> None:
    def failed(serial: str, message: str) -> Any:
        return task(serial, "failed", failure=Failure(error_class="device", code="slow", message=message, step="s"))

    found = causes(
        results(task("A1"), failed("A2", "A2 took 12.5 s"), failed("A3", "A3 took 9 s"), failed("A4", "gone"))
    )
    assert [(cause.devices, cause.kind) for cause in found] == [
        (["A2", "A3"], "device.slow"),
        (["A4"], "device.slow"),
    ]


def test_pictures_beyond_the_bound_are_made_smaller_then_only_named() -> None:
    picture = png(900, 1800)
    told = results(*(task(f"A{n}") for n in range(4)), artifacts=tuple(artifact(f"A{n}") for n in range(4)))
    pictures = {item.path: picture for item in told.artifacts}
    whole = len(picture) * 4 // 3 + 100
    some = read(told, pictures=pictures, room=whole + 3 * 32 * 1024)
    sources = [attributes["src"] or "" for name, attributes in some.tags if name == "img"]
    assert sources[0].startswith("data:image/png")
    assert all(source.startswith("data:image/jpeg") for source in sources[1:])
    assert sum(map(len, sources)) <= whole + 3 * 32 * 1024
    none = read(told, pictures=pictures, room=0)
    assert none.text.count(LANGUAGES["en"]["too_much"]) == 4
    assert read(told, pictures={}).text.count(LANGUAGES["en"]["not_stored"]) == 4


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", png()[:500]])
def test_what_is_no_picture_is_not_made_smaller(data: bytes) -> None:
    assert smaller(data) is None


def test_the_last_attempt_counts() -> None:
    told = results(
        task("A1"),
        steps=(
            step("A1", "open", "failed", token="1.1"),
            step("A1", "see", token="1.1"),
            step("A1", "open", token="1.2"),
        ),
    )
    assert {key: found.state for key, found in last_tries(told).items()} == {("T-A1", "open"): "passed"}


def test_steps_of_a_loop_stand_behind_it() -> None:
    told = read(results(task("A1"), steps=(step("A1", "open"), step("A1", "open/tap"), step("A1", "odd"))))
    columns = [
        (attributes["title"] or "").partition(":")[0]
        for tag, attributes in told.tags
        if tag == "th" and "title" in attributes
    ]
    assert columns == ["open", "open/tap", "see", "always-1", "odd"]


def test_the_plan_has_the_steps_inside_of_a_loop_behind_it() -> None:
    loop = {"id": "loop", "use": "flow.repeat", "steps": [{"id": "tap", "use": "ui.tap"}]}
    plan = plan_of({"steps": [loop, {"id": "odd", "use": "wait"}], "always": [{"id": "off", "use": "app.stop"}]})
    assert [(step.step_id, step.section) for step in plan] == [
        ("loop", "steps"),
        ("tap", "steps"),
        ("odd", "steps"),
        ("off", "always"),
    ]


def test_a_run_that_goes_on_says_so() -> None:
    told = read(results(task("A1", "running", ended_at_ms=None), outcome=None))
    assert LANGUAGES["en"]["still"] in told.text


@pytest.mark.parametrize(
    ("seconds", "english"), [(None, ""), (0.04, "40 ms"), (9.96, "10 s"), (65, "1 min 05 s"), (7_260, "2 h 01 min")]
)
def test_durations(seconds: float | None, english: str) -> None:
    assert duration(seconds, "en") == english
