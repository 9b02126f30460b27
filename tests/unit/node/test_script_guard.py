"""Scripts under their guard: nothing of them is left, however they end."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from doai.node.script import Output, Script, ScriptEnd
from doai.node.script_guard import descendants

MakeScript = Callable[..., Script]


@pytest.fixture
def make_script(tmp_path: Path) -> MakeScript:
    def make(text: str, stdin: bytes = b"") -> Script:
        file = tmp_path / "script"
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)
        env = {"PATH": os.environ["PATH"], "NOTE": str(tmp_path / "note")}
        return Script([str(file)], env=env, folder=tmp_path, stdin=stdin)

    return make


async def ended(script: Script) -> ScriptEnd:
    before = descendants(os.getpid())  # of other tests in this process, such as the tracker of multiprocessing
    with trio.fail_after(90):
        end = await script.run()
    assert not descendants(os.getpid()) - before
    return end


async def wait_for_text(path: Path) -> str:
    note = trio.Path(path)
    with trio.fail_after(90):
        while not await note.exists() or not (await note.read_text()).endswith("\n"):  # noqa: ASYNC110
            await trio.sleep(0.01)
        return await note.read_text()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_exit_code_and_output_are_told(make_script: MakeScript) -> None:
    script = make_script("cat; echo out; echo err >&2; exit 3", b"in\n")
    assert await ended(script) == ScriptEnd(exit_code=3)
    assert (script.stdout.data, script.stderr.data) == (b"in\nout\n", b"err\n")


async def test_the_signal_that_ended_it_is_told(make_script: MakeScript) -> None:
    assert (await ended(make_script("kill -KILL $$"))).exit_code == -9


async def test_what_can_not_be_executed_says_why(tmp_path: Path) -> None:
    file = tmp_path / "none"
    file.write_text("#!/nowhere/at/all\n")
    file.chmod(0o755)
    end = await ended(Script([str(file)], env={}, folder=tmp_path, stdin=b""))
    assert end.exit_code is None
    assert "No such file" in end.error


async def test_a_script_that_daemonises_is_found_and_stopped(make_script: MakeScript, tmp_path: Path) -> None:
    text = "setsid sh -c 'echo $$ > $NOTE; trap \"\" TERM HUP; while :; do sleep 1; done' & \n"
    end = await ended(make_script(text + "while [ ! -s $NOTE ]; do :; done; exit 0"))
    assert end.exit_code == 0
    assert "sh" in end.stopped
    assert not is_alive(int((tmp_path / "note").read_text()))


async def test_a_hanging_script_that_forks_is_stopped_with_all_of_it(
    make_script: MakeScript, tmp_path: Path
) -> None:
    text = "trap '' TERM; for i in 1 2 3; do sh -c 'trap \"\" TERM; sleep 1000; true' & done; echo $! > $NOTE; wait"
    script = make_script(text)
    before = descendants(os.getpid())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(script.run)
        child = int(await wait_for_text(tmp_path / "note"))
        assert is_alive(child)
        nursery.cancel_scope.cancel()
    assert not is_alive(child)
    assert not descendants(os.getpid()) - before
    assert script.end is not None
    assert {"script", "sh"} <= set(script.end.stopped)


async def test_a_script_may_clean_up_when_it_is_stopped(make_script: MakeScript, tmp_path: Path) -> None:
    script = make_script("trap 'echo tidied; exit 0' TERM; echo ready > $NOTE; while :; do sleep 0.05; done")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(script.run)
        await wait_for_text(tmp_path / "note")
        nursery.cancel_scope.cancel()
    assert script.stdout.data == b"tidied\n"


async def test_a_flood_of_output_is_cut_in_the_middle(make_script: MakeScript) -> None:
    script = make_script("echo begin; head -c 20000000 /dev/zero; echo end")
    assert (await ended(script)).exit_code == 0
    data = script.stdout.data
    assert data.startswith(b"begin\n")
    assert data.endswith(b"end\n")
    assert b"bytes left out" in data
    assert len(data) < 1024 * 1024 + 100


def test_output_keeps_both_ends() -> None:
    output = Output(10)
    for piece in (b"abc", b"defgh", b"ij", b"klm", b"nopq"):
        output.add(piece)
    assert output.data == b"abcde\n[... 7 bytes left out ...]\nmnopq"
    small = Output(10)
    small.add(b"abcdefghij")
    assert small.data == b"abcdefghij"
