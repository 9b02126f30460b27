"""What `bin/demo --bots` gives the shipped bots to do, and what it says of them."""

from __future__ import annotations

from typing import Any

import pytest

from doai.apk.package import read_apk_file
from doai.bots.loading import SHIPPED, load_bot
from doai.cli.demo_bots import APP, ERRANDS, BotDid, _did


def test_the_app_of_the_demo_is_a_signed_app_of_a_few_bytes() -> None:
    app = read_apk_file(APP)
    assert app.manifest.package == "com.example.doai.demo"
    assert app.signature.scheme != "v1"
    assert APP.stat().st_size < 10_000


def test_each_errand_is_of_a_kind_that_its_bot_takes() -> None:
    for name, errand in ERRANDS.items():
        assert errand.kind in load_bot(SHIPPED[name]).registration().task_kinds


MODEL = {"startP50Ms": 640}


@pytest.mark.parametrize(
    ("state", "task", "did", "passed"),
    [
        ("online", {"plays": 4, "passed": 4, "stalls": 1, "models": [MODEL]}, "4 of 4 plays passed, started", True),
        (
            "online",
            {"plays": 4, "passed": 3, "stalls": 1, "models": [MODEL]},
            "3 of 4 plays passed, started",
            False,
        ),
        ("online", {"plays": 0, "passed": 0, "stalls": 0, "models": []}, "0 of 0 plays passed, 0 stalls", False),
        ("offline", {"plays": 4, "passed": 4, "stalls": 0, "models": []}, "4 of 4 plays passed", False),
        ("online", None, "it listens", True),
        ("late", None, "it listens", False),
    ],
)
def test_what_is_said_of_a_bot(state: str, task: dict[str, Any] | None, did: str, passed: bool) -> None:
    found = _did("playback-bot", {"state": state}, task and {"state": "passed", "outputs": task})
    assert (found.state, found.passed) == (state, passed)
    assert found.did.startswith(did)


def test_a_task_that_did_not_pass_says_why() -> None:
    failed = {"state": "failed", "failure": {"message": "no phones"}, "waitingBecause": "", "reason": ""}
    assert _did("install-bot", {"state": "online"}, failed) == BotDid(
        name="install-bot", state="online", did="failed: no phones", passed=False
    )
    waits = {"state": "queued", "failure": None, "waitingBecause": "no bot takes app.install", "reason": ""}
    assert _did("install-bot", None, waits).did == "queued: no bot takes app.install"
