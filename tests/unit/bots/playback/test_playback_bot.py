"""The playback-bot in the mesh of doai.bots.testing: which runs it makes, once, and what it tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from trio.testing import MockClock

from doai.bots import QueryFailed
from doai.bots.loading import load_bot
from doai.bots.playback import KIND, bot
from doai.bots.testing import Mesh, running
from doai.messages.commands import CancelRun, CreateRun, TargetKind
from doai.states import Outcome

URL = "https://youtu.be/doai-test-1"
LINE: dict[str, Any] = {
    "name": "Pixel 6",
    "devices": 2,
    "plays": 4,
    "passed": 3,
    "started": 4,
    "startP50Ms": 600,
    "startP95Ms": 700,
    "stalls": 5,
    "stallsPerPlay": 1.25,
    "stalledShare": 0.1,
}
TARGETS = {"kind": "all", "selector": {"models": ["Pixel 6"]}}


def wish(**other: Any) -> dict[str, Any]:
    return {"videos": [{"url": URL, "title": "card"}, {"url": "https://youtu.be/b", "seconds": 5}], **other}


def report(mesh: Mesh) -> None:
    mesh.pages["/plays/report"] = lambda query: {"items": [LINE], "more": False, "asked": query}


def test_it_is_found_by_its_name() -> None:
    assert load_bot("playback-bot") is bot
    assert bot.registration().task_kinds == ["playback.check"]


async def test_every_video_is_a_run_on_all_phones_and_the_report_is_that_of_the_rows(
    autojump_clock: MockClock,
) -> None:
    async with running(bot) as mesh:
        report(mesh)
        asked = wish(targets=TARGETS, repeats=2, watchSeconds=30, stallsMax=1, queue="slow", app="org.player")
        done = await mesh.task(KIND, asked)
        runs = mesh.commands(CreateRun)
    assert done.outcome is Outcome.PASSED
    assert (done.outputs["plays"], done.outputs["passed"], done.outputs["stalls"]) == (4, 3, 5)
    assert done.outputs["models"] == [LINE]
    assert done.outputs["runIds"] == list(mesh.broker.runs)
    assert [run.params["url"] for run in runs] == [URL, "https://youtu.be/b"] * 2
    assert [(run.params["repeat"], run.params["seconds"]) for run in runs] == [(1, 30), (1, 5), (2, 30), (2, 5)]
    assert {run.workflow for run in runs} == {"playback-measure"}
    assert {run.queue for run in runs} == {"slow"}
    assert {run.params["check"] for run in runs} == {done.task_id}
    assert (runs[0].params["package"], runs[0].params["stalls_max"]) == ("org.player", 1)
    assert all(run.targets.kind is TargetKind.ALL and run.targets.selector.models == ["Pixel 6"] for run in runs)
    waits = [run.expires_in_s for run in runs]
    assert waits == [300, 390, 455, 545], "what comes later waits for what comes before on the same phone"


async def test_killed_at_any_moment_it_makes_each_run_once(autojump_clock: MockClock) -> None:
    async with running(bot) as mesh:
        report(mesh)
        ended: set[str] = set()

        def hold(query: Mapping[str, object]) -> dict[str, Any]:
            return {"outcome": "passed" if ended else None}

        task_id = mesh.broker.give_task(KIND, wish(repeats=2))
        for made in (1, 3, 4):
            await mesh.broker.wait(lambda made=made: len(mesh.broker.runs) >= made)  # type: ignore[misc]
            mesh.pages.update({f"/runs/{run_id}": hold for run_id in mesh.broker.runs})
            await mesh.kill()
            if made == 3:
                await mesh.state.drop(f"check/{task_id}")  # as on another host
            await mesh.start()
        mesh.pages.update({f"/runs/{run_id}": hold for run_id in mesh.broker.runs})
        ended.add("now")
        await mesh.broker.wait(lambda: task_id in mesh.broker.outcomes)
        done = mesh.broker.outcomes[task_id]
        assert done.outcome is Outcome.PASSED
        assert len(mesh.commands(CreateRun)) == 4
        assert done.outputs["runIds"] == list(mesh.broker.runs)
        assert await mesh.state.list() == {}


async def test_plays_of_a_check_that_was_cancelled_are_cancelled(autojump_clock: MockClock) -> None:
    async with running(bot) as mesh:
        await mesh.state.put("check/t1", ["r1", "r2"])
        mesh.pages["/runs/of-check"] = {"workflow": KIND}
        asked: list[object] = []
        mesh.pages["/runs/of-other"] = lambda query: asked.append(query) or {"workflow": "reboot"}
        active = [("r1", "t1"), ("r2", "t9"), ("r3", "t1")]
        mesh.pages["/runs"] = lambda query: {
            "items": [{"runId": run_id, "params": {"check": check}} for run_id, check in active],
            "next": None,
        }
        for task_id, run_id in (("t1", "of-check"), ("t2", "of-other"), ("t3", "of-other")):
            cancelled = {"taskId": task_id, "runId": run_id, "state": "cancelled", "reason": "enough"}
            await mesh.event("task.cancelled", f"task/{task_id}", cancelled)
        assert [command.run_id for command in mesh.commands(CancelRun)] == ["r1", "r3"]
        assert "check/t1" not in await mesh.state.list()
        assert len(asked) == 1, "a large run that is cancelled is asked for once"


async def test_an_admin_that_is_away_for_a_while_fails_nothing(autojump_clock: MockClock) -> None:
    async with running(bot) as mesh:
        tries: list[object] = []

        def away(query: Mapping[str, object]) -> dict[str, Any]:
            tries.append(query)
            if len(tries) < 5:
                raise QueryFailed("the admin is started anew")
            return {"items": [], "more": False}

        mesh.pages["/plays/report"] = away
        done = await mesh.task(KIND, wish())
        assert (done.outcome, done.outputs["plays"]) == (Outcome.PASSED, 0)
        assert tries[0] == {"check": done.task_id, "by": "model", "hours": 720}


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "names no video"),
        (wish(videos=[]), "names no video"),
        (wish(videos=[{"url": "ftp://host/v.mp4"}]), "video 1 has the address 'ftp://host/v.mp4': it must begin"),
        (wish(videos=[{"url": "v.mp4"}]), "it must begin with one of https, http"),
        (wish(videos=[{"url": "https://a b"}]), "no spaces"),
        (wish(videos=[{"url": "https://"}]), "names nothing after its scheme"),
        (wish(videos=[{"url": "http://[bad"}]), "which is none"),
        (wish(videos=[{"url": URL, "seconds": 0}]), "is 0 seconds long"),
        (wish(videos=[{"url": URL, "likes": 5}]), "likes"),
        (wish(repeats=0), "repeats is 0: it must be 1 to 50"),
        (wish(watchSeconds=601), "watchSeconds is 601"),
        (wish(stallsMax=-1), "stallsMax is -1"),
        (wish(repeats=50), "make several checks"),
        (wish(targets={"kind": "bot", "bot": "x.y"}), "videos play on phones"),
        (wish(targets={"kind": "some"}), "some"),
    ],
)
async def test_bad_input_is_one_sentence_and_no_run(
    autojump_clock: MockClock, params: dict[str, Any], words: str
) -> None:
    async with running(bot) as mesh:
        done = await mesh.task(KIND, params)
        assert done.failure is not None
        assert words in done.failure.message
        assert mesh.commands(CreateRun) == []


async def test_no_phones_that_match_are_said_as_the_broker_says_it(autojump_clock: MockClock) -> None:
    async with running(bot) as mesh:
        mesh.refuse(CreateRun, "none of the 2 known devices has the tag 'lab'", code="no_targets")
        done = await mesh.task(KIND, wish())
        assert done.failure is not None
        assert (done.failure.error_class.value, done.failure.message) == (
            "user",
            "none of the 2 known devices has the tag 'lab'",
        )
