"""Two fleets that did real work, for `bin/screenshots`: three simulated phones, and three thousand fake devices.

The second is `doai up` and twelve nodes that joined it as hosts do, each the real program with devices of the fake
driver. Whatever the pages show of either was done there, within the minutes before.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from playwright.sync_api import Browser, expect

from tests.browser.desk import PHONES, WAIT_MS, Desk
from tests.browser.guard import guard
from tests.integration.installed import FREE_PORTS, START_S, environment, up

NODES: Final = 12
A_NODE: Final = 250
SLOTS: Final = 40
"""Tasks at once of a node that does nothing else."""
FEW: Final = 40
"""Devices of a shelf that are found to be wrong."""
AT_ONCE: Final = 500
"""Devices that the API describes with one request."""
WITHIN_S: Final = 240.0
"""For what the large fleet does before it is looked at, on two busy cores."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A site, and somebody who is signed in there."""

    fleet: str
    url: str
    cookies: list[dict[str, str]]
    names: dict[str, str]
    """Of a device, a run, a task and a bot, for the paths of pages."""


@contextmanager
def three(browser: Browser) -> Iterator[Place]:
    """Three simulated phones behind adb that took a picture, and watched a video."""
    with _desk(browser, PHONES) as desk:
        desk.site.wait_for_phones(PHONES)
        _describe(desk, [f"SIM000{n}" for n in range(1, PHONES + 1)], shelf="A1")
        desk.run("screenshot-baseline")
        run_id = desk.run("playback-check", video_id="doai-test-1", seconds=5)
        _put_schedule(desk)
        page = desk.page("/")
        expect(page.locator(".kpis")).to_contain_text("of 6")  # the minutes of both runs are over
        page.close()
        yield _place("3", desk, "SIM0001", run_id)


@contextmanager
def three_thousand(browser: Browser) -> Iterator[Place]:
    """Twelve nodes with 250 devices each: all were looked after, now they watch a video; some things went wrong."""
    with _desk(browser, 0) as desk, ExitStack() as nodes:
        folder = desk.site.data_dir.parent
        names = [f"shelf-{n:02}" for n in range(1, NODES + 1)]
        for name, item in zip(
            names, desk.ask("POST", "/enrolments", {"names": names}).json()["items"], strict=True
        ):
            nodes.enter_context(_node(folder / name, name, item["token"]))
        _wait(f"{NODES * A_NODE} devices online", lambda: _online(desk) == NODES * A_NODE)
        for name in names:
            _describe(desk, _serials(name), shelf=name[-2:])
        _ended(desk, _start(desk, "health-sweep"))
        _ended(desk, _start(desk, "screenshot-baseline", on=_serials(names[1])[:FEW]))
        for serial in _serials(names[2])[:FEW]:
            desk.ask("POST", f"/devices/{serial}/hold", {"forS": 7200, "reason": "new batteries"})
        for serial in _serials(names[4])[: FEW // 2]:
            desk.ask("POST", f"/devices/{serial}/quarantine", {"reason": "its screen is broken"})
        _put_schedule(desk)
        run_id = _start(desk, "playback-check", video_id="doai-test-1", seconds=30)
        _wait("a tenth of the run has ended", lambda: _of_run(desk, run_id) >= NODES * A_NODE // 10)
        yield _place("3000", desk, _serials(names[0])[0], run_id)


@contextmanager
def _desk(browser: Browser, phones: int) -> Iterator[Desk]:
    expect.set_options(timeout=WAIT_MS)
    with (
        tempfile.TemporaryDirectory(prefix="doai-screenshots-") as folder,
        up(Path(folder) / "data", phones=phones, words=FREE_PORTS) as site,
    ):
        desk = Desk(site, browser)
        with guard(desk, Path(folder)):
            page = desk.page("/bots")
            expect(page.locator("tr").filter(has_text="Looks after queues")).to_contain_text("Online")
            page.close()
            yield desk
        desk.api.close()
        desk.context.close()


def _place(fleet: str, desk: Desk, serial: str, run_id: str) -> Place:
    [task, *_] = desk.ask("GET", f"/tasks?run_id={run_id}&device={serial}").json()["items"]
    cookies = [{"name": each["name"], "value": each["value"], "url": desk.url} for each in desk.context.cookies()]
    names = {"serial": serial, "run": run_id, "task": task["taskId"], "bot": "guard"}
    return Place(fleet=fleet, url=desk.url, cookies=cookies, names=names)


@contextmanager
def _node(folder: Path, name: str, token: str) -> Iterator[None]:
    """Join with the token as a host does, and run until the block ends."""
    words = ["--join", token, "--data-dir", str(folder), "--drivers", "fake", "--fake-count", str(A_NODE)]
    words += ["--fake-prefix", f"{name}-", "--slots", str(SLOTS), "--start"]
    with (folder.parent / f"{name}.err").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "doai.cli.node", *words],
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            env=environment(folder),
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=START_S)


def _serials(name: str) -> list[str]:
    return [f"{name}-{number:04d}" for number in range(1, A_NODE + 1)]


def _describe(desk: Desk, serials: list[str], *, shelf: str) -> None:
    for n in range(0, len(serials), AT_ONCE):
        said = [
            {
                "serial": serial,
                "label": f"no. {int(serial[-4:])}",
                "shelf": f"{shelf}-{int(serial[-4:])}",
                "groups": ["night" if int(serial[-4:]) % 2 else "day"],
            }
            for serial in serials[n : n + AT_ONCE]
        ]
        desk.ask("POST", "/devices/descriptions", {"devices": said})


def _put_schedule(desk: Desk) -> None:
    run = {"workflow": "health-sweep", "targets": {"kind": "all", "selector": {"groups": ["night"]}}}
    plan = {"run": run, "schedule": {"cron": "0 3 * * *", "zone": "Asia/Seoul"}}
    desk.ask("POST", "/campaigns", {"name": "nightly-health", "plan": plan})


def _start(desk: Desk, workflow: str, on: list[str] | None = None, **params: Any) -> str:
    targets = {"kind": "all"} if on is None else {"kind": "devices", "serials": on}
    body = {"workflow": workflow, "targets": targets, "params": params, "attempts": 1}
    run_id: str = desk.ask("POST", "/runs", body).json()["runId"]
    return run_id


def _online(desk: Desk) -> int:
    found: int = desk.ask("GET", "/overview").json()["devices"].get("online", 0)
    return found


def _of_run(desk: Desk, run_id: str) -> int:
    """Return how many tasks of a run have ended."""
    run = desk.ask("GET", f"/runs/{run_id}").json()
    return sum(run["counts"].get(state, 0) for state in ("passed", "failed", "unknown"))


def _ended(desk: Desk, run_id: str) -> None:
    _wait(f"run {run_id} has ended", lambda: desk.ask("GET", f"/runs/{run_id}").json()["endedAtMs"] is not None)


def _wait(what: str, condition: Any) -> None:
    until = time.monotonic() + WITHIN_S
    while not condition():
        # Every condition asks the admin, which takes its time.
        assert time.monotonic() < until, f"not within {WITHIN_S:.0f} s: {what}"
