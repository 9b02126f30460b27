"""Bots as authors write them at a real broker: tasks, commands, configuration, dead letters, replay."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from doai import exits
from doai.bots import Bot, CommandRefused, Context, GiveUp
from doai.bots.outside import HostOutside
from doai.bots.program import SystemClock
from doai.bots.shell import Shell
from doai.bots.state import State
from doai.ids import RandomIds
from doai.messages import bots as b
from doai.messages import commands as c
from doai.messages.link import HostSample
from doai.store.bot_state import MemoryBotState
from doai.wire.dealer import open_dealer
from doai.wire.keys import load_public_key
from tests.integration.test_bots import Site, wait_position


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def shell_of(site: Site, bot: Bot, key: str) -> Shell:
    server_key = load_public_key(site.folder / "keys" / "broker.key.pub")
    state = MemoryBotState()
    return Shell(
        bot,
        instance="x1",
        open_dealer=lambda: open_dealer(site.endpoint, site.keys[key], server_key),
        clock=SystemClock(),
        ids=RandomIds(random.Random(bot.name).getrandbits),
        state=State(lambda: state, in_thread=False),
        outside=HostOutside("", ""),
        sample=lambda: HostSample(host="h", pid=1, version="0", started_at_ms=1, slots=bot.max_tasks),
    )


@asynccontextmanager
async def at(site: Site, bot: Bot) -> AsyncIterator[Shell]:
    """Run a bot of the name ``guard`` or ``watch`` while the body runs."""
    shell = shell_of(site, bot, bot.name)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shell.run)
        await shell.serving.wait()
        yield shell
        shell.drain("the test is over", 5.0)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is awaited happens in handlers
        await trio.sleep(0.01)


async def run_of(site: Site, kind: str, **params: Any) -> c.RunCreated:
    create = c.CreateRun(
        workflow=kind, targets=c.Targets(kind=c.TargetKind.BOT, bot=kind), params=params, attempts=1
    )
    created: c.RunCreated = await site.admin.do(c.CREATE_RUN, create, c.RunCreated)
    return created


class Ended(msgspec.Struct, rename="camel"):
    task_id: str
    outputs: dict[str, Any] = {}
    failure: dict[str, Any] | None = None


async def test_a_task_goes_to_its_kind_and_what_came_of_it_is_an_event(site: Site) -> None:
    builder, watcher = Bot("guard"), Bot("watch")
    ended: dict[str, Ended] = {}
    hangs = trio.Event()

    @builder.task("report.build")
    async def build(params: Any, ctx: Context) -> dict[str, Any]:
        if params.pages == 0:
            raise GiveUp("a report has pages")
        if params.pages > 100:
            hangs.set()
            await trio.sleep_forever()
        return {"pages": params.pages}

    @watcher.on("task.completed", "task.failed", "task.cancelled")
    async def see(event: Ended, ctx: Context) -> None:
        ended[event.task_id] = event

    async with site.broker(), at(site, watcher), at(site, builder):
        good = (await run_of(site, "report.build", pages=3)).task_ids[0]
        bad = (await run_of(site, "report.build", pages=0)).task_ids[0]
        await until(lambda: {good, bad} <= set(ended))
        assert ended[good].outputs == {"pages": 3}
        assert ended[bad].failure is not None
        assert ended[bad].failure["message"] == "a report has pages"
        long = (await run_of(site, "report.build", pages=1000)).task_ids[0]
        await hangs.wait()
        await site.admin.do(c.CANCEL_TASK, c.CancelTask(task_id=long, reason="too long"), c.Cancelled)
        await until(lambda: long in ended)


async def test_a_replay_is_handled_again_by_a_process_that_did_it_before(site: Site) -> None:
    bot = Bot("guard")
    seen: list[int] = []

    @bot.on("file.*", name="s")
    async def handle(event: Any, ctx: Context) -> None:
        seen.append(ctx.position)

    async with site.broker(), at(site, bot):
        first, second = await site.event(), await site.event()
        await wait_position(site, second)
        assert seen == [first, second]
        again = b.ResetSubscription(name="guard", subscription="s", position=second - 1)
        await site.admin.do(b.RESET_SUBSCRIPTION, again, b.SubscriptionReset)
        third = await site.event()
        await wait_position(site, third)
        assert seen[2:] == [second, third]


async def test_configuration_and_status_reach_a_running_bot_and_its_commands_the_broker(site: Site) -> None:
    class Config(msgspec.Struct):
        serial: str = "none"

    bot = Bot("guard", config=Config)
    refused: list[str] = []

    @bot.every("100ms")
    async def look(ctx: Context) -> None:
        try:
            await ctx.quarantine(ctx.config.serial, reason="hot")
        except CommandRefused as error:
            refused.append(str(error))

    async with site.broker(), at(site, bot) as shell:
        await until(lambda: any("none" in text for text in refused))
        await site.admin.do(b.CONFIGURE_BOT, b.ConfigureBot(name="guard", config={"serial": "R58"}), b.BotSettings)
        await until(lambda: any("R58" in text for text in refused))
        wrong = await site.admin.ask(b.CONFIGURE_BOT, b.ConfigureBot(name="guard", config={"serial": 5}))
        assert wrong.problem is not None
        rest = b.SetBotStatus(name="guard", status=b.BotStatus.INACTIVE)
        await site.admin.do(b.SET_BOT_STATUS, rest, b.BotSettings)
        await until(lambda: shell.running == [] and not shell.works)
        count = len(refused)
        await trio.sleep(0.3)
        assert len(refused) == count


async def test_a_bot_under_another_name_is_shut_out_with_a_sentence(site: Site) -> None:
    bot = Bot("watch")

    @bot.every("1s")
    async def look(ctx: Context) -> None: ...

    async with site.broker():
        stopped = await shell_of(site, bot, key="guard").run()
    assert stopped.exit_code == exits.FENCED
    assert stopped.reason.startswith("the broker refuses this bot: this key proves the name guard, not watch")
