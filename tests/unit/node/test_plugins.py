"""Plug-ins of a node: steps in processes of their own; what crashes, hangs, changes or leaks hurts nothing else."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from doai.backoff import Backoff
from doai.clock import Now
from doai.drivers.fake.driver import FakeDriver
from doai.errors import ErrorClass
from doai.ids import Token
from doai.messages.plugins import PluginOffer, PluginState
from doai.node import plugin_host, plugin_version, plugins
from doai.node.core.effects import CancelStep, StartStep, StepEnded, TryKey
from doai.node.plugins import Plugins, provider_of
from doai.node.runner import Runner
from doai.node.steps.table import STEPS
from doai.plugins.discovery import read_plugin
from doai.workflow.step_type import StepType
from doai.workflow.templates import SecretName, SecretText

PATIENCE_S = 90.0
"""For starts of processes on a slow host; nothing waits so long where all is well."""
LOOK_S = 0.05
AT_ONCE = Backoff(first_s=0.01, longest_s=0.01)

MANIFEST = """\
name: acme
version: "{version}"
steps:
  - {{name: acme.say, module: acme_steps}}
  - {{name: acme.wait, module: acme_steps}}
"""
STEPS_MODULE = """\
import os, signal, stat
from pathlib import Path
import trio
from doai.plugins import Arguments, Context, Outputs, fail, step

HELD = []

class Odd:
    def __str__(self):
        raise KeyError("odd")

class Say(Arguments, frozen=True, kw_only=True):
    text: str
    how: str = "shell"

class Said(Outputs, frozen=True, kw_only=True):
    text: str
    pid: int
    version: str = "VERSION"

@step("acme.say", idempotent=True)
async def say(arguments: Say, ctx: Context) -> Said:
    if arguments.how == "exit":
        os._exit(7)
    if arguments.how == "last words":
        print("x" * 1_998 + arguments.text)
        print("the last words", end="")
        raise SystemExit("bye")
    if arguments.how == "raise":
        raise ValueError(arguments.text)
    if arguments.how == "fail":
        raise fail("not_said", "It was not said: say it again.", text=arguments.text)
    if arguments.how == "odd":
        ctx.log("odd", many=2**70, lone="\\ud800", fails=Odd())
        raise fail("odd", "Odd.", path=Path("/odd"), many=2**70, names=["a", "b"], lone="\\ud800", none=None)
    if arguments.how == "chatty":
        for number in range(1_500):
            ctx.log(f"line {number}")
        return Said(text="", pid=os.getpid())
    if arguments.how == "no class":
        raise fail("odd", "Odd.", error_class="nonsense")
    if arguments.how == "hold":
        HELD.append(bytearray(int(arguments.text)))
        return Said(text="", pid=os.getpid())
    if arguments.how == "do":
        done = await ctx.do("device.shell", command=f"echo {arguments.text}")
        return Said(text=done["stdout"], pid=os.getpid())
    if arguments.how == "garble":
        for fd in range(3, 64):
            try:
                if stat.S_ISSOCK(os.fstat(fd).st_mode):
                    os.write(fd, bytes([255]) * 64)
            except OSError:
                continue
        await trio.sleep_forever()
    if arguments.how == "print":
        print("printed", arguments.text, flush=True)
        ctx.log("logged " + arguments.text, size=len(arguments.text), name="has one, too", message="this, too")
        return Said(text=arguments.text, pid=os.getpid())
    output = await ctx.device.shell(f"echo {arguments.text}")
    return Said(text=output.text, pid=os.getpid())

class Wait(Arguments, frozen=True, kw_only=True):
    how: str = "nicely"
    fifo: str = ""

@step("acme.wait", on_device=False)
async def wait(arguments: Wait, ctx: Context) -> None:
    ctx.log("waiting")
    if arguments.how == "busy":
        Path(arguments.fifo).read_bytes()
        await ctx.device.shell("true")
    if arguments.how == "deaf":
        while True:
            signal.pause()
    if arguments.how == "device":
        await ctx.device.shell("true")
    await trio.sleep_forever()
"""


def write(folder: Path, *, version: str = "1", module: str = STEPS_MODULE) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "acme_steps.py").write_text(module.replace("VERSION", version))
    (folder / "plugin.yaml").write_text(MANIFEST.format(version=version))
    return folder


class TrioClock:
    def now(self) -> Now:
        return Now(trio.current_time(), int(trio.current_time() * 1000))


class Bench:
    """A runner with the plug-ins of a folder, and everything that is told."""

    def __init__(self, folder: Path, copies: Path, memory_bytes: int = 2**40) -> None:
        self.folder = folder
        self.copies = copies
        self.offers: list[PluginOffer] = []
        self.types: Mapping[str, StepType] = {}
        self.news = trio.Event()
        self.ended: dict[TryKey, StepEnded] = {}
        self.lines: list[str] = []
        self.plugins = Plugins([folder], copies, STEPS, memory_bytes=memory_bytes, look_s=LOOK_S, restart=AT_ONCE)
        self.driver = FakeDriver(serials=["A"])
        self.runner = Runner(
            node_id="node-1",
            driver_of=lambda serial: self.driver,
            artifacts=None,  # type: ignore[arg-type]  # no step here keeps a file
            clock=TrioClock(),
            steps=STEPS,
            ended=self._step_ended,
            plugins=self.plugins,
            secrets=self,
        )
        self._keys = 0

    async def fetch(self, task_id: str, token: Token) -> dict[str, str]:
        return {"pin": "s3cret-value"}

    def changed(self, offers: list[PluginOffer], types: Mapping[str, StepType]) -> None:
        self.offers, self.types = offers, types
        self.wake()

    def _step_ended(self, ended: StepEnded) -> None:
        self.ended[ended.key] = ended
        self.wake()

    def wake(self) -> None:
        self.news.set()
        self.news = trio.Event()

    async def one_copy(self) -> None:
        while len(list(self.copies.iterdir())) > 1:  # noqa: ASYNC110 - a thread removes them
            await trio.sleep(0.01)

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self.news.wait()

    def start(
        self, use: str, arguments: dict[str, Any], *, timeout_s: float = PATIENCE_S, provider: str = ""
    ) -> TryKey:
        self._keys += 1
        key = TryKey("T1", Token(1, 1), "a", self._keys)
        step_type = self.types.get(use)
        self.runner.start(
            StartStep(
                recipe="check",
                key=key,
                use=use,
                provider=provider or (step_type.provider if step_type is not None else ""),
                arguments=arguments,
                timeout_s=timeout_s,
                act_until_s=1e12,
                on_device=step_type.on_device if step_type is not None else True,
                device_serial="A",
                run_id="R1",
                trace_id="1",
                content_id="c",
            )
        )
        return key

    async def end(self, key: TryKey) -> StepEnded:
        await self.until(lambda: key in self.ended)
        return self.ended[key]

    async def perform(self, use: str, **arguments: Any) -> StepEnded:
        return await self.end(self.start(use, arguments))


@pytest.fixture
async def bench(tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[Bench]:
    made = Bench(write(tmp_path / "plugins" / "here").parent, tmp_path / "copies")
    with trio.fail_after(PATIENCE_S):
        await run(made, nursery)
        await made.until(lambda: bool(made.types))
        yield made


async def run(bench: Bench, nursery: trio.Nursery) -> None:
    await nursery.start(bench.runner.run)
    nursery.start_soon(_drive, bench.driver)
    await nursery.start(bench.plugins.run, bench.changed)


async def _drive(driver: FakeDriver) -> None:
    async with driver.run():
        await trio.sleep_forever()


async def test_a_step_acts_on_the_phone_through_the_node(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    [offer] = bench.offers
    assert (offer.name, offer.version, offer.state) == ("acme", "1", PluginState.READY)
    assert [schema.name for schema in offer.steps] == ["acme.say", "acme.wait"]
    ended = await bench.perform("acme.say", text="hello")
    assert ended.failure is None
    assert ended.outputs["text"] == "hello"
    assert ended.outputs["pid"] != os.getpid()
    [call] = [call for call in bench.driver.journal if "echo hello" in str(call)]
    assert "T1/1.1/a/1" in str(call), "the node's own tag is on the command"
    ended = await bench.perform("acme.say", text="again", how="do")
    assert ended.outputs["text"] == "again"
    await fails_by_its_own(bench)
    await is_cancelled(bench)
    await is_logged(bench, caplog)


async def fails_by_its_own(bench: Bench) -> None:
    ended = await bench.perform("acme.say", text="x", how="fail")
    assert ended.failure is not None
    assert (ended.failure.error_class, ended.failure.code) == (ErrorClass.APP, "not_said")
    assert ended.failure.details == {"text": "x"}
    ended = await bench.perform("acme.say", text="x", how="odd")
    assert ended.failure is not None
    assert (ended.failure.error_class, ended.failure.code) == (ErrorClass.APP, "odd")
    told = {"path": "/odd", "many": str(2**70), "names": ["a", "b"], "lone": "?", "none": None}
    assert ended.failure.details == told
    ended = await bench.perform("acme.say", text="x", how="no class")
    assert ended.failure is not None
    assert (ended.failure.error_class, ended.failure.code) == (ErrorClass.INFRASTRUCTURE, "step_crashed")
    assert "'nonsense', which is none: give a member of ErrorClass. It said: Odd." in ended.failure.message
    ended = await bench.perform("acme.say", text="x", how="raise")
    assert ended.failure is not None
    assert (ended.failure.code, ended.failure.details) == ("step_crashed", {})
    assert "ValueError" in ended.failure.message
    ended = await bench.perform("acme.say", txt="x")
    assert ended.failure is not None
    assert (ended.failure.error_class, ended.failure.code) == (ErrorClass.USER, "bad_arguments")
    ended = await bench.perform("acme.wait", how="device")
    assert ended.failure is not None
    assert ended.failure.code == "not_on_device"


async def is_cancelled(bench: Bench) -> None:
    first = await bench.perform("acme.say", text="1")
    key = bench.start("acme.wait", {})
    bench.runner.cancel(CancelStep(key))
    ended = await bench.end(key)
    assert ended.failure is not None
    assert ended.failure.error_class is ErrorClass.CANCELLED
    again = await bench.perform("acme.say", text="2")
    assert again.outputs["pid"] == first.outputs["pid"]


async def test_a_process_that_dies_fails_its_steps_and_comes_back(bench: Bench) -> None:
    first = await bench.perform("acme.say", text="1")
    waiting = bench.start("acme.wait", {})
    ended = await bench.perform("acme.say", text="x", how="exit")
    assert ended.failure is not None
    assert (ended.failure.error_class, ended.failure.code) == (ErrorClass.INFRASTRUCTURE, "plugin_ended")
    assert "exit code 7" in ended.failure.message
    other = await bench.end(waiting)
    assert other.failure is not None
    assert other.failure.code == "plugin_ended"
    again = await bench.perform("acme.say", text="2")
    assert again.outputs["text"] == "2"
    assert again.outputs["pid"] != first.outputs["pid"]
    os.kill(again.outputs["pid"], signal.SIGKILL)
    third = await bench.perform("acme.say", text="3")
    if third.failure is not None:  # it was given to the process before its end was seen
        assert "SIGKILL" in third.failure.message
        third = await bench.perform("acme.say", text="3")
    assert third.outputs["text"] == "3"
    garbled = await bench.perform("acme.say", text="x", how="garble")
    assert garbled.failure is not None
    assert "it garbled the pipe: a frame of 4294967295 bytes was announced" in garbled.failure.message
    assert (await bench.perform("acme.say", text="4")).outputs["text"] == "4"


async def test_one_that_crashes_again_and_again_is_given_up_and_told(
    monkeypatch: pytest.MonkeyPatch, bench: Bench
) -> None:
    monkeypatch.setattr(plugin_version, "CRASHES_MAX", 2)
    monkeypatch.setattr(plugins, "KEPT_MAX", 0)
    while bench.types:
        ended = await bench.perform("acme.say", text="x", how="exit")
        assert ended.failure is not None
        await trio.lowlevel.checkpoint()
        if ended.failure.code == "plugin_broken":
            break
    await bench.until(lambda: not bench.types)
    [offer] = bench.offers
    assert offer.state is PluginState.BROKEN
    assert "ended 2 times within 10 minutes, at last because it ended with exit code 7" in offer.reason
    write(bench.folder / "here", version="2")
    await bench.until(lambda: bool(bench.types))
    assert (await bench.perform("acme.say", text="x")).outputs["version"] == "2"
    await bench.one_copy()


async def test_one_that_hangs_is_killed_at_the_timeout_of_its_step(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin_host, "CANCEL_S", 0.1)
    key = bench.start("acme.wait", {"how": "deaf"}, timeout_s=0.2)
    ended = await bench.end(key)
    assert ended.failure is not None
    assert ended.failure.error_class is ErrorClass.TIMEOUT
    assert "It hung: the process of plug-in acme was killed." in ended.failure.message
    assert (await bench.perform("acme.say", text="alive")).outputs["text"] == "alive"


async def test_a_call_that_comes_after_the_cancel_costs_nothing_but_its_try(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin_host, "CANCEL_S", PATIENCE_S)
    first = await bench.perform("acme.say", text="1")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    key = bench.start("acme.wait", {"how": "busy", "fifo": str(fifo)})
    step_reads = await trio.to_thread.run_sync(os.open, fifo, os.O_WRONLY, abandon_on_cancel=True)
    bench.runner.cancel(CancelStep(key))
    await trio.testing.wait_all_tasks_blocked()
    os.close(step_reads)
    ended = await bench.end(key)
    assert ended.failure is not None
    assert ended.failure.error_class is ErrorClass.CANCELLED
    again = await bench.perform("acme.say", text="2")
    assert again.outputs["pid"] == first.outputs["pid"], "its process goes on"


async def test_a_changed_folder_is_used_by_what_begins_then(bench: Bench) -> None:
    before = bench.types["acme.say"].provider
    running = bench.start("acme.wait", {})
    write(bench.folder / "here", version="2")
    await bench.until(lambda: bench.types["acme.say"].provider != before)
    assert (await bench.perform("acme.say", text="new")).outputs["version"] == "2"
    old = await bench.end(bench.start("acme.say", {"text": "old"}, provider=before))
    assert old.outputs["version"] == "1", "a task that began with it goes on with it"
    assert running not in bench.ended
    bench.runner.cancel(CancelStep(running))
    await bench.end(running)


async def test_a_change_that_can_not_be_used_is_told_and_the_one_before_goes_on(bench: Bench) -> None:
    write(bench.folder / "here", version="2", module="import no_such_module_at_all\n")
    await bench.until(lambda: bool(bench.offers and bench.offers[0].reason))
    [offer] = bench.offers
    assert (offer.state, offer.version) == (PluginState.READY, "1")
    assert "can not be imported (acme_steps.py, line 1): ModuleNotFoundError" in offer.reason
    await bench.one_copy()
    assert (await bench.perform("acme.say", text="still")).outputs["version"] == "1"
    (bench.folder / "here" / "plugin.yaml").write_text("name: [")
    await bench.until(lambda: "plugin.yaml" in bench.offers[0].reason)
    assert bench.types, "half of a manifest takes nothing away"
    (bench.folder / "here" / "plugin.yaml").unlink()
    await bench.until(lambda: not bench.offers)
    assert not bench.types


async def test_one_that_leaks_is_named_and_replaced(tmp_path: Path, nursery: trio.Nursery) -> None:
    limit = 300 * 2**20
    bench = Bench(write(tmp_path / "plugins" / "here").parent, tmp_path / "copies", memory_bytes=limit)
    with trio.fail_after(PATIENCE_S):
        await run(bench, nursery)
        await bench.until(lambda: bool(bench.types))
        first = await bench.perform("acme.say", text=str(300 * 2**20), how="hold")
        assert first.failure is None
        await bench.until(lambda: bool(bench.offers[0].reason))
        assert "more memory than its limit of 300 MB, and is replaced" in bench.offers[0].reason
        again = await bench.perform("acme.say", text="x")
        assert again.outputs["pid"] != first.outputs["pid"]


async def test_one_that_imports_too_much_is_named_and_not_replaced_again_and_again(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    imports = "HELD.append(b'x' * (210 * 2**20))\nPath(__file__ + '.pids').open('a').write(f'{os.getpid()}\\n')\n"
    folder = write(tmp_path / "plugins" / "here", module=STEPS_MODULE + imports).parent
    bench = Bench(folder, tmp_path / "copies", memory_bytes=200 * 2**20)
    with trio.fail_after(PATIENCE_S):
        await run(bench, nursery)
        await bench.until(lambda: bool(bench.offers and bench.offers[0].reason))
        ended = await bench.perform("acme.say", text="x")
        [pids] = (tmp_path / "copies").glob("*/acme_steps.py.pids")
        assert pids.read_text().split()[0] == str(ended.outputs["pid"]), "the first process performs"


async def test_what_can_not_be_imported_is_told(tmp_path: Path, nursery: trio.Nursery) -> None:
    module = STEPS_MODULE.replace('"acme.wait"', '"acme.wiat"')
    bench = Bench(write(tmp_path / "plugins" / "here", module=module).parent, tmp_path / "copies")
    bad = bench.folder / "bad"
    bad.mkdir()
    (bad / "plugin.yaml").write_text("name: bad\n")
    with trio.fail_after(PATIENCE_S):
        await run(bench, nursery)
        await bench.until(lambda: len(bench.offers) == 2)
    reasons = {offer.name: offer.reason for offer in bench.offers}
    assert "has no step acme.wait: did you mean 'acme.wiat'?" in reasons["acme"]
    assert "'version' is missing" in reasons["bad"]
    assert not bench.types


async def is_logged(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    secret = SecretText(("the pin ", SecretName("pin")))
    ended = await bench.perform("acme.say", text=secret, how="print")
    assert ended.outputs["text"] == "the pin ***"
    assert (await bench.perform("acme.say", text="x", how="chatty")).failure is None
    [gap] = [record.getMessage() for record in caplog.records if "are missing here" in record.getMessage()]
    told = sum(record.getMessage().startswith("line ") for record in caplog.records)
    assert gap == f"{1_500 - told} lines are missing here: they came too fast"
    long = SecretText((SecretName("pin"),))
    assert (await bench.perform("acme.say", text=long, how="last words")).failure is not None
    bench.runner.forget("T1", Token(1, 1))
    while "the last words" not in caplog.text:  # noqa: ASYNC110 - what it printed comes when it comes
        await trio.sleep(0.01)
    assert "SystemExit: bye" in caplog.text, "the trace of a process that dies is logged"
    assert "xx**" in caplog.text
    assert "xxs3" not in caplog.text, "a secret is masked before a long line is cut"
    assert "printed the pin ***" in caplog.text
    [logged] = [record for record in caplog.records if record.getMessage() == "logged the pin ***"]
    assert (vars(logged)["field_name"], vars(logged)["field_message"]) == ("has one, too", "this, too")
    assert "s3cret" not in caplog.text


def test_a_provider_names_the_content(tmp_path: Path) -> None:
    plugin = read_plugin(write(tmp_path / "acme"))
    assert provider_of(plugin) == f"acme@{plugin.digest}"
