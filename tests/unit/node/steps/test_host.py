"""host.run: only allowed scripts, and what becomes of their exit code, output and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from doai.errors import ErrorClass, StepError
from doai.node.steps.host import HostScripts
from doai.workflow.host_steps import Run


class Place:
    """A folder of scripts, and a step that may use it."""

    def __init__(self, folder: Path, bench: Any) -> None:
        self.folder = folder / "scripts"
        self.folder.mkdir()
        self.work = folder / "work"
        self.context = bench.context
        self.scripts = HostScripts([self.folder], 5999, self.work)

    def put(self, name: str, text: str, mode: int = 0o755) -> None:
        (self.folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (self.folder / name).chmod(mode)

    async def run(self, script: str, **arguments: Any) -> Any:
        with trio.fail_after(90):
            return await self.scripts.run(msgspec.convert({"script": script, **arguments}, Run), self.context)

    async def fail(self, script: str, **arguments: Any) -> StepError:
        with pytest.raises(StepError) as caught:
            await self.run(script, **arguments)
        return caught.value


@pytest.fixture
def place(tmp_path: Path, scripted: Any) -> Place:
    return Place(tmp_path, scripted({}))


async def test_a_script_gets_the_device_and_its_files_become_artifacts(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOAI_SECRET", "never")
    place.put(
        "look.sh",
        'echo "{\\"serial\\": \\"$ANDROID_SERIAL\\", \\"port\\": $ANDROID_ADB_SERVER_PORT, \\"arg\\": \\"$1\\"}"\n'
        "env >&2; cat > $DOAI_FILES/input.json; mkdir $DOAI_FILES/sub; echo x > $DOAI_FILES/sub/a.b.csv\n"
        "ln -s /etc/passwd $DOAI_FILES/link",
    )
    done = await place.run("look.sh", args=["a b; $HOME"], input={"n": 1})
    assert done.json == {"serial": "PHONE-1", "port": 5999, "arg": "a b; $HOME"}
    assert "never" not in done.stderr
    kept = place.context.kept
    assert kept["input-1.json"] == b'{"n":1}'
    assert kept["a.b-1.csv"] == b"x\n"
    assert kept["step-1-stdout-1.txt"].startswith(b'{"serial"')
    assert len(kept) == 4
    assert len(done.files) == 4
    assert list(place.work.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "error_class"),
    [
        (1, ErrorClass.APP),
        (64, ErrorClass.USER),
        (69, ErrorClass.DEVICE),
        (75, ErrorClass.INFRASTRUCTURE),
        (77, ErrorClass.AUTH),
    ],
)
async def test_exit_codes_become_error_classes(place: Place, code: int, error_class: ErrorClass) -> None:
    place.put("end.sh", f"echo because >&2; exit {code}")
    error = await place.fail("end.sh")
    assert (error.failure.error_class, error.code) == (error_class, "exit_code")
    assert f"exit code {code}" in str(error)
    assert "because" in str(error)
    assert place.context.kept["step-1-stderr-1.txt"] == b"because\n"
    assert (await place.run("end.sh", exit_codes=[0, code])).exit_code == code


async def test_only_executable_files_in_allowed_folders_run(place: Place, tmp_path: Path) -> None:
    place.put("plain.sh", "exit 0", 0o644)
    (tmp_path / "outside.sh").write_text("#!/bin/sh\n")
    (tmp_path / "outside.sh").chmod(0o755)
    (place.folder / "way_out.sh").symlink_to(tmp_path / "outside.sh")
    assert (await place.fail("plain.sh")).code == "script_not_executable"
    for script in ("none.sh", "../outside.sh", str(tmp_path / "outside.sh"), "way_out.sh", "."):
        assert (await place.fail(script)).code == "script_not_allowed"
    none = HostScripts([], 5037)
    with pytest.raises(StepError) as caught:
        await none.run(Run(script="plain.sh"), place.context)
    assert caught.value.code == "no_host_scripts"


async def test_what_a_stopped_script_had_said_is_kept(place: Place, tmp_path: Path) -> None:
    place.put("hang.sh", f"echo working; echo x > {tmp_path}/note; while :; do sleep 0.05; done")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(place.run, "hang.sh")
        with trio.fail_after(90):
            while not await trio.Path(tmp_path / "note").exists():  # noqa: ASYNC110 - another process's file
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert place.context.kept == {"step-1-stdout-1.txt": b"working\n"}
    [sentence] = place.context.sentences
    assert sentence.startswith("hang.sh was stopped with all of its processes (hang.sh")
    assert list(place.work.iterdir()) == []


async def test_too_many_files_are_named(place: Place) -> None:
    place.put("many.sh", "for i in $(seq 51); do : > $DOAI_FILES/$i; done")
    assert (await place.fail("many.sh")).code == "too_many_files"
