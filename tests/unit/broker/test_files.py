"""Files in the core: versions never change, runs pin them, and what an open run needs stays."""

from __future__ import annotations

from typing import Any

import pytest

from doai import topics
from doai.broker.core.settings import CoreSettings
from doai.broker.core.stored_files import FilesError, StoredFiles
from doai.changes.rows import FileRow
from doai.limits import FILES_PINNED_MAX
from doai.messages import commands as c
from doai.messages.work import FilePin
from doai.story.sentences import sentence
from doai.workflow.files import FileNeed
from doai.workflow.step_type import Arguments, FileReference, NoOutputs, StepType
from doai.workflow.steps import BUILT_IN
from tests.unit.broker.harness import FakeAdmin, World, started_world

ONE, TWO = "1" * 64, "2" * 64
RECIPE = """
workflow: put
params: {app: {type: string, default: my-app}}
steps:
  - {id: push, use: test.push, with: {file: "${params.app}"}}
"""


class Push(Arguments, frozen=True, kw_only=True):
    file: FileReference


@pytest.fixture(autouse=True)
def push_step(monkeypatch: pytest.MonkeyPatch) -> None:
    push = StepType(name="test.push", arguments=Push, outputs=NoOutputs, on_device=True, idempotent=True)
    monkeypatch.setitem(BUILT_IN, push.name, push)  # type: ignore[arg-type]


def put(admin: FakeAdmin, name: str, version: str = "", sha256: str = ONE) -> c.FileStored:
    return admin.do(
        c.STORE_FILE, c.StoreFile(name=name, version=version, sha256=sha256, size_bytes=7), c.FileStored
    )


def refused(admin: FakeAdmin, **about: Any) -> c.Problem:
    fields = {"name": "my-app", "version": "1.4", "sha256": ONE, "size_bytes": 7} | about
    return admin.refused(c.STORE_FILE, c.StoreFile(**fields))


def test_a_version_never_changes() -> None:
    world, _, admin = started_world("A")
    assert put(admin, "my-app", "1.4").new
    assert not put(admin, "my-app", "1.4").new
    problem = refused(admin, sha256=TWO)
    assert (problem.code, "a version never changes" in problem.message) == ("file_exists", True)
    world.restart()
    assert refused(FakeAdmin(world), sha256=TWO).code == "file_exists"
    assert [row.sha256 for row in world.tables.files.values()] == [ONE]
    assert len(world.events(topics.FILE_STORED)) == 1


def test_without_a_version_numbers_are_given() -> None:
    _, _, admin = started_world("A")
    assert put(admin, "my-app").version == "1"
    assert not put(admin, "my-app").new
    assert put(admin, "my-app", sha256=TWO).version == "2"
    assert put(admin, "my-app", "9").new
    assert put(admin, "my-app", sha256=TWO).version == "10"


def test_what_a_file_was_made_from_is_told() -> None:
    world, _, admin = started_world("A")
    store = c.StoreFile(name="home", sha256=ONE, size_bytes=7, origin="artifact c/n/s/r/home-1.png")
    admin.do(c.STORE_FILE, store, c.FileStored)
    [event] = world.events(topics.FILE_STORED)
    text = sentence(topics.FILE_STORED, world.payload(event))
    assert text == "File home@1 (7 bytes) stored by user/ann from artifact c/n/s/r/home-1.png"


@pytest.mark.parametrize(
    ("about", "code"),
    [
        ({"name": "../x"}, "bad_file_name"),
        ({"version": "a/b"}, "bad_file_name"),
        ({"sha256": "XY"}, "bad_file"),
        ({"size_bytes": -1}, "bad_file"),
        ({"media_type": "no type\n"}, "bad_file"),
        ({"origin": "a\nb"}, "bad_file"),
        ({"origin": "a" * 601}, "bad_file"),
    ],
)
def test_what_is_no_file_is_refused(about: dict[str, Any], code: str) -> None:
    _, _, admin = started_world("A")
    assert refused(admin, **about).code == code


def test_a_full_disk_takes_no_file() -> None:
    world, _, admin = started_world("A", settings=CoreSettings(disk_reserve_bytes=1000))
    world.apply(world.core.disk_room(10, world.now))
    assert refused(admin).code == "disk_low"


def test_a_run_pins_the_newest_version_of_the_moment_it_is_made() -> None:
    world, node, admin = started_world("A", "B")
    admin.store(RECIPE)
    put(admin, "my-app", "1.4")
    put(admin, "my-app", "1.10", TWO)
    admin.run("A", workflow="put")
    put(admin, "my-app", "2", ONE)
    admin.run("B", workflow="put", params={"app": "my-app@1.4"})
    world.restart()
    node.connect()
    pins = {dispatch.device_serial: dispatch.files for dispatch in node.held.values()}
    assert pins["A"] == [FilePin(reference="my-app", version="1.10", sha256=TWO, size_bytes=7)]
    assert pins["B"] == [FilePin(reference="my-app@1.4", version="1.4", sha256=ONE, size_bytes=7)]


def test_a_run_without_its_file_is_refused_with_what_is_near() -> None:
    _, _, admin = started_world("A")
    admin.store(RECIPE)
    targets = c.Targets(kind=c.TargetKind.DEVICES, serials=["A"])
    problem = admin.refused(c.CREATE_RUN, c.CreateRun(workflow="put", targets=targets))
    assert problem.code == "bad_files"
    assert problem.message == (
        "put@1 can not run: steps[0].with.file: there is no file my-app, and none at all: "
        "`doai files put` stores one"
    )
    put(admin, "my-apk", "1")
    assert (
        "did you mean 'my-apk'" in admin.refused(c.CREATE_RUN, c.CreateRun(workflow="put", targets=targets)).message
    )
    create = c.CreateRun(workflow="put", targets=targets, params={"app": "my-apk@2"})
    assert "known are my-apk@1" in admin.refused(c.CREATE_RUN, create).message


def test_a_baseline_may_be_missing_unless_its_version_is_named() -> None:
    files = StoredFiles([])
    assert files.pin("check@1", [FileNeed("home", ("steps", 0), may_be_missing=True)]) == []
    with pytest.raises(FilesError, match="there is no file home, and none at all"):
        files.pin("check@1", [FileNeed("home@3", ("steps", 0), may_be_missing=True)])


def test_a_file_that_an_open_run_needs_is_not_removed() -> None:
    world, node, admin = started_world("A")
    admin.store(RECIPE)
    put(admin, "my-app", "1")
    put(admin, "my-app", "2", TWO)
    put(admin, "copy", "1", TWO)
    made = admin.run("A", workflow="put")
    wanted = c.RemoveFile(name="my-app", version="2")
    problem = admin.refused(c.REMOVE_FILE, wanted)
    assert problem.code == "file_needed"
    assert problem.message == (
        f"my-app@2 is needed by run {made.run_id} of put@1: wait until they have ended, or cancel them"
    )
    removed = admin.do(c.REMOVE_FILE, c.RemoveFile(name="my-app", version="1"), c.FileRemoved)
    assert removed.unused
    world.restart()
    node.connect()
    node.end(next(iter(node.held.values())))
    node.flush()
    admin = FakeAdmin(world)
    removed = admin.do(c.REMOVE_FILE, wanted, c.FileRemoved)
    assert not removed.unused, "another file has the same bytes"
    assert admin.refused(c.REMOVE_FILE, wanted).code == "file_not_found"
    assert list(world.tables.files) == [("copy", "1")]
    assert len(world.events(topics.FILE_REMOVED)) == 2


def row(name: str, version: str, position: int) -> FileRow:
    return FileRow(
        name=name,
        version=version,
        sha256=ONE,
        size_bytes=1,
        media_type="image/png",
        position=position,
        created_at_ms=0,
        created_by="t",
    )


def test_a_pattern_pins_the_newest_of_all_that_fit_and_may_pin_none() -> None:
    files = StoredFiles(
        [row("b/one/x", "1", 1), row("b/one/x", "2", 2), row("b/one/y", "1", 3), row("b/two", "1", 4)]
    )
    pins = files.pin("w@1", [FileNeed("b/one/*", ()), FileNeed("none/*", ())])
    assert [(pin.reference, pin.version) for pin in pins] == [("b/one/x", "2"), ("b/one/y", "1")]
    assert [pin.reference for pin in files.pin("w@1", [FileNeed("b/one/*@2", ())])] == ["b/one/x@2"]


def test_a_run_can_not_ask_for_more_files_than_a_dispatch_holds() -> None:
    files = StoredFiles([row(f"b/{number}", "1", number) for number in range(FILES_PINNED_MAX + 1)])
    with pytest.raises(FilesError, match="it may ask for 257 files, 256 are allowed"):
        files.pin("w@1", [FileNeed("b/*", ())])


def test_a_removed_file_has_no_newest_version() -> None:
    files = StoredFiles([row("a", "1", 1)])
    files.remove(row("a", "1", 1))
    assert files.find("a", None) is None
    world = World()
    assert world.core.state.files.find("a", None) is None
