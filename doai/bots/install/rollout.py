"""Brings an app to phones by runs: a look, the canary, the others, and back when too many failed (step 14).

Every command has a key made of the task, and what was decided comes from what those runs told: a process that takes
the task over after another's death makes no second run, and goes on where the first was.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from doai.bots.context import Context
from doai.bots.errors import CommandRefused, GiveUp
from doai.bots.install.report import Report, make_report
from doai.bots.install.verdict import Look, Result, Verdict, judge
from doai.bots.install.wish import InstallApp
from doai.bots.results import QueryFailed, RunResult, TaskResult
from doai.bots.stored_apps import StoredApp
from doai.errors import Fault
from doai.file_reference import parse_file_reference
from doai.messages.commands import Targets

LOOK, INSTALL, REMOVE = "app-look", "app-install", "app-remove"
"""Shipped workflows, in the folder workflows/."""
INSTALL_WITHIN_S: Final = 1800.0
"""A phone whose turn has not come by then is not tried."""
BACK_WITHIN_S: Final = 1200.0
FORMER_VERSIONS_MAX: Final = 20
"""Versions of the file that are looked through for the one that a phone had."""
TASKS_REMEMBERED: Final = 100
"""Tasks whose version of the file is kept: more than a process has at once, by far."""
_TRIED: Final = frozenset({"passed", "failed", "unknown"})


class Rollout:
    """One installation."""

    def __init__(self, wish: InstallApp, ctx: Context) -> None:
        self._wish = wish
        self._ctx = ctx
        self._runs: dict[str, list[str]] = {}
        self._verdicts: dict[str, Verdict] = {}
        self._before: dict[str, Look] = {}

    async def perform(self) -> Report:
        """Return the report; GiveUp with it when it stopped, or no phone has the app."""
        app = await self._app()
        await self._look(app)
        takers = sorted(serial for serial in self._before if serial not in self._verdicts)
        stopped = await self._install(app, takers) if takers else ""
        report = make_report(app, self._verdicts, stopped=stopped, runs=self._runs)
        self._ctx.log.info("%s", report.summary)
        counts = report.counts
        if stopped or not counts[Result.INSTALLED.value] + counts[Result.SKIPPED.value]:
            raise GiveUp(report.summary, outputs=report)
        return report

    # --- the app ----------------------------------------------------------------------------------------------

    @property
    def _pin_key(self) -> str:
        return f"file/{self._ctx.task_id}"

    async def _app(self) -> StoredApp:
        """Return what is in the file: the same version for every attempt."""
        reference = await self._ctx.state.get(self._pin_key, self._wish.file)
        app = await stored_app(self._ctx, reference)
        if self._wish.package and app.package != self._wish.package:
            raise GiveUp(
                f"the file {app.file} is the app {app.package}, not {self._wish.package}: name another file"
            )
        await self._ctx.state.put(self._pin_key, app.file)
        # Ids begin with the time at which they were made.
        for old in sorted(await self._ctx.state.list("file/"))[:-TASKS_REMEMBERED]:
            await self._ctx.state.drop(old)
        return app

    # --- looking ----------------------------------------------------------------------------------------------

    async def _look(self, app: StoredApp) -> None:
        """Find out how each phone is, and which are left alone."""
        found = await self._run(
            "look", LOOK, on=self._wish.targets, params={"package": app.package}, expires_in_s=self._wish.reach_s
        )
        for task in found.tasks:
            serial = _name(task)
            if task.state != "passed":
                self._verdicts[serial] = Verdict(Result.FAILED, "look_failed", f"not looked at: {_why(task)}")
                continue
            self._before[serial] = look = _look_of(task)
            verdict = judge(look, app, spare_mb=self._wish.spare_mb)
            if verdict is not None:
                self._verdicts[serial] = verdict

    # --- installing -------------------------------------------------------------------------------------------

    async def _install(self, app: StoredApp, takers: list[str]) -> str:
        """Install on these phones; return why it stopped, empty when it did not."""
        wish = self._wish
        run = await self._run(
            "install",
            INSTALL,
            on=takers,
            params={
                **installation(app),
                "permissions": wish.permissions,
                "grant_all": wish.grant_all,
            },
            canary=min(wish.canary, len(takers)),
            max_parallel=wish.wave,
            stop_rate=wish.stop_rate,
            expires_in_s=INSTALL_WITHIN_S,
        )
        for task in run.tasks:
            self._verdicts[_name(task)] = _installed(task)
        tried = [task for task in run.tasks if task.state in _TRIED]
        failed = [task for task in tried if task.state != "passed"]
        if len(failed) <= wish.stop_rate * len(tried):
            return ""
        stopped = f"{len(failed)} of {len(tried)} phones that were tried failed, more than {wish.stop_rate:.0%}"
        if wish.rollback:
            await self._roll_back(app, run)
        return stopped

    # --- back again -------------------------------------------------------------------------------------------

    async def _roll_back(self, app: StoredApp, run: RunResult) -> None:
        """Put every phone that was changed back to what it had."""
        changed = await self._changed(app, run)
        new = [serial for serial in changed if not self._before[serial].installed]
        if new:
            back = await self._run(
                "roll_back", REMOVE, on=new, params={"package": app.package}, **self._back_bounds()
            )
            self._put_back(back, "the app was removed: it was not there before")
        had = [serial for serial in changed if self._before[serial].installed]
        for file, serials in (await self._former(app, had)).items():
            former = await stored_app(self._ctx, file)
            params = {**installation(former), "downgrade": True}
            back = await self._run("roll_back", INSTALL, on=serials, params=params, **self._back_bounds())
            self._put_back(back, f"{former.file} (version {former.version_code}) was installed again")

    def _back_bounds(self) -> dict[str, Any]:
        return {"max_parallel": self._wish.wave, "expires_in_s": BACK_WITHIN_S}

    async def _changed(self, app: StoredApp, run: RunResult) -> list[str]:
        """Return phones that are not as they were; whether one of which the task failed is, only a look says."""
        changed = [_name(task) for task in run.tasks if task.state == "passed"]
        unsure = sorted(_name(task) for task in run.tasks if task.state in ("failed", "unknown", "cancelled"))
        if unsure:
            found = await self._run(
                "look_again",
                LOOK,
                on=unsure,
                params={"package": app.package},
                expires_in_s=self._wish.reach_s,
            )
            for task in found.tasks:
                serial = _name(task)
                if task.state != "passed":
                    self._not_put_back(serial, "look_failed", f"whether it has changed is not known: {_why(task)}")
                elif not _look_of(task).same(self._before[serial]):
                    changed.append(serial)
        return sorted(changed)

    async def _former(self, app: StoredApp, serials: list[str]) -> dict[str, list[str]]:
        """Return which stored version each phone had; one of which there is none stays as it is, and is named."""
        files: dict[str, list[str]] = {}
        others = await self._other_versions(app) if serials else []
        for serial in serials:
            look = self._before[serial]
            former = next((other for other in others if _was(look, other)), None)
            if former is None:
                name = parse_file_reference(app.file).name
                self._not_put_back(
                    serial,
                    "former_not_stored",
                    f"what it had, version {look.version_code}, is no stored version of {name}",
                )
            else:
                files.setdefault(former.file, []).append(serial)
        return files

    async def _other_versions(self, app: StoredApp) -> list[StoredApp]:
        versions = await self._ctx.versions(app.file)
        found: list[StoredApp] = []
        for version in [other for other in reversed(versions) if other != app.file][:FORMER_VERSIONS_MAX]:
            try:
                found.append(await self._ctx.app(version))
            except QueryFailed as error:
                if error.away:
                    raise
                self._ctx.log.info("%s is passed over: %s", version, error)
        return [other for other in found if other.package == app.package]

    def _put_back(self, run: RunResult, reason: str) -> None:
        for task in run.tasks:
            serial = _name(task)
            if task.state == "passed":
                self._verdicts[serial] = Verdict(
                    Result.ROLLED_BACK, "rolled_back", f"{reason}{self._earlier(serial)}"
                )
            else:
                self._not_put_back(serial, "roll_back_failed", f"it could not be put back: {_why(task)}")

    def _not_put_back(self, serial: str, code: str, why: str) -> None:
        self._verdicts[serial] = Verdict(Result.NOT_ROLLED_BACK, code, f"{why}{self._earlier(serial)}")

    def _earlier(self, serial: str) -> str:
        """Return why the installation had failed there, if it had."""
        verdict = self._verdicts[serial]
        return f" (before: {verdict.reason})" if verdict.result is Result.FAILED else ""

    # --- runs -------------------------------------------------------------------------------------------------

    async def _run(self, purpose: str, workflow: str, *, on: Targets | list[str], **wish: Any) -> RunResult:
        try:
            run = await self._ctx.start_run(workflow, on=on, **wish)
        except CommandRefused as error:
            if error.problem.fault is Fault.USER:
                raise GiveUp(str(error)) from None
            raise
        self._runs.setdefault(purpose, []).append(run.run_id)
        self._ctx.log.info("%s: run %s of %s on %d phones", purpose, run.run_id, workflow, len(run.task_ids))
        return await self._ctx.wait_run(run.run_id)


async def stored_app(ctx: Context, file: str) -> StoredApp:
    """Return what is in a stored file; GiveUp when there is none, or it is no app."""
    try:
        return await ctx.app(file)
    except QueryFailed as error:
        if error.away:
            raise
        raise GiveUp(f"{file} can not be installed: {error}") from None


def installation(app: StoredApp) -> dict[str, Any]:
    """Return the parameters of app-install for an app."""
    return {
        "file": app.file,
        "package": app.package,
        "version_code": app.version_code,
        "signer": app.certificate_hash,
    }


def _was(look: Look, app: StoredApp) -> bool:
    return look.version_code == app.version_code and look.is_of(app) is not False


def _name(task: TaskResult) -> str:
    # A task for any phone that never got one has no serial.
    return task.device_serial or f"(no phone: task {task.task_id})"


def _look_of(task: TaskResult) -> Look:
    try:
        return msgspec.convert(task.outputs, Look)
    except msgspec.ValidationError as error:
        raise GiveUp(
            f"the workflow {LOOK} does not tell what it should ({error}): store workflows/{LOOK}.yaml again"
        ) from None


def _installed(task: TaskResult) -> Verdict:
    """Return what came of a phone whose turn it was, or would have been."""
    if task.state == "passed":
        return Verdict(Result.INSTALLED, "installed", "that version of that signer is on it")
    if task.state in _TRIED:
        code = task.failure.code if task.failure is not None else task.state
        return Verdict(Result.FAILED, code, _why(task))
    return Verdict(Result.NOT_TRIED, task.state, task.reason or f"its task was {task.state}")


def _why(task: TaskResult) -> str:
    """Return why a task did not pass, one sentence."""
    if task.failure is not None:
        return task.failure.message
    return task.reason or f"its task {task.task_id} was {task.state}"
