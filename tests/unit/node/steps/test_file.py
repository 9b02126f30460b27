"""file.push, file.pull, log.collect."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from doai.drivers.base import CommandOutput
from doai.errors import ErrorClass
from doai.node.steps.file import extension_of
from doai.phone.faults import Fault, FaultOrder
from doai.workflow.device_steps import Pull

Make = Callable[[dict[str, Any]], Any]


def put(bench: Any, folder: Path, data: bytes) -> str:
    (folder / "song").write_bytes(data)
    bench.context.files["song@2"] = folder / "song"
    return hashlib.sha256(data).hexdigest()


async def test_a_file_goes_to_the_device_and_comes_back(phone: Any, tmp_path: Path) -> None:
    digest = put(phone, tmp_path, b"la la " * 1000)
    done = await phone.do("file.push", file="song@2", path="/sdcard/Music/new/my song's.MP3", executable=True)
    assert (done.size_bytes, done.sha256) == (6000, digest)
    assert phone.device.phone.files.stat(done.path).mode & 0o777 == 0o755
    back = await phone.do("file.pull", path=done.path, name="song")
    assert (back.artifact, back.sha256) == ("song-1.mp3", digest)
    assert phone.context.kept[back.artifact] == b"la la " * 1000


async def test_what_can_not_be_moved_is_said(phone: Any, tmp_path: Path) -> None:
    error = await phone.fail("file.pull", path="/sdcard/none.txt")
    assert (error.failure.error_class, error.code) == (ErrorClass.USER, "no_such_file")
    put(phone, tmp_path, b"x")
    error = await phone.fail("file.push", file="song@2", path="/system/bin/ls")
    assert (error.failure.error_class, error.code) == (ErrorClass.DEVICE, "push_failed")
    phone.device.phone.order(FaultOrder(Fault.STORAGE_FULL), 0.0)
    error = await phone.fail("file.push", file="song@2", path="/sdcard/song.mp3")
    assert (error.failure.error_class, error.code) == (ErrorClass.DEVICE, "storage_full")


async def test_other_bytes_on_the_device_are_found(scripted: Make, tmp_path: Path) -> None:
    bench = scripted({"sha256sum": "0" * 64 + "  /sdcard/a"})
    put(bench, tmp_path, b"x")
    error = await bench.fail("file.push", file="song@2", path="/sdcard/a")
    assert (error.failure.error_class, error.code) == (ErrorClass.DEVICE, "file_differs")
    bench = scripted({"sha256sum": CommandOutput(b"", b"sha256sum: not found", 127)})
    put(bench, tmp_path, b"x")
    assert (await bench.do("file.push", file="song@2", path="/sdcard/a")).size_bytes == 1


@pytest.mark.parametrize("path", ["sdcard/a", "/sdcard/", "/", "/a\n", ""])
def test_a_path_is_absolute_and_of_a_file(path: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"path": path}, Pull)


@pytest.mark.parametrize(
    ("path", "extension"),
    [("/a/b.PNG", "png"), ("/a/b", "bin"), ("/a.d/b", "bin"), ("/a/.profile", "bin"), ("/a/b.tar.gz", "gz")],
)
def test_an_artifact_keeps_the_files_ending(path: str, extension: str) -> None:
    assert extension_of(path) == extension


async def test_the_log_of_the_simulated_phone(phone: Any) -> None:
    model = phone.device.phone
    for at_s in range(10):
        model.log("Shop", f"line {at_s}", 100.0 + at_s, "E" if at_s == 7 else "I")
    model.log("Other", "noise", 110.0)
    whole = await phone.do("log.collect")
    text = phone.context.kept[whole.artifact]
    assert whole.lines == text.count(b"\n") >= 12
    assert (await phone.do("log.collect", lines_max=2, name="two")).lines == 2
    only = await phone.do("log.collect", tags=["Shop"], level="error", name="errors")
    assert [line for line in phone.context.kept[only.artifact].splitlines() if b"Shop" in line] == [
        line for line in text.splitlines() if b"line 7" in line
    ]
    assert b"noise" not in phone.context.kept[only.artifact]


async def test_a_time_is_by_the_devices_own_clock(scripted: Make) -> None:
    bench = scripted({"date": "1700000100", "pidof": "4242\n", "logcat": "--------- beginning of main\n"})
    await bench.do("log.collect", since="90s", package="com.example.app", tags=["A", "B"], clear=True)
    assert bench.device.commands[2:] == [
        "logcat -d -v threadtime -b main -b system -b crash --pid=4242 -T 1700000010.000 A:V B:V '*:S'",
        "logcat -c",
    ]


async def test_a_log_that_can_not_be_had(scripted: Make) -> None:
    bench = scripted({"logcat": CommandOutput(b"", b"logcat: Unable to open log device", 1), "pidof": ""})
    error = await bench.fail("log.collect")
    assert (error.failure.error_class, error.code) == (ErrorClass.DEVICE, "log_unreadable")
    error = await bench.fail("log.collect", package="com.example.app")
    assert (error.failure.error_class, error.code) == (ErrorClass.APP, "app_not_running")
    error = await bench.fail("log.collect", since="5m")
    assert (error.failure.error_class, error.code) == (ErrorClass.DEVICE, "device_not_ready")
