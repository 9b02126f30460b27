"""A bot as its author writes it, in the mesh of doai.bots.testing: what handlers are called for, and how often."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock

from doai.bots import Bot, CommandRefused, Context, GiveUp, QueryFailed
from doai.bots.testing import BotStopped, PlayedTask, running
from doai.codec import Kind
from doai.errors import ErrorClass
from doai.limits import BOT_COMMANDS_MAX, BOT_CREDIT, BOT_TRIES
from doai.messages.bots import BotStatus, RegisterBot
from doai.messages.commands import CreateRun, QuarantineDevice, TargetKind
from doai.messages.events import DeviceOffline, NodeStatus, SystemNotice
from doai.messages.holds import DeviceHold, HoldDevice
from doai.states import Outcome


def notice(text: str) -> SystemNotice:
    return SystemNotice(code="test", message=text, subject="")


@contextmanager
def awaited(what: str) -> Iterator[None]:
    """Fail where something does not come in a time of the clock that jumps, rather than wait for ever."""
    with trio.move_on_after(60) as scope:
        yield
    assert not scope.cancelled_caught, f"{what} did not come"


SHOP = {
    "file": "shop@1.4",
    "sha256": "0" * 64,
    "sizeBytes": 10,
    "package": "com.example.shop",
    "versionCode": 14,
    "versionName": "1.4",
    "minSdk": 26,
    "targetSdk": 34,
    "abis": [],
    "permissions": [],
    "testOnly": False,
    "certificateSha256": "",
    "certificateHash": "",
}


class Wanted(msgspec.Struct):
    pages: int


class Report(msgspec.Struct, rename="camel"):
    page_count: int


class Hot(msgspec.Struct, rename="camel"):
    serial: str
    battery_temp_c: float


async def test_the_bot_of_the_introduction_pauses_a_hot_phone(autojump_clock: MockClock) -> None:
    bot = Bot("thermal-guard", title="Pauses hot phones")

    @bot.sample("device.health")
    async def cool(sample: Any, ctx: Context) -> None:
        if sample.battery_temp_c >= 45:
            await ctx.quarantine(sample.serial, reason="45 C", minutes=10)

    async with running(bot) as mesh:
        await mesh.sample("device.health", "device/R58", {"serial": "R58", "batteryTempC": 30})
        assert mesh.commands(QuarantineDevice) == []
        await mesh.sample("device.health", "device/R58", {"serial": "R58", "batteryTempC": 46})
        assert mesh.commands(QuarantineDevice) == [QuarantineDevice(serial="R58", for_s=600, reason="45 C")]
        assert mesh.broker.registration is not None
        assert mesh.broker.registration.title == "Pauses hot phones"
    assert mesh.broker.goodbyes == ["it was stopped"]


async def test_payloads_have_the_type_of_the_annotation_or_of_the_event(autojump_clock: MockClock) -> None:
    bot = Bot("typed")
    seen: list[object] = []

    @bot.sample("device.health")
    async def hot(sample: Hot, ctx: Context) -> None:
        seen.append(sample)

    @bot.on("node.offline", "device.offline")
    async def off(event: Any, ctx: Context) -> None:
        seen.append(event)

    @bot.on("system.*")
    async def told(event, ctx) -> None:  # type: ignore[no-untyped-def]
        seen.append((event, ctx.position, ctx.subject, ctx.type))

    async with running(bot) as mesh:
        await mesh.sample("device.health", "device/R58", {"serial": "R58", "batteryTempC": 30})
        await mesh.event("node.offline", "node/n1", NodeStatus(node_id="n1", reason="no word"))
        await mesh.event("system.alert", "node/n1", notice("look"))
    assert seen == [
        Hot("R58", 30),
        NodeStatus(node_id="n1", reason="no word"),
        (notice("look"), 2, "node/n1", "system.alert"),
    ]


async def test_events_of_a_subject_keep_their_order_while_others_go_on(autojump_clock: MockClock) -> None:
    bot = Bot("ordered")
    done: list[tuple[str, str]] = []
    failed_once: set[str] = set()

    @bot.on("system.alert")
    async def note(event: SystemNotice, ctx: Context) -> None:
        if event.message == "first" and ctx.subject == "node/n1" and ctx.subject not in failed_once:
            failed_once.add(ctx.subject)
            raise RuntimeError("not now")
        done.append((ctx.subject, event.message))

    async with running(bot) as mesh:
        for text in ("first", "second"):
            for name in ("node/n1", "node/n2"):
                await mesh.event("system.alert", name, notice(text), settle=False)
        await mesh.settle()
    assert done[:2] == [("node/n2", "first"), ("node/n2", "second")]
    assert done[2:] == [("node/n1", "first"), ("node/n1", "second")]
    assert mesh.dead_letters == []


async def test_what_fails_again_and_again_is_a_dead_letter_and_the_next_goes_on(autojump_clock: MockClock) -> None:
    bot = Bot("stubborn")
    calls: list[tuple[str, int]] = []

    @bot.on("system.alert")
    async def note(event: SystemNotice, ctx: Context) -> None:
        calls.append((event.message, ctx.attempt))
        if event.message == "poison":
            raise ValueError("it does not parse")
        if event.message == "hopeless":
            raise GiveUp("nobody can")

    async with running(bot) as mesh:
        for text in ("poison", "hopeless", "fine"):
            await mesh.event("system.alert", "node/n1", notice(text))
    assert calls == [("poison", n) for n in range(1, BOT_TRIES + 1)] + [("hopeless", 1), ("fine", 1)]
    assert [(letter.message, letter.attempts) for letter in mesh.dead_letters] == [
        ("ValueError: it does not parse", BOT_TRIES),
        ("nobody can", 1),
    ]


async def test_a_handler_that_hangs_is_named_and_cut_off(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    bot = Bot("patient", max_concurrent=2)
    seen: list[str] = []

    @bot.on("system.alert", timeout="5s", tries=1)
    async def waits_for_ever(event: SystemNotice, ctx: Context) -> None:
        if event.message == "hang":
            await trio.sleep_forever()
        seen.append(event.message)

    async with running(bot) as mesh:
        await mesh.event("system.alert", "node/n1", notice("hang"), settle=False)
        await mesh.event("system.alert", "node/n2", notice("fine"), settle=False)
        await mesh.settle()
    assert seen == ["fine"]
    [letter] = mesh.dead_letters
    assert letter.message == "it did not end within 5 s and was cut off"
    assert any("waits_for_ever gave system.alert of node/n1 up" in record.message for record in caplog.records)


async def test_a_kill_in_the_middle_of_a_handler_loses_nothing_and_repeats_nothing_that_was_told_done(
    autojump_clock: MockClock,
) -> None:
    bot = Bot("killed")
    calls: list[str] = []
    reached = trio.Event()

    @bot.on("system.alert")
    async def note(event: SystemNotice, ctx: Context) -> None:
        calls.append(event.message)
        if len(calls) == 2:
            reached.set()
            await trio.sleep_forever()

    async with running(bot) as mesh:
        await mesh.event("system.alert", "node/n1", notice("first"))
        await mesh.event("system.alert", "node/n1", notice("second"), settle=False)
        await reached.wait()
        await mesh.kill()
        await mesh.event("system.alert", "node/n1", notice("third"), settle=False)
        await mesh.start()
        await mesh.settle()
    assert calls == ["first", "second", "second", "third"]


async def test_a_cut_connection_repeats_nothing_in_a_process_that_lives_on(autojump_clock: MockClock) -> None:
    bot = Bot("cut-off")
    calls: list[str] = []
    reached, go_on = trio.Event(), trio.Event()

    @bot.on("system.alert")
    async def note(event: SystemNotice, ctx: Context) -> None:
        calls.append(event.message)
        if event.message == "slow":
            reached.set()
            await go_on.wait()

    async with running(bot) as mesh:
        await mesh.event("system.alert", "node/n1", notice("slow"), settle=False)
        await mesh.event("system.alert", "node/n1", notice("next"), settle=False)
        await reached.wait()
        mesh.cut()
        go_on.set()
        await mesh.settle()
    assert calls == ["slow", "next"]


@pytest.mark.parametrize("cuts", [1, 2])
async def test_a_task_that_ended_is_not_begun_again_when_the_connection_takes_its_end_with_it(
    autojump_clock: MockClock, cuts: int
) -> None:
    bot = Bot("told-late")
    calls: list[str] = []

    @bot.task("tell.somebody", name="tell")
    async def tell(params: dict[str, str], ctx: Context) -> dict[str, str]:
        calls.append(ctx.task_id)
        return {}

    async with running(bot) as mesh:
        mesh.broker.loses = Kind.COMMAND
        task_id = mesh.broker.give_task("tell.somebody", {})
        await mesh.broker.wait(lambda: mesh.broker.loses is None)
        for _ in range(cuts):
            mesh.cut()
        await mesh.broker.wait(lambda: task_id in mesh.broker.outcomes)
        await mesh.settle()
    assert calls == [task_id]
    assert mesh.broker.outcomes[task_id].outcome is Outcome.PASSED


async def test_more_events_than_the_credit_come_in_parts(autojump_clock: MockClock) -> None:
    bot = Bot("busy", max_concurrent=3)
    seen: list[int] = []

    @bot.on("system.alert")
    async def note(event: SystemNotice, ctx: Context) -> None:
        seen.append(ctx.position)

    async with running(bot) as mesh:
        for number in range(BOT_CREDIT * 2 + 10):
            await mesh.event("system.alert", f"node/n{number % 7}", notice("x"), settle=False)
        await mesh.settle()
    assert sorted(seen) == list(range(1, BOT_CREDIT * 2 + 11))


async def test_times_come_by_the_clock_and_never_two_at_once(autojump_clock: MockClock) -> None:
    bot = Bot("clockwork")
    starts: list[float] = []

    @bot.every("30s")
    async def sweep(ctx: Context) -> None:
        starts.append(trio.current_time())
        await trio.sleep(40 if len(starts) == 1 else 1)

    async with running(bot) as mesh:
        begin = trio.current_time()
        await mesh.advance(125)
    assert [round(start - begin) for start in starts] == [30, 70, 90, 120]


async def test_several_calls_by_time_run_beside_each_other_where_the_author_says_so(
    autojump_clock: MockClock,
) -> None:
    bot = Bot("busy")
    starts: list[float] = []

    @bot.every("30s", at_once=2)
    async def sweep(ctx: Context) -> None:
        starts.append(trio.current_time())
        await trio.sleep(100 if len(starts) == 1 else 1)

    async with running(bot) as mesh:
        begin = trio.current_time()
        await mesh.advance(125)
    assert [round(start - begin) for start in starts] == [30, 60, 90, 120]


async def test_an_operator_changes_interval_limit_and_status_while_it_runs(autojump_clock: MockClock) -> None:
    class Config(msgspec.Struct):
        interval: str = "30s"
        max_concurrent: int = 5
        least: int = 3

    bot = Bot("configured", config=Config)
    seen: list[int] = []

    @bot.every("30s", setting="interval")
    async def sweep(ctx: Context) -> None:
        seen.append(ctx.config.least)

    async with running(bot, least=4) as mesh:
        await mesh.advance(31)
        await mesh.configure(interval="10s", least=5)
        await mesh.advance(20)
        assert seen == [4, 5, 5]
        await mesh.configure(status=BotStatus.INACTIVE)
        await mesh.advance(300)
        assert seen == [4, 5, 5]
        assert mesh.broker.registration is not None
        assert mesh.broker.registration.config_schema["properties"]["least"] == {"type": "integer", "default": 3}


async def test_tasks_end_with_what_their_handler_returns_or_why_it_failed(autojump_clock: MockClock) -> None:
    bot = Bot("reporter")

    @bot.task("report.build")
    async def build(task: Wanted, ctx: Context) -> Report:
        assert ctx.task_id
        if task.pages < 0:
            raise GiveUp("a report has pages")
        return Report(task.pages)

    async with running(bot) as mesh:
        done = await mesh.task("report.build", {"pages": 3})
        assert (done.outcome, done.outputs, done.failure) == (Outcome.PASSED, {"pageCount": 3}, None)
        failed = await mesh.task("report.build", {"pages": -1})
        assert failed.outcome is Outcome.FAILED
        assert failed.failure is not None
        assert (failed.failure.message, failed.failure.error_class) == ("a report has pages", ErrorClass.USER)
        wrong = await mesh.task("report.build", {"pages": "many"})
        assert wrong.failure is not None
        assert "not what the handler takes" in wrong.failure.message


async def test_a_command_of_an_event_is_carried_out_once_however_often_it_is_given(
    autojump_clock: MockClock,
) -> None:
    bot = Bot("careful")
    calls = 0

    @bot.on("device.offline")
    async def look(event: DeviceOffline, ctx: Context) -> None:
        nonlocal calls
        calls += 1
        await ctx.quarantine(event.serial, reason=event.reason)
        if calls == 1:
            raise RuntimeError("after the command")

    async with running(bot) as mesh:
        offline = {"serial": "R58", "nodeId": "n1", "state": "offline", "reason": "unplugged"}
        await mesh.event("device.offline", "device/R58", offline)
    assert calls == 2
    assert len(mesh.commands(QuarantineDevice)) == 1


async def test_a_command_without_an_answer_is_sent_again_over_the_next_connection(
    autojump_clock: MockClock,
) -> None:
    bot = Bot("persistent")
    held: list[DeviceHold] = []

    @bot.every("1s", name="hold")
    async def take(ctx: Context) -> None:
        if not held:
            held.append(await ctx.hold("R58", reason="a look"))

    async with running(bot) as mesh:
        mesh.answer(HoldDevice, lambda hold: DeviceHold(serial=hold.serial, held=True, by="bot"))
        mesh.broker.mute = True
        await mesh.advance(2)
        assert held == []
        mesh.cut()
        mesh.broker.mute = False
        await mesh.advance(10)
    assert held == [DeviceHold(serial="R58", held=True, by="bot")]


async def test_a_refused_command_is_an_error_that_says_why(autojump_clock: MockClock) -> None:
    bot = Bot("refused")
    said: list[str] = []

    @bot.on("system.alert")
    async def note(event: SystemNotice, ctx: Context) -> None:
        try:
            await ctx.quarantine("R99", reason="x")
        except CommandRefused as refused:
            said.append(f"{refused.code}: {refused}")

    async with running(bot) as mesh:
        mesh.refuse(QuarantineDevice, "there is no device R99", code="not_found")
        await mesh.event("system.alert", "node/n1", notice("x"))
    assert said == ["not_found: device.quarantine was refused: there is no device R99"]


async def test_a_run_is_made_waited_for_and_told(autojump_clock: MockClock) -> None:
    bot = Bot("runner")
    results: list[tuple[str, list[object]]] = []

    @bot.on("system.alert", timeout="10m")
    async def check(event: SystemNotice, ctx: Context) -> None:
        result = await ctx.run("reboot", on=["R1", "R2"], params={"hard": True})
        results.append((result.outcome, [task.outputs["up"] for task in result.tasks]))

    async with running(bot) as mesh:
        mesh.ends_runs("reboot", up="3 s")
        await mesh.event("system.alert", "node/n1", notice("x"))
        [run] = mesh.commands(CreateRun)
    assert results == [("passed", ["3 s", "3 s"])]
    assert (run.targets.kind, run.targets.serials, run.params) == (TargetKind.DEVICES, ["R1", "R2"], {"hard": True})


async def test_a_run_has_bounds_and_is_waited_for_while_the_api_is_away(autojump_clock: MockClock) -> None:
    bot = Bot("patient")
    states: list[str] = []

    @bot.on("system.alert", timeout="10m")
    async def check(event: SystemNotice, ctx: Context) -> None:
        result = await ctx.run("reboot", on=["R1", "R2"], canary=1, stop_rate=0.5, expires_in_s=60)
        states.extend(f"{task.device_serial} {task.state}" for task in result.tasks)

    async with running(bot) as mesh:
        answered, calls = mesh.query, 0

        async def away(path: str, query: Mapping[str, object]) -> Any:
            nonlocal calls
            calls += 1
            if calls < 20:
                raise QueryFailed("the admin does not answer")
            return await answered(path, query)

        mesh.query = away  # type: ignore[method-assign]
        mesh.plays_runs("reboot", lambda run: {"R1": PlayedTask(), "R2": PlayedTask("failed")})
        await mesh.event("system.alert", "node/n1", notice("x"))
        [run] = mesh.commands(CreateRun)
    assert states == ["R1 passed", "R2 failed"]
    assert (run.canary, run.stop_rate, run.max_parallel, run.expires_in_s) == (1, 0.5, None, 60)


async def test_a_task_that_gives_up_leaves_its_outputs(autojump_clock: MockClock) -> None:
    bot = Bot("reporter")

    @bot.task("report.build")
    async def build(task: Wanted, ctx: Context) -> Report:
        raise GiveUp("too many", outputs=Report(page_count=task.pages) if task.pages < 9 else "no map")

    async with running(bot) as mesh:
        outcome = await mesh.task("report.build", {"pages": 3})
        assert (outcome.outcome, outcome.outputs) == (Outcome.FAILED, {"pageCount": 3})
        assert outcome.failure is not None
        assert outcome.failure.message == "too many"
        outcome = await mesh.task("report.build", {"pages": 9})
        assert outcome.failure is not None
        assert outcome.failure.message == "too many; a task's handler returns a Struct or a mapping, not str"


async def test_what_is_in_a_stored_app_can_be_asked(autojump_clock: MockClock) -> None:
    bot = Bot("asks")
    told: list[object] = []

    @bot.on("system.alert")
    async def ask(event: SystemNotice, ctx: Context) -> None:
        told.append((await ctx.app("shop")).version_code)
        told.append(await ctx.versions("shop"))
        for wrong in ("gone", "../x"):
            try:
                await ctx.app(wrong)
            except QueryFailed as error:
                told.append((error.status, error.away))

    async with running(bot) as mesh:
        mesh.pages["/apps/shop"] = {**SHOP}
        mesh.pages["/files"] = {
            "items": [{"name": "shop", "version": "1"}, {"name": "shops", "version": "9"}],
            "next": None,
        }
        await mesh.event("system.alert", "node/n1", notice("x"))
    assert told == [14, ["shop@1"], (404, False), (422, False)]


async def test_state_outlives_the_process(autojump_clock: MockClock) -> None:
    bot = Bot("counter")

    @bot.on("system.alert")
    async def count(event: SystemNotice, ctx: Context) -> None:
        await ctx.state.put("count", await ctx.state.get("count", 0) + 1)

    async with running(bot) as mesh:
        await mesh.event("system.alert", "node/n1", notice("x"))
        await mesh.stop()
        await mesh.start()
        await mesh.event("system.alert", "node/n1", notice("x"))
        assert await mesh.state.get("count") == 2


async def test_a_stop_lets_handlers_end_and_begins_no_more(autojump_clock: MockClock) -> None:
    bot = Bot("stopping", max_concurrent=1)
    calls: list[str] = []

    @bot.on("system.alert")
    async def note(event: SystemNotice, ctx: Context) -> None:
        calls.append(event.message)
        await trio.sleep(5 if event.message == "short" else 10_000)

    async with running(bot) as mesh:
        await mesh.event("system.alert", "node/n1", notice("short"), settle=False)
        await mesh.event("system.alert", "node/n2", notice("later"), settle=False)
        await mesh.advance(1)
        stopped = await mesh.stop()
        assert stopped.exit_code == 0
        assert calls == ["short"]
        assert mesh.broker.feeds["note"].done == {1}
        await mesh.start()
        await mesh.advance(1)
        begin = trio.current_time()
        assert (await mesh.stop()).exit_code == 0
        assert trio.current_time() - begin < 60, "a handler that takes no notice does not hold the stop up"
        assert mesh.broker.feeds["note"].done == {1}
        assert mesh.dead_letters == []


async def test_a_bot_that_the_broker_does_not_take_ends_with_its_sentence(autojump_clock: MockClock) -> None:
    bot = Bot("unwanted")

    @bot.every("1s")
    async def sweep(ctx: Context) -> None: ...

    async with running(bot, start=False) as mesh:
        mesh.refuse(RegisterBot, "the schema is no JSON Schema")
        with pytest.raises(BotStopped, match=r"exit code 78: .*the schema is no JSON Schema"):
            await mesh.start()


async def test_a_handler_that_exits_ends_itself_and_not_the_bot(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    bot = Bot("leaver")

    @bot.on("system.alert", tries=1)
    async def leave(event: SystemNotice, ctx: Context) -> None:
        raise SystemExit(3)

    with caplog.at_level(logging.WARNING):
        async with running(bot) as mesh:
            await mesh.event("system.alert", "node/n1", notice("x"))
            assert mesh.stopped is None
    assert mesh.dead_letters[0].message == "SystemExit: 3"


async def test_a_bot_that_floods_waits_for_room(autojump_clock: MockClock) -> None:
    bot = Bot("flood")

    @bot.on("system.alert", timeout="10m")
    async def many(event: SystemNotice, ctx: Context) -> None:
        async with trio.open_nursery() as nursery:
            for number in range(3 * BOT_COMMANDS_MAX):
                nursery.start_soon(partial(ctx.quarantine, f"R{number}", reason="x"))

    async with running(bot) as mesh:
        mesh.broker.mute = True
        await mesh.event("system.alert", "node/n1", notice("x"), settle=False)
        await mesh.advance(1)
        assert mesh.waiting_commands == BOT_COMMANDS_MAX
        mesh.cut()
        mesh.broker.mute = False
        await mesh.settle()
        assert len(mesh.commands(QuarantineDevice)) == 3 * BOT_COMMANDS_MAX
    assert mesh.dead_letters == []


@pytest.mark.parametrize("lost", [Kind.SUBSCRIBE, Kind.SUBSCRIBED])
async def test_a_subscription_that_nobody_answers_is_asked_for_again(autojump_clock: MockClock, lost: Kind) -> None:
    bot, seen = Bot("patient"), list[str]()

    @bot.on("system.alert")
    async def hear(event: SystemNotice, ctx: Context) -> None:
        seen.append(event.message)

    async with running(bot) as mesh:
        await mesh.event("system.alert", "node/n1", notice("1"))
        mesh.broker.loses = lost
        mesh.cut()
        await mesh.broker.wait(lambda: mesh.broker.loses is None)
        with awaited("an event after the bot has subscribed again"):
            await mesh.event("system.alert", "node/n1", notice("2"))
    assert seen == ["1", "2"]


async def test_a_bot_that_is_told_twice_to_subscribe_again_does_so_though_it_was_not_heard(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    bot, seen = Bot("told-twice"), list[str]()

    @bot.on("system.alert")
    async def hear(event: SystemNotice, ctx: Context) -> None:
        seen.append(event.message)

    async with running(bot) as mesh:
        await mesh.event("system.alert", "node/n1", notice("1"))
        mesh.broker.loses = Kind.SUBSCRIBE
        mesh.broker.want_again("hear", 1)
        await mesh.broker.wait(lambda: mesh.broker.loses is None)
        mesh.broker.want_again("hear", 1)
        with awaited("an event after the bot has subscribed again"):
            await mesh.event("system.alert", "node/n1", notice("2"))
    assert seen == ["1", "2"]
    assert "gives hear nothing" not in caplog.text


@pytest.mark.parametrize("lost", [Kind.EVENTS, Kind.CURSOR])
async def test_a_frame_that_is_lost_on_its_way_loses_no_event_and_repeats_none(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture, lost: Kind
) -> None:
    bot, seen = Bot("exact"), list[str]()

    @bot.on("system.alert")
    async def hear(event: SystemNotice, ctx: Context) -> None:
        seen.append(event.message)

    async with running(bot) as mesh:
        await mesh.event("system.alert", "node/n1", notice("1"))
        mesh.broker.loses = lost
        await mesh.event("system.alert", "node/n1", notice("2"), settle=False)
        await mesh.broker.wait(lambda: mesh.broker.loses is None)
        await mesh.event("system.alert", "node/n2", notice("3"), settle=False)
        await mesh.settle()
    assert sorted(seen) == ["1", "2", "3"]
    assert mesh.broker.dead_letters == []
    assert "hear is subscribed again: " in caplog.text
