"""Power cuts lose nothing that was acknowledged; settings that are too weak do, and the harness sees it."""

from __future__ import annotations

import random

import pytest

from tests.power.campaign import run_campaign
from tests.power.disk import Disk, PowerCut, Truncate, Write
from tests.power.subjects import SUBJECTS, Subject

each_subject = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)


@each_subject
def test_no_cut_loses_or_damages_what_was_acknowledged(subject: Subject) -> None:
    report = run_campaign(subject, cuts=60, seed=7)
    assert (report.lost, report.corrupt, report.other) == (0, 0, 0), report.first_bad
    assert report.cuts == 60
    assert report.inside > 30
    assert report.commits > 60
    assert set(report.phases) == {"open", "commit", "checkpoint", "close", "migrate"}
    never = {"names lost", "writes lost", "sectors torn", "garbage sectors", "reordered"} - set(report.faults)
    assert not never, f"the disk never did this: {never}"


@each_subject
@pytest.mark.parametrize("synchronous", ["NORMAL", "OFF"])
def test_weaker_settings_are_found_out(subject: Subject, synchronous: str) -> None:
    report = run_campaign(subject, cuts=30, seed=7, synchronous=synchronous)
    assert report.lost > 0
    if synchronous == "NORMAL":
        assert report.corrupt == 0, report.first_bad


def test_a_disk_keeps_what_was_synced_and_any_part_of_the_rest() -> None:
    seen = set()
    for seed in range(200):
        disk = Disk({"a": b"old!"})
        inode, created = disk.open("a")
        assert not created
        disk.change(inode, Write(4, b"sync"))
        disk.sync(inode)
        disk.change(inode, Write(8, b"1"))
        disk.change(inode, Write(9, b"2"))
        disk.change(inode, Truncate(9))
        disk.cut()
        content = disk.after_cut(random.Random(seed))["a"]
        assert content[:8] == b"old!sync"
        seen.add(content[8:])
        with pytest.raises(PowerCut):
            disk.change(inode, Write(0, b"x"))
    assert {b"", b"1", b"12", b"\x002"} <= seen


def test_a_name_may_vanish_until_its_folder_is_synced() -> None:
    names = set()
    for seed in range(40):
        disk = Disk({"kept": b""})
        disk.delete("kept")
        inode, created = disk.open("new")
        assert created
        disk.sync(inode)
        disk.cut()
        names.add(frozenset(disk.after_cut(random.Random(seed))))
    assert names == {frozenset(), frozenset({"kept"}), frozenset({"new"}), frozenset({"kept", "new"})}
    disk = Disk()
    disk.open("new")
    disk.sync_folder()
    disk.cut()
    assert disk.after_cut(random.Random(1)) == {"new": b""}
