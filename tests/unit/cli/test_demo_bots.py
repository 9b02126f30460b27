"""What `bin/demo --bots` gives the shipped bots to do, and what it says of them."""

from __future__ import annotations

from typing import Any

import pytest

from doai.apk.package import read_apk_file
from doai.bots.loading import SHIPPED, load_bot
from doai.cli.demo_bots import APP, ERRANDS, INSTALL, PLAYBACK, did_of, played


def test_the_app_of_the_demo_is_a_signed_app_of_a_few_bytes() -> None:
    app = read_apk_file(APP)
    assert app.manifest.package == "com.example.doai.demo"
    assert app.signature.scheme != "v1"
    assert APP.stat().st_size < 10_000


def test_errands_are_for_shipped_bots_that_take_them() -> None:
    assert set(ERRANDS) <= set(SHIPPED)
    kinds = {name: load_bot(SHIPPED[name]).registration().task_kinds for name in ERRANDS}
    assert PLAYBACK in kinds["playback-bot"]
    assert INSTALL in kinds["install-bot"]


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        (
            {"plays": 4, "passed": 3, "stalls": 1, "models": [{"startP50Ms": 640}, {"startP50Ms": None}]},
            "3 of 4 plays passed, started within 0.64 s, 1 stalls",
        ),
        ({"plays": 0, "passed": 0, "stalls": 0, "models": []}, "0 of 0 plays passed, 0 stalls"),
    ],
)
def test_what_a_check_came_to(outputs: dict[str, Any], said: str) -> None:
    assert played(outputs) == said


@pytest.mark.parametrize(
    ("state", "came_of", "did", "passed"),
    [
        ("online", ("4 of 4 plays passed", True), "4 of 4", True),
        ("late", ("4 of 4 plays passed", True), "4 of 4", True),
        ("online", ("failed: no phones", False), "failed", False),
        ("offline", ("4 of 4 plays passed", True), "4 of 4", False),
        ("online", None, "it listens", True),
        ("offline", None, "it listens", False),
    ],
)
def test_a_bot_has_done_its_work_when_that_is_good_and_it_is_there(
    state: str, came_of: tuple[str, bool] | None, did: str, passed: bool
) -> None:
    found = did_of("some-bot", state, came_of)
    assert (found.name, found.state, found.passed) == ("some-bot", state, passed)
    assert found.did.startswith(did)
