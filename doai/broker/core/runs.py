"""Runs: checked wholly, then run, tasks and events are made in one transaction (steps 2 and 3)."""

from __future__ import annotations

import msgspec

from doai import topics
from doai.broker.core.bot_recipes import bot_pin, bot_recipe
from doai.broker.core.bounds import bounds_of, check_bounds
from doai.broker.core.deadlines import Due
from doai.broker.core.decision import Decision
from doai.broker.core.pins import Pin
from doai.broker.core.pools import facts_of
from doai.broker.core.queues import PRIORITY_MAX
from doai.broker.core.recipes import Recipe
from doai.broker.core.scheduler import Scheduler
from doai.broker.core.secrets import unknown_secret
from doai.broker.core.settings import REPLY_TASK_IDS_MAX
from doai.broker.core.state import State
from doai.broker.core.tables import Device, Run, Task
from doai.broker.core.tasks import Tasks
from doai.changes.ops import InsertRun, InsertWorkflow, UpdateRun
from doai.changes.rows import DeviceRow, RunRow
from doai.envelope import Envelope
from doai.errors import ConflictError, NotFoundError, UserError
from doai.limits import TARGETS_PER_RUN_MAX
from doai.messages.commands import Cancelled, CancelRun, CancelTask, CreateRun, RunCreated, TargetKind, Targets
from doai.messages.events import RunCreatedEvent
from doai.messages.work import FilePin
from doai.states import RUN_TABLE, DeviceState, QueueState, RunTrigger, TaskState, move
from doai.workflow.mistakes import did_you_mean
from doai.workflow.selection import check_selector, check_targets, matches, unmet_requirement, why_none_matches

EXPIRES_IN_MAX_S = 366 * 24 * 3600.0
PROJECT_CHARS_MAX = 80
UNKNOWN_NAMED_MAX = 20
"""Unknown devices named in one refusal; a person mends the first ones and looks again."""


class Runs:
    """Makes and cancels runs."""

    def __init__(self, state: State, scheduler: Scheduler, tasks: Tasks) -> None:
        self._state = state
        self._scheduler = scheduler
        self._tasks = tasks

    def create(self, decision: Decision, command: Envelope, create: CreateRun, *, campaign: str = "") -> RunCreated:
        """Make a run with its tasks, or refuse it with every reason at once; ``campaign``: that it belongs to."""
        recipe, pin, files = self._resolve(decision, command, create)
        targets: list[Device | None] = list(self._devices(recipe, create.targets))
        if create.targets.kind in (TargetKind.ANY, TargetKind.BOT):
            targets = [None] * create.targets.count
        if self._state.recipes.add_linked(recipe):
            decision.ops.append(InsertWorkflow(recipe.row))
        run = self._insert(decision, command, create, recipe, pin, files, len(targets), campaign)
        timeout_s = pin.pinned.timeout_s
        task_ids = [self._insert_task(decision, run, create, timeout_s, device).task_id for device in targets]
        decision.changed(topics.run_subject(run.row.run_id), None, _wish(create, recipe.title, len(task_ids)))
        decision.log("info", f"run of {recipe.title} on {len(task_ids)} target(s)", {"run_id": run.row.run_id})
        return RunCreated(
            run_id=run.row.run_id,
            task_ids=task_ids if len(task_ids) <= REPLY_TASK_IDS_MAX else [],
            workflow=recipe.title,
        )

    def check(self, decision: Decision, command: Envelope, create: CreateRun) -> None:
        """Refuse what could not be made now, whatever devices there are but for those that are named."""
        recipe, _, _ = self._resolve(decision, command, create)
        if create.targets.kind is TargetKind.ALL:
            check_selector(create.targets.selector)
        else:
            self._devices(recipe, create.targets)

    def _resolve(
        self, decision: Decision, command: Envelope, create: CreateRun
    ) -> tuple[Recipe, Pin, list[FilePin]]:
        if create.targets.kind is TargetKind.BOT:
            self._check(create)
            recipe = bot_recipe(create, decision.now.utc_ms, command.actor or command.source)
            return recipe, bot_pin(recipe, create), []
        recipe = self._state.recipes.find(create.workflow)
        self._check(create)
        recipe = self._state.recipes.linked(recipe, decision.now.utc_ms, command.actor or command.source)
        for name in sorted(recipe.secrets - self._state.secrets.keys()):
            raise unknown_secret(name, self._state.secrets)
        pin = recipe.pins.of(create)
        return recipe, pin, self._state.files.pin(recipe.title, pin.needs)

    def _check(self, create: CreateRun) -> None:
        queue = self._state.queues.get(create.queue)
        if queue is None:
            raise UserError(
                f"there is no queue {create.queue[:63]!r}: {did_you_mean(create.queue, self._state.queues)}",
                code="queue_not_found",
            )
        if queue.row.state is QueueState.DRAINING:
            raise ConflictError(
                f"queue {create.queue} is draining: it ends what it has and takes no new runs; name another queue, "
                f"or resume it",
                code="queue_draining",
            )
        if abs(create.priority) > PRIORITY_MAX:
            raise UserError(f"priority {create.priority} is too large: use -{PRIORITY_MAX} to {PRIORITY_MAX}")
        expires_in_s = create.expires_in_s
        if expires_in_s is not None and not 0 < expires_in_s <= EXPIRES_IN_MAX_S:
            raise UserError(f"expires_in {expires_in_s} s can not be: give seconds above 0, a year at most")
        check_bounds(create)
        check_project(create.project)
        targets = create.targets
        check_targets(targets)
        if len(targets.serials) > TARGETS_PER_RUN_MAX or targets.count > TARGETS_PER_RUN_MAX:
            raise UserError(
                f"a run has at most {TARGETS_PER_RUN_MAX} targets: make several", code="too_many_targets"
            )

    # --- targets ------------------------------------------------------------------------------------------

    def _devices(self, recipe: Recipe, targets: Targets) -> list[Device]:
        if targets.kind is TargetKind.BOT:
            return []
        if targets.kind is TargetKind.DEVICES:
            return self._named(recipe, targets.serials)
        check_selector(targets.selector)
        if targets.kind is TargetKind.ANY:
            if targets.count < 1:
                raise UserError(f"any {targets.count} devices are none: ask for at least 1", code="no_targets")
            return []
        return self._all(recipe, targets)

    def _named(self, recipe: Recipe, serials: list[str]) -> list[Device]:
        if not serials:
            raise UserError("no device is named: give serials, or a selector", code="no_targets")
        devices, mistakes = [], []
        known = self._state.devices
        for serial in dict.fromkeys(serials):
            device = known.get(serial)
            if device is None or device.row is None:
                mistakes.append(f"there is no device {serial[:80]!r}: {did_you_mean(serial, known)}")
                if len(mistakes) >= UNKNOWN_NAMED_MAX:
                    break
                continue
            unmet = self._unmet(recipe, device)
            if unmet is not None:
                mistakes.append(f"device {serial} can not run {recipe.title}: {unmet}")
            devices.append(device)
        if mistakes:
            raise TargetError(mistakes)
        return devices

    def _all(self, recipe: Recipe, targets: Targets) -> list[Device]:
        matching, fit, reasons = 0, [], []
        for device in sorted(self._state.devices.values(), key=lambda device: device.serial):
            facts = facts_of(device)
            if facts is None or not matches(targets.selector, facts):
                continue
            matching += 1
            unmet = self._unmet(recipe, device)
            if unmet is not None:
                reasons.append(f"{device.serial}: {unmet}")
            elif device.state is not DeviceState.ONLINE:
                reasons.append(f"{device.serial} is {device.state.value}")
            elif device.row is not None and _is_out_for_good(device.row):
                # A person took it out of service and nobody knows for how long: a run on all must not wait for it.
                reasons.append(f"{device.serial} is quarantined until it is released")
            else:
                fit.append(device)
        if not fit:
            known = [facts for device in self._state.devices.values() if (facts := facts_of(device)) is not None]
            if not known:
                raise TargetError(["no device was seen yet: start a node, or wait until it lists its devices"])
            if not matching:
                raise TargetError([why_none_matches(targets.selector, known)])
            raise TargetError(
                [f"none of the {matching} matching devices can run it now", *reasons[:UNKNOWN_NAMED_MAX]]
            )
        if len(fit) > TARGETS_PER_RUN_MAX:
            raise UserError(f"{len(fit)} devices match, a run has at most {TARGETS_PER_RUN_MAX} targets")
        return fit

    def _unmet(self, recipe: Recipe, device: Device) -> str | None:
        facts = facts_of(device)
        if recipe.requires is None or facts is None:
            return None
        return unmet_requirement(recipe.requires, facts)

    # --- rows ---------------------------------------------------------------------------------------------

    def _insert(
        self,
        decision: Decision,
        command: Envelope,
        create: CreateRun,
        recipe: Recipe,
        pin: Pin,
        files: list[FilePin],
        tasks: int,
        campaign: str,
    ) -> Run:
        actor = command.actor or command.source
        row = RunRow(
            run_id=decision.new_id(),
            workflow=recipe.name,
            version=recipe.version,
            recipe_hash=recipe.row.content_hash,
            params_body=pin.params_body,
            targets_body=msgspec.json.encode(create.targets),
            step_timeouts_body=pin.step_timeouts_body,
            queue=create.queue,
            priority=create.priority,
            attempts_max=pin.pinned.retry.attempts,
            tasks=tasks,
            created_at_ms=decision.now.utc_ms,
            actor=actor,
            interface=command.interface or "",
            trace_id=command.trace_id,
            files_body=msgspec.json.encode(files),
            bounds_body=msgspec.json.encode(bounds_of(create)),
            campaign=campaign,
            project=create.project,
        )
        run = self._state.runs[row.run_id] = Run(
            row,
            self._state.queues[row.queue],
            pin.params,
            pin.pinned.step_timeouts_s,
            create.targets.selector,
            files,
        )
        decision.ops.append(InsertRun(row))
        decision.event(
            topics.RUN_CREATED,
            topics.run_subject(row.run_id),
            RunCreatedEvent(
                run_id=row.run_id,
                workflow=recipe.title,
                tasks=tasks,
                queue=row.queue,
                actor=actor,
                campaign=campaign,
                project=row.project,
            ),
            trace_id=row.trace_id,
            causation_id=command.event_id,
            actor=actor,
        )
        return run

    def _insert_task(
        self, decision: Decision, run: Run, create: CreateRun, timeout_s: float, device: Device | None
    ) -> Task:
        now, expires_in_s = decision.now, create.expires_in_s
        task = Task(
            decision.new_id(),
            run,
            create.targets.kind,
            timeout_s=timeout_s,
            created_at_ms=now.utc_ms,
            expires_at_ms=now.utc_ms + round(expires_in_s * 1000) if expires_in_s is not None else None,
            expires_s=now.mono_s + expires_in_s if expires_in_s is not None else None,
        )
        task.device = device
        self._state.tasks[task.task_id] = run.open[task.task_id] = task
        if task.expires_s is not None:
            self._state.deadlines.add(task.expires_s, Due.EXPIRE, task)
        any_device = create.targets.kind is TargetKind.ANY
        decision.insert(task, msgspec.json.encode(create.targets.selector) if any_device else None)
        self._tasks.queue(decision, task)
        return task

    # --- cancelling ---------------------------------------------------------------------------------------

    def cancel_run(self, decision: Decision, command: Envelope, cancel: CancelRun) -> Cancelled:
        """Make the wish to cancel all open tasks of a run durable."""
        run = self._state.runs.get(cancel.run_id)
        if run is None:
            raise NotFoundError(
                f"run {cancel.run_id[:40]!r} is not open: it has ended or never was; its story tells",
                code="not_open",
            )
        ended_before, before = sum(run.counts.values()), run.state
        run.state = move(RUN_TABLE, run.state, RunTrigger.CANCEL, f"run {cancel.run_id}")
        decision.ops.append(UpdateRun(run.row.run_id, run.state, None, None))
        tasks = list(run.open.values())
        for task in tasks:
            self._tasks.cancel(decision, task, _reason(command, cancel.reason))
        cancelled = _cancelled(tasks, ended_before)
        after = {"state": run.state, "reason": cancel.reason, **msgspec.structs.asdict(cancelled)}
        decision.changed(topics.run_subject(run.row.run_id), {"state": before}, after)
        return cancelled

    def cancel_task(self, decision: Decision, command: Envelope, cancel: CancelTask) -> Cancelled:
        """Make the wish to cancel one task durable."""
        task = self._state.tasks.get(cancel.task_id)
        if task is None:
            raise NotFoundError(
                f"task {cancel.task_id[:40]!r} is not open: it has ended or never was; its story tells",
                code="not_open",
            )
        before = task.state
        self._tasks.cancel(decision, task, _reason(command, cancel.reason))
        after = {"state": task.state, "reason": cancel.reason}
        decision.changed(topics.task_subject(task.task_id), {"state": before}, after)
        return _cancelled([task], 0)


def check_project(project: str) -> None:
    """Raise UserError for what can not be the name of a project."""
    if len(project) > PROJECT_CHARS_MAX or not project.isprintable():
        raise UserError(f"a project has at most {PROJECT_CHARS_MAX} characters that can be printed")


class TargetError(UserError):
    """The targets of a run can not be; ``details`` has a sentence for each."""

    code = "bad_targets"

    def __init__(self, details: list[str]) -> None:
        more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
        super().__init__(details[0] + more)
        self.details = details


def _is_out_for_good(row: DeviceRow) -> bool:
    return row.quarantine is not None and row.quarantine.until_ms is None


def _wish(create: CreateRun, title: str, tasks: int) -> dict[str, object]:
    """What was asked for, for the audit; the parameters are the run's own to show."""
    return {
        "workflow": title,
        "tasks": tasks,
        "targets": create.targets.kind,
        "queue": create.queue,
        "priority": create.priority,
        "expires_in_s": create.expires_in_s,
        "attempts": create.attempts,
        "project": create.project,
    }


def _reason(command: Envelope, reason: str) -> str:
    by = f"cancelled by {command.actor or command.source}"
    return f"{by}: {reason[:500]}" if reason else by


def _cancelled(tasks: list[Task], ended_before: int) -> Cancelled:
    at_once = sum(task.state is TaskState.CANCELLED for task in tasks)
    return Cancelled(cancelled=at_once, cancelling=len(tasks) - at_once, ended_before=ended_before)
