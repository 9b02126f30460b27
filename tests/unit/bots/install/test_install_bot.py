"""The install-bot in a mesh: which phones it leaves alone, when it stops, what it puts back, and one report."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from trio.testing import MockClock

from doai.bots.install.bot import bot
from doai.bots.install.report import BYTES_MAX, Report, make_report
from doai.bots.install.verdict import Look, Result, Verdict, judge
from doai.bots.install.wish import KIND
from doai.bots.results import QueryFailed
from doai.bots.stored_apps import StoredApp
from doai.bots.testing import Mesh, PlayedTask, TaskOutcome, running
from doai.errors import ErrorClass, Failure
from doai.messages.commands import CreateRun
from doai.states import Outcome

APP, OTHER = "com.example.app", "aaaa1111"
SIGNER = "7b0b6a3b"


def stored(file: str, code: int, **more: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "file": file,
        "sha256": "0" * 64,
        "sizeBytes": 10_000_000,
        "package": APP,
        "versionCode": code,
        "versionName": f"1.{code}",
        "minSdk": 26,
        "targetSdk": 34,
        "abis": ["arm64-v8a"],
        "permissions": [],
        "testOnly": False,
        "certificateSha256": "0" * 64,
        "certificateHash": SIGNER,
    }
    return fields | more


class Phones:
    """Phones as a test plays them: what each has, and which of them fail."""

    def __init__(self, mesh: Mesh, count: int) -> None:
        self.has: dict[str, tuple[int, str] | None] = {f"P{number:02}": None for number in range(count)}
        self.about: dict[str, dict[str, Any]] = {serial: {} for serial in self.has}
        self.fails: set[str] = set()
        self.half: set[str] = set()
        """The app is on them although the task fails."""
        self.away: set[str] = set()
        self.stuck: set[str] = set()
        """They can not be put back."""
        self.installs: list[list[str]] = []
        mesh.plays_runs("app-look", self.look)
        mesh.plays_runs("app-install", self.install)
        mesh.plays_runs("app-remove", self.remove)
        mesh.pages["/apps/shop"] = mesh.pages["/apps/shop@1.4"] = stored("shop@1.4", 14)
        mesh.pages["/files"] = {"items": [{"name": "shop", "version": "1.4"}], "next": None}

    def look(self, run: CreateRun) -> dict[str, PlayedTask]:
        return {serial: self._looked(serial) for serial in run.targets.serials or self.has}

    def _looked(self, serial: str) -> PlayedTask:
        if serial in self.away:
            return PlayedTask("expired", reason="not begun in time")
        had = self.has[serial]
        found = {
            "installed": had is not None,
            "version_code": had[0] if had else None,
            "signer": had[1] if had else "",
            "sdk": 33,
            "abis": ["arm64-v8a", "armeabi-v7a"],
            "storage_free_mb": 4000,
        }
        return PlayedTask(outputs=found | self.about[serial])

    def install(self, run: CreateRun) -> dict[str, PlayedTask]:
        """As the broker does: the canary, and the others when no larger share of it failed."""
        self.installs.append(run.targets.serials)
        ends: dict[str, PlayedTask] = {}
        for number, serial in enumerate(run.targets.serials):
            tried = [task.state for task in ends.values() if task.state != "cancelled"]
            judged = run.stop_rate is not None and number >= (run.canary or 0)
            if judged and tried.count("failed") > (run.stop_rate or 0) * len(tried):
                ends[serial] = PlayedTask("cancelled", reason="its run stopped")
                continue
            again = bool(run.params.get("downgrade"))
            fails = serial in (self.stuck if again else self.fails)
            if not fails or serial in self.half:
                self.has[serial] = (run.params["version_code"], run.params["signer"])
            ends[serial] = FAILED if fails else PlayedTask()
        return ends

    def remove(self, run: CreateRun) -> dict[str, PlayedTask]:
        for serial in run.targets.serials:
            self.has[serial] = None
        return {serial: PlayedTask() for serial in run.targets.serials}


FAILED = PlayedTask(
    "failed", failure=Failure(error_class=ErrorClass.DEVICE, code="storage_full", message="It is full.")
)


def report_of(outcome: TaskOutcome) -> Report:
    report = msgspec.convert(outcome.outputs, Report)
    assert sum(report.counts.values()) == sum(group.phones for group in report.groups) == report.phones
    return report


def named(report: Report) -> dict[str, tuple[str, str]]:
    return {serial: (group.result.value, group.code) for group in report.groups for serial in group.serials}


WISH = {"file": "shop@1.4", "targets": {"kind": "all"}}


async def test_phones_are_installed_skipped_and_refused_each_with_its_reason(autojump_clock: MockClock) -> None:
    async with running(bot) as mesh:
        phones = Phones(mesh, 9)
        phones.has |= {"P01": (14, SIGNER), "P02": (13, OTHER), "P03": (15, SIGNER), "P07": (13, "")}
        phones.about["P04"] = {"sdk": 25}
        phones.about["P05"] = {"abis": ["x86_64"]}
        phones.about["P06"] = {"storage_free_mb": 150}
        phones.away.add("P08")
        outcome = await mesh.task(KIND, {**WISH, "permissions": ["android.permission.CAMERA"], "canary": 1})
        assert outcome.outcome is Outcome.PASSED, outcome.failure
        report = report_of(outcome)
        assert named(report) == {
            "P00": ("installed", "installed"),
            "P01": ("skipped", "has_it"),
            "P02": ("refused", "signature_differs"),
            "P03": ("refused", "newer_installed"),
            "P04": ("refused", "sdk_too_low"),
            "P05": ("refused", "abi_missing"),
            "P06": ("refused", "storage_low"),
            "P07": ("installed", "installed"),
            "P08": ("failed", "look_failed"),
        }
        assert phones.installs == [["P00", "P07"]], "others were not touched"
        made = mesh.commands(CreateRun)[1]
        assert (made.canary, made.max_parallel, made.stop_rate) == (1, 10, 0.2)
        assert made.params["permissions"] == ["android.permission.CAMERA"]
        assert (made.params["version_code"], made.params["signer"]) == (14, SIGNER)


async def test_a_canary_that_fails_stops_all_and_leaves_the_others_as_they_are(autojump_clock: MockClock) -> None:
    async with running(bot) as mesh:
        phones = Phones(mesh, 6)
        phones.fails = {"P00"}
        outcome = await mesh.task(KIND, WISH)
        assert outcome.outcome is Outcome.FAILED
        report = report_of(outcome)
        assert report.stopped == "1 of 1 phones that were tried failed, more than 20%"
        assert report.counts["not_tried"] == 5
        assert set(phones.has.values()) == {None}
        assert outcome.failure is not None
        assert outcome.failure.message == report.summary
        assert outcome.failure.error_class is ErrorClass.USER, "another attempt would do the same"


async def test_what_was_changed_is_put_back_when_too_many_fail(autojump_clock: MockClock) -> None:
    async with running(bot) as mesh:
        phones = Phones(mesh, 8)
        phones.has |= {"P02": (12, SIGNER), "P03": (13, SIGNER), "P06": (12, SIGNER)}
        before = dict(phones.has)
        phones.fails = {"P04", "P05", "P06", "P07"}
        phones.half = {"P05", "P06"}
        mesh.pages["/files"] = {
            "items": [{"name": "shop", "version": version} for version in ("1.2", "odd", "1.4")]
            + [{"name": "shop-2", "version": "1"}],
            "next": None,
        }
        mesh.pages["/apps/shop@1.2"] = stored("shop@1.2", 12)

        def no_app(_: object) -> None:
            raise QueryFailed("it is no app", status=422)

        mesh.pages["/apps/shop@odd"] = no_app
        outcome = await mesh.task(KIND, {**WISH, "canary": 2, "stopRate": 0.45})
        assert outcome.outcome is Outcome.FAILED
        report = report_of(outcome)
        assert named(report) == {
            "P00": ("rolled_back", "rolled_back"),
            "P01": ("rolled_back", "rolled_back"),
            "P02": ("rolled_back", "rolled_back"),
            "P03": ("not_rolled_back", "former_not_stored"),
            "P04": ("failed", "storage_full"),
            "P05": ("rolled_back", "rolled_back"),
            "P06": ("rolled_back", "rolled_back"),
            "P07": ("failed", "storage_full"),
        }
        assert phones.has == before | {"P03": (14, SIGNER)}
        [reason] = [group.reason for group in report.groups if "P06" in group.serials]
        assert reason == "shop@1.2 (version 12) was installed again (before: It is full.)"
        assert sorted(report.runs) == ["install", "look", "look_again", "roll_back"]


async def test_few_failures_stop_nothing_and_no_rollback_may_be_wished(autojump_clock: MockClock) -> None:
    async with running(bot) as mesh:
        phones = Phones(mesh, 10)
        phones.fails = {"P04", "P09"}
        report = report_of(await mesh.task(KIND, {**WISH, "canary": 3}))
        assert (report.counts["installed"], report.counts["failed"], report.stopped) == (8, 2, "")
        phones.fails = {"P04", "P09"}
        phones.has |= {"P00": None}
        outcome = await mesh.task(KIND, {**WISH, "canary": 3, "rollback": False})
        assert outcome.outcome is Outcome.FAILED
        report = report_of(outcome)
        assert (report.counts["installed"], report.counts["failed"], report.counts["skipped"]) == (1, 2, 7)
        assert phones.has["P00"] == (14, SIGNER)


async def test_a_phone_that_can_not_be_put_back_is_named(autojump_clock: MockClock) -> None:
    async with running(bot) as mesh:
        phones = Phones(mesh, 2)
        phones.has |= {"P00": (12, SIGNER), "P01": (12, SIGNER)}
        phones.fails, phones.half, phones.stuck = {"P01"}, {"P01"}, {"P00"}
        mesh.pages["/files"]["items"].append({"name": "shop", "version": "1.2"})
        mesh.pages["/apps/shop@1.2"] = stored("shop@1.2", 12)
        report = report_of(await mesh.task(KIND, {**WISH, "canary": 2}))
        assert named(report) == {
            "P00": ("not_rolled_back", "roll_back_failed"),
            "P01": ("rolled_back", "rolled_back"),
        }


async def test_a_killed_bot_goes_on_and_makes_no_second_run(autojump_clock: MockClock) -> None:
    async with running(bot) as mesh:
        phones = Phones(mesh, 4)
        asked = 0

        def file_that_changes(_: object) -> dict[str, Any]:
            nonlocal asked
            asked += 1
            return stored("shop@1.4", 14) if asked == 1 else stored("shop@1.5", 15)

        mesh.pages["/apps/shop"] = file_that_changes
        task_id = mesh.broker.give_task(KIND, {**WISH, "file": "shop"})
        await mesh.broker.wait(lambda: len(phones.installs) == 1)
        await mesh.kill()
        await mesh.start()
        await mesh.broker.wait(lambda: task_id in mesh.broker.outcomes)
        report = report_of(mesh.broker.outcomes[task_id])
        assert (report.counts["installed"], report.version_code) == (4, 14)
        assert phones.installs == [["P00", "P01", "P02", "P03"]]
        assert [command.workflow for command in mesh.commands(CreateRun)] == ["app-look", "app-install"]


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"file": "nothing"}, "nothing can not be installed"),
        ({"file": "../etc"}, "can not name a file"),
        ({"package": "com.example.other"}, "is the app com.example.app, not com.example.other"),
        ({"canary": 0}, "canary"),
        ({"stopRate": 1}, "stopRate"),
        ({"file": 7}, "file"),
        ({"downgrade": True}, "downgrade"),
    ],
)
async def test_a_wish_that_can_not_be_is_refused_and_no_phone_is_touched(
    autojump_clock: MockClock, wish: dict[str, Any], words: str
) -> None:
    async with running(bot) as mesh:
        Phones(mesh, 2)
        outcome = await mesh.task(KIND, WISH | wish)
        assert outcome.outcome is Outcome.FAILED
        assert outcome.failure is not None
        assert words in outcome.failure.message
        assert mesh.commands(CreateRun) == []


async def test_targets_that_nothing_matches_fail_in_the_words_of_the_broker(autojump_clock: MockClock) -> None:
    async with running(bot) as mesh:
        Phones(mesh, 2)
        mesh.refuse(CreateRun, "no device matches", code="no_targets")
        outcome = await mesh.task(KIND, WISH)
        assert outcome.failure is not None
        assert outcome.failure.message == "run.create was refused: no device matches"


async def test_phones_of_which_none_takes_it_are_a_failure_with_a_report(autojump_clock: MockClock) -> None:
    async with running(bot) as mesh:
        phones = Phones(mesh, 3)
        phones.has = dict.fromkeys(phones.has, (3, OTHER))
        outcome = await mesh.task(KIND, WISH)
        assert outcome.outcome is Outcome.FAILED
        report = report_of(outcome)
        assert report.summary == f"{APP} 14 on 3 phones: 3 refused"
        assert phones.installs == []


def test_whom_nobody_knows_is_tried_since_the_phone_itself_refuses() -> None:
    app = msgspec.convert(stored("shop@1.4", 14), StoredApp)
    look = Look(installed=True, version_code=14, signer="", sdk=26, abis=["arm64-v8a"], storage_free_mb=None)
    assert judge(look, app, spare_mb=0) is None
    assert judge(look, msgspec.structs.replace(app, certificate_hash=""), spare_mb=0) is None
    both = msgspec.structs.replace(look, signer=f"{OTHER},{SIGNER}")
    found = judge(both, app, spare_mb=0)
    assert found is not None
    assert found.result is Result.SKIPPED


def test_the_report_of_very_many_phones_fits_its_task() -> None:
    app = msgspec.convert(stored("shop@1.4", 14), StoredApp)
    verdicts = {
        f"SERIAL-{number:09}": Verdict(Result.FAILED, "odd", f"reason {number % 300} " + "x" * 300)
        if number % 2
        else Verdict(Result.INSTALLED, "installed", "it is")
        for number in range(8000)
    }
    report = make_report(app, verdicts, stopped="", runs={})
    assert len(msgspec.json.encode(report)) <= BYTES_MAX
    assert (report.phones, report.counts["failed"], report.counts["installed"]) == (8000, 4000, 4000)
    assert sum(group.phones for group in report.groups) == 8000
