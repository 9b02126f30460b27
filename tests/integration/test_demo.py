"""`bin/demo` as a person starts it: what it prints, its exit code, and that it leaves nothing behind."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from doai.bots.loading import SHIPPED
from doai.drivers.png import whole_png
from tests.integration.fleet import LOOK_S, WITHIN_S
from tests.integration.reconcile import Store, reconcile

pytestmark = pytest.mark.slow
DEMO: Final = Path(__file__).resolve().parents[2] / "bin" / "demo"

QUICK = """
workflow: quick
steps:
  - {id: shot, use: screen.capture}
  - {id: keep, use: artifact.upload, with: {artifact: "${steps.shot.artifact}"}}
"""
LONG = """
workflow: long
steps:
  - {id: first, use: device.shell, with: {command: echo one}, idempotent: true}
  - {id: nap, use: wait, with: {for: 60s}}
always:
  - {id: bye, use: app.stop, with: {package: com.example.app}}
"""
FAILING = """
workflow: failing
steps:
  - {id: look, use: device.shell, with: {command: echo one}, expect: "stdout == 'two'", idempotent: true}
on_failure:
  - {id: shot, use: screen.capture, with: {name: failed}}
  - {id: keep, use: artifact.upload, with: {artifact: "${steps.shot.artifact}"}}
"""


class Demo:
    """A demo that runs. All its processes carry its temp folder in their environment."""

    def __init__(self, process: trio.Process, folder: Path) -> None:
        self.process = process
        self.folder = folder
        self.data_dir = folder / "data"
        self.out = folder / "out"
        self.err = folder / "err"

    def log(self, name: str) -> str:
        """Return what a program has logged so far."""
        path = self.data_dir / "log" / f"{name}.log"
        return path.read_text() if path.exists() else ""

    async def until(self, what: str, condition: Callable[[], bool]) -> None:
        """Return when it holds; the demo must still run then."""
        with trio.move_on_after(WITHIN_S):
            while not condition():
                assert self.process.poll() is None, f"it ended before {what}: {self.err.read_text()}"
                await trio.sleep(LOOK_S)
            return
        raise AssertionError(f"not within {WITHIN_S:.0f} s: {what}")

    async def end(self) -> int:
        """Wait for its end and return its exit code."""
        with trio.fail_after(WITHIN_S):
            return await self.process.wait()

    async def vanish(self) -> None:
        """Return when none of its processes is left, and none of their ports."""
        with trio.move_on_after(WITHIN_S):
            while family(self.folder):  # noqa: ASYNC110 - other processes
                await trio.sleep(LOOK_S)
        assert family(self.folder) == {}


def family(folder: Path) -> dict[int, str]:
    """Return the command lines, by pid, of all processes with this folder as their TMPDIR."""
    wanted = f"TMPDIR={folder}\0".encode()
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (path / "environ").read_bytes():
                found[int(path.name)] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # it ended meanwhile
    return found


def listening(pids: list[int]) -> set[int]:
    """Return the inodes of all TCP sockets on which these processes listen."""
    tables = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {int(row[9]) for row in tables if row[3] == "0A"}
    found: set[int] = set()
    for pid in pids:
        try:
            links = list(Path(f"/proc/{pid}/fd").iterdir())
        except OSError:
            continue  # it ended meanwhile
        for link in links:
            try:
                name = str(link.readlink())
            except OSError:
                continue
            if name.startswith("socket:["):
                found.add(int(name[8:-1]))
    return found & inodes


def all_listening() -> set[int]:
    tables = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(row[9]) for row in tables if row[3] == "0A"}


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short: sockets of programs that start are below it."""
    with tempfile.TemporaryDirectory(prefix="doai-test-") as name:
        yield Path(name)


@asynccontextmanager
async def open_demo(folder: Path, *words: str, workflow: str | None = None) -> AsyncIterator[Demo]:
    """Start a demo; whatever the test does, nothing of it survives."""
    if workflow is not None:
        (folder / "flow.yaml").write_text(workflow)
        words = (*words, "--workflow", str(folder / "flow.yaml"))
    command = [str(DEMO), "--data-dir", str(folder / "data"), *words]
    # A service user may have no home; the demo has no business there anyway.
    environ = {**os.environ, "TMPDIR": str(folder), "HOME": str(folder / "no-home")}
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = await trio.lowlevel.open_process(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environ, start_new_session=True
        )
    demo = Demo(process, folder)
    try:
        with trio.fail_after(3 * WITHIN_S):
            yield demo
    finally:
        for pid in family(folder):
            with suppress(ProcessLookupError):  # it ended by itself
                os.kill(pid, signal.SIGKILL)
        with trio.CancelScope(shield=True):
            await process.wait()


def result_of(demo: Demo) -> dict[str, Any]:
    """Return the one JSON object on stdout; anything else there is an error."""
    result: dict[str, Any] = json.loads(demo.out.read_text())
    assert set(result) == {"run", "tasks", "seconds", "data_dir"}
    assert set(result["run"]) == {"id", "workflow", "outcome"}
    for task in result["tasks"]:
        assert set(task) == {"device", "node", "outcome", "duration_s", "artifacts"}
    return result


async def test_a_run_on_three_phones(folder: Path) -> None:
    async with open_demo(folder, "--once", "--phones", "3", "--json") as demo:
        assert await demo.end() == 0
        assert demo.err.read_text() == ""
        result = result_of(demo)
        assert result["run"]["workflow"] == "playback-check@1"
        assert result["run"]["outcome"] == "passed"
        assert [task["device"] for task in result["tasks"]] == ["SIM0001", "SIM0002", "SIM0003"]
        assert {(task["node"], task["outcome"]) for task in result["tasks"]} == {("node-1", "passed")}
        assert all(5 <= task["duration_s"] <= result["seconds"] for task in result["tasks"])
        data_dir = Path(result["data_dir"])
        assert data_dir == demo.data_dir
        stored = {f"broker/artifacts/{path}": sha256 for path, sha256 in Store(data_dir).stored().items()}
        named = [path for task in result["tasks"] for path in task["artifacts"]]
        assert sorted(named) == sorted(stored)
        assert len(named) == 3
        for path, sha256 in stored.items():
            picture = (data_dir / path).read_bytes()
            assert whole_png(picture)
            assert hashlib.sha256(picture).hexdigest() == sha256
        assert reconcile(data_dir) == []
        await demo.vanish()
    assert not (folder / "no-home").exists()


async def test_the_shipped_bots_work_beside_the_run_and_a_signal_ends_them_too(folder: Path) -> None:
    async with open_demo(folder, "--bots", "--phones", "2", "--json", workflow=QUICK) as demo:
        for moment in ("while the node starts", "while devices connect"):
            await demo.until(moment, lambda wanted=moment: MOMENTS[wanted](demo))  # type: ignore[misc]
        await demo.until("the run", lambda: "run of quick" in demo.log("broker"))
        await demo.until("the end of the run", lambda: "Ctrl-C ends the demo" in demo.err.read_text())
        result = json.loads(demo.out.read_text())
        bots = {bot["name"]: bot for bot in result["bots"]}
        assert set(bots) == set(SHIPPED)
        assert all(bot["passed"] and bot["state"] != "offline" for bot in bots.values()), bots
        assert "2 of 2 plays passed" in bots["playback-bot"]["did"]
        assert "2 of 2 phones are healthy" in bots["health-bot"]["did"]
        assert "on 2 phones: 2 installed" in bots["install-bot"]["did"]
        assert sum("doai.cli.bot" in command for command in family(folder).values()) == len(SHIPPED)
        demo.process.send_signal(signal.SIGINT)
        assert await demo.end() in {0, 130}
        await demo.vanish()
        assert "Traceback" not in demo.err.read_text()


async def test_a_run_that_fails(folder: Path) -> None:
    async with open_demo(folder, "--once", "--phones", "2", "--json", workflow=FAILING) as demo:
        assert await demo.end() == 1
        result = result_of(demo)
        assert result["run"]["outcome"] == "failed"
        assert [task["outcome"] for task in result["tasks"]] == ["failed", "failed"]
        assert [len(task["artifacts"]) for task in result["tasks"]] == [1, 1], "the screenshots of on_failure"
        assert reconcile(demo.data_dir) == []


async def test_mistakes_in_a_workflow_are_named_with_line_and_column(folder: Path) -> None:
    mistaken = "workflow: mistaken\nsteps:\n  - {id: shot, use: screen.captur}\n"
    async with open_demo(folder, "--once", "--phones", "1", "--json", workflow=mistaken) as demo:
        assert await demo.end() == 1
        assert demo.out.read_text() == ""
        words = demo.err.read_text()
        assert f"{folder}/flow.yaml: line 3, column 21: " in words
        assert "screen.captur" in words
        assert "Traceback" not in words
        await demo.vanish()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--phones", "0"], 2, "--phones 0 must be between 1 and 500"),
        (["--workflow", "missing.yaml"], 2, "there is no such file"),
        (["--once", "--phones", "1", "--json", "--param", "seconds=many"], 2, "seconds"),
        (["--data-dir", "/proc/doai", "--once"], 78, "cannot use the data folder /proc/doai"),
    ],
)
async def test_bad_input_is_one_sentence(folder: Path, words: list[str], code: int, said: str) -> None:
    async with open_demo(folder, *words) as demo:
        assert await demo.end() == code
        assert said in demo.err.read_text()
        assert "Traceback" not in demo.err.read_text()
        assert demo.out.read_text() == ""
        await demo.vanish()


MOMENTS: Final[dict[str, Callable[[Demo], bool]]] = {
    "while it loads": lambda demo: "msgspec" in Path(f"/proc/{demo.process.pid}/maps").read_text(),
    "while the broker starts": lambda demo: (demo.data_dir / "log" / "broker.log").exists(),
    "while the admin starts": lambda demo: (demo.data_dir / "log" / "admin.log").exists(),
    "while the phones start": lambda demo: (demo.data_dir / "log" / "phones.log").exists(),
    "while the node starts": lambda demo: (demo.data_dir / "log" / "node.log").exists(),
    "while devices connect": lambda demo: "took this node in" in demo.log("node"),
    "in the middle of the run": lambda demo: "run of long" in demo.log("broker"),
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_signal_ends_all_of_it(folder: Path, moment: str, number: signal.Signals) -> None:
    async with open_demo(folder, "--phones", "3", "--json", workflow=LONG) as demo:
        await demo.until(moment, lambda: MOMENTS[moment](demo))
        ports = listening(list(family(folder)))
        demo.process.send_signal(number)
        # While it loads it has no handler of its own; a shell shows the end by a signal as 130 all the same.
        assert await demo.end() in ({130, -number} if moment == "while it loads" else {130})
        await demo.vanish()
        assert ports & all_listening() == set()
        assert demo.out.read_text() == ""
        assert demo.err.read_text().count("\n") <= 1, demo.err.read_text()


async def test_ctrl_c_after_the_run(folder: Path) -> None:
    """Without --once it stays, so that a person can look around; then Ctrl-C is how it ends."""
    async with open_demo(folder, "--phones", "2", workflow=QUICK) as demo:
        await demo.until("the end of the run", lambda: "Ctrl-C ends the demo" in demo.out.read_text())
        ports = listening(list(family(folder)))
        assert len(ports) >= 5, "broker, admin, adb server, phones"
        demo.process.send_signal(signal.SIGINT)
        assert await demo.end() in {0, 130}
        await demo.vanish()
        assert ports & all_listening() == set()
        assert "Traceback" not in demo.err.read_text()


@pytest.mark.parametrize("moment", ["while the node starts", "in the middle of the run"])
async def test_a_demo_that_is_killed_leaves_nothing(folder: Path, moment: str) -> None:
    async with open_demo(folder, "--phones", "3", "--json", workflow=LONG) as demo:
        await demo.until(moment, lambda: MOMENTS[moment](demo))
        demo.process.kill()
        await demo.end()
        await demo.vanish()
