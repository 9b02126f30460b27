"""Takes a new phone in: it is held until it is prepared, has its apps and passed a first workflow (step 14).

While the bot holds the phone, only its own runs go on it (docs/decisions/022-onboarding.md). A phone that does not
pass is quarantined with the cause, until a person releases it.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from doai.bots.context import Context
from doai.bots.errors import CommandRefused, GiveUp
from doai.bots.install.rollout import INSTALL, installation, stored_app
from doai.bots.results import RunResult
from doai.ids import is_serial
from doai.messages.commands import CreateRun, DescribeDevices, DeviceDescription, TargetKind, Targets

KIND: Final = "device.onboard"
PREPARE: Final = "device-prepare"
HOLD_MINUTES: Final = 60.0
"""As long as one attempt takes at most: a bot that is gone for good keeps no phone."""
PRIORITY: Final = 1000
"""Before all that waits for the phone: what is behind another's run in a line is not found while it is held."""
BEGIN_WITHIN_S: Final = 600.0


class Onboard(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Take a phone in: parameters of a task of kind device.onboard."""

    serial: str
    apps: Annotated[list[str], Meta(max_length=20)] = []
    """Stored packages, ``my-app`` or ``my-app@1.4``; installed in this order."""
    settings: dict[str, Any] = {}
    """Parameters of the workflow device-prepare."""
    tags: Annotated[list[str], Meta(max_length=20)] = []
    """Added to those that it has, when it has passed."""
    smoke: str = ""
    """A workflow that must pass on it, last; empty = none."""
    smoke_params: dict[str, Any] = {}


class Onboarded(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Outputs of the task: what was done on the phone, in order, with the ids of the runs."""

    serial: str
    passed: bool
    cause: str
    """Why it did not pass; empty = it did."""
    done: list[str]
    runs: list[str]


class Onboarding:
    """One phone that is taken in."""

    def __init__(self, wish: Onboard, ctx: Context) -> None:
        self._wish = wish
        self._ctx = ctx
        self._done: list[str] = []
        self._runs: list[str] = []

    async def perform(self) -> Onboarded:
        """Return what was done; GiveUp with it when the phone did not pass, and is quarantined."""
        wish, ctx = self._wish, self._ctx
        if not is_serial(wish.serial):
            raise GiveUp(f"{wish.serial[:80]!r} is no serial of a phone")
        try:
            await ctx.hold(wish.serial, reason="it is new, and taken in", minutes=HOLD_MINUTES)
            await self._steps()
        except (CommandRefused, GiveUp) as error:
            await self._not_passed(str(error))
        await self._give_back("it is taken in")
        return self._told("")

    async def _steps(self) -> None:
        wish = self._wish
        await self._run(PREPARE, wish.settings, "it is prepared")
        for file in wish.apps:
            app = await stored_app(self._ctx, file)
            await self._run(INSTALL, installation(app), f"{app.file} is installed")
        if wish.smoke:
            await self._run(wish.smoke, wish.smoke_params, f"{wish.smoke} passed")
        if wish.tags:
            device = await self._ctx.query(f"/devices/{wish.serial}")
            tags = sorted({*device["description"]["tags"], *wish.tags})
            described = DescribeDevices(devices=[DeviceDescription(serial=wish.serial, tags=tags)])
            await self._ctx.command(described, subject=f"device/{wish.serial}")
            self._done.append(f"it has the tags {', '.join(tags)}")

    async def _run(self, workflow: str, params: dict[str, Any], done: str) -> None:
        run: RunResult = await self._ctx.run(
            workflow, on=self._wish.serial, params=params, priority=PRIORITY, expires_in_s=BEGIN_WITHIN_S
        )
        self._runs.append(run.run_id)
        if not run.passed:
            [task] = run.tasks
            why = task.failure.message if task.failure is not None else task.reason or task.state
            raise GiveUp(f"{workflow} did not pass: {why}")
        self._done.append(done)

    async def _not_passed(self, cause: str) -> None:
        serial = self._wish.serial
        try:
            await self._ctx.quarantine(serial, reason=f"it was not taken in: {cause}"[:200])
        except CommandRefused as error:
            raise GiveUp(f"{serial} can not be taken in: {cause}; {error}", outputs=self._told(cause)) from None
        await self._give_back("it was not taken in")
        raise GiveUp(f"{serial} was not taken in: {cause}", outputs=self._told(cause))

    async def _give_back(self, reason: str) -> None:
        try:
            await self._ctx.unhold(self._wish.serial, reason=reason)
        except CommandRefused as error:
            # A person took it, or its time is over.
            self._ctx.log.info("%s", error)

    def _told(self, cause: str) -> Onboarded:
        return Onboarded(serial=self._wish.serial, passed=not cause, cause=cause, done=self._done, runs=self._runs)


class NewPhones(msgspec.Struct, frozen=True):
    """Configuration of the bot: whether and how it takes phones in that it has never seen."""

    onboard: bool = False
    """Take in every phone that is seen for the first time from now on."""
    apps: list[str] = []
    settings: dict[str, Any] = {}
    tags: list[str] = []
    smoke: str = ""
    smoke_params: dict[str, Any] = {}


async def met(serial: str, ctx: Context) -> None:
    """A phone is online: hold it and ask for a task that takes it in, once, if it was never seen before."""
    config: NewPhones = ctx.config
    if not config.onboard or await ctx.state.get(f"met/{serial}") is not None:
        return
    device = await ctx.query(f"/devices/{serial}")
    since_ms = await ctx.state.get("since")
    if since_ms is None:
        # By the broker's clock, as the time at which a phone was first seen.
        await ctx.state.put("since", since_ms := device["changedAtMs"])
    if device["firstSeenAtMs"] >= since_ms:
        await ctx.hold(serial, reason="it is new, and taken in", minutes=HOLD_MINUTES)
        wish = Onboard(
            serial=serial,
            apps=config.apps,
            settings=config.settings,
            tags=config.tags,
            smoke=config.smoke,
            smoke_params=config.smoke_params,
        )
        targets = Targets(kind=TargetKind.BOT, bot=KIND)
        await ctx.command(CreateRun(workflow="", targets=targets, params=msgspec.to_builtins(wish)))
    await ctx.state.put(f"met/{serial}", ctx.now_ms)
