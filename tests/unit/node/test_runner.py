"""The runner: performs, bounds and cancels tries; tells each end once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import trio
import trio.testing

from doai.clock import Now
from doai.drivers.base import Driver
from doai.drivers.failures import device_offline, storage_full
from doai.drivers.fake.driver import FakeDriver
from doai.errors import ErrorClass
from doai.ids import Token
from doai.messages.work import FilePin
from doai.node.core.effects import CancelStep, StartStep, StepEnded, TryKey
from doai.node.runner import Runner
from doai.node.steps.base import StepContext, step_failed
from doai.workflow.step_type import NoOutputs
from doai.workflow.steps import Shell, ShellOutputs
from doai.workflow.templates import SecretName, SecretText


class TrioClock:
    """The clock of the test, which may jump."""

    def now(self) -> Now:
        return Now(trio.current_time(), int(trio.current_time() * 1000))


class NoArtifacts:
    """No step here keeps a file."""

    async def keep(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError

    async def spool(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError


class OneFolder:
    """Has every file, and notes who asked and who is done."""

    def __init__(self) -> None:
        self.used: list[tuple[str, str]] = []

    async def get(self, pin: FilePin, task_id: str, token: Token) -> Path:
        self.used.append((pin.sha256, task_id))
        return Path("/files") / pin.sha256

    def release(self, task_id: str, token: Token) -> None:
        self.used.append(("released", task_id))


class Bench:
    """A runner with one step type whose function a test gives."""

    def __init__(
        self, function: Any, driver: FakeDriver | None = None, files: Any = None, secrets: Any = None
    ) -> None:
        self.driver = driver or FakeDriver(serials=["A"])
        self.send, self.receive = trio.open_memory_channel[StepEnded](10)
        self.runner = Runner(
            node_id="node-1",
            driver_of=self.driver_of,
            artifacts=NoArtifacts(),
            clock=TrioClock(),
            steps={"device.shell": function},
            ended=self.send.send_nowait,
            files=files,
            secrets=secrets,
        )

    def driver_of(self, serial: str) -> Driver:
        return self.driver

    def start(
        self,
        *,
        command: Any = "true",
        timeout_s: float = 5.0,
        use: str = "device.shell",
        until: float = 1e9,
        sensitive: bool = False,
    ) -> TryKey:
        key = TryKey("T1", Token(1, 1), "a", 1)
        self.runner.start(
            StartStep(
                recipe="check",
                key=key,
                use=use,
                arguments={"command": command},
                timeout_s=timeout_s,
                act_until_s=until,
                on_device=True,
                sensitive=sensitive,
                device_serial="A",
                run_id="R1",
                trace_id="1",
                content_id="c",
                files=[FilePin(reference="my-app", version="1.4", sha256="ab", size_bytes=2)],
            )
        )
        return key


async def on_device(arguments: Shell, context: StepContext) -> ShellOutputs:
    output = await context.device.shell(arguments.command)
    return ShellOutputs(stdout=output.text, stderr="", exit_code=output.exit_code)


@pytest.fixture
async def running(nursery: trio.Nursery) -> AsyncIterator[Any]:
    async def run(bench: Bench) -> Bench:
        await nursery.start(bench.runner.run)
        return bench

    yield run
    nursery.cancel_scope.cancel()


async def test_a_step_passes_with_its_tag_before_the_command(running: Any, autojump_clock: Any) -> None:
    bench = await running(Bench(on_device))
    bench.start(command="echo hi")
    ended = await bench.receive.receive()
    assert (ended.failure, ended.outputs["stdout"], ended.unobserved) == (None, "hi", False)
    assert bench.driver.journal[-1].tag == "T1/1.1/a/1"


async def test_a_step_that_takes_too_long(running: Any, autojump_clock: Any) -> None:
    async def slow(arguments: Shell, context: StepContext) -> NoOutputs:
        await trio.sleep(100)
        return NoOutputs()

    bench = await running(Bench(slow))
    began_s = trio.current_time()
    bench.start(timeout_s=5.0)
    ended = await bench.receive.receive()
    assert trio.current_time() - began_s == pytest.approx(5.0)
    assert (ended.failure.error_class, ended.failure.code) == (ErrorClass.TIMEOUT, "step_timeout")
    assert not ended.unobserved


async def test_a_command_amid_which_time_ends_is_not_observed(running: Any, autojump_clock: Any) -> None:
    bench = await running(Bench(on_device, FakeDriver(serials=["A"], latency_s=50.0)))
    bench.start(timeout_s=5.0)
    ended = await bench.receive.receive()
    assert ended.failure.code == "step_timeout"
    assert ended.unobserved


async def test_what_uses_the_device_past_the_driver_is_not_observed_when_it_is_cut(
    running: Any, autojump_clock: Any
) -> None:
    async def beside(arguments: Shell, context: StepContext) -> ShellOutputs:
        with context.using_device() as serial:
            if arguments.command == "hang":
                await trio.sleep_forever()
        return ShellOutputs(stdout=serial, stderr="", exit_code=0)

    bench = await running(Bench(beside))
    bench.start()
    assert (await bench.receive.receive()).outputs["stdout"] == "A"
    bench.start(command="hang", timeout_s=5.0)
    assert (await bench.receive.receive()).unobserved
    bench.start(until=0.0)
    ended = await bench.receive.receive()
    assert (ended.failure.code, ended.unobserved) == ("attempt_over", False)


async def test_a_sensitive_step_takes_no_picture(running: Any, autojump_clock: Any) -> None:
    async def shot(arguments: Shell, context: StepContext) -> ShellOutputs:
        picture = await context.device.screenshot()
        return ShellOutputs(stdout="", stderr="", exit_code=len(picture))

    bench = await running(Bench(shot))
    bench.start()
    assert (await bench.receive.receive()).failure is None
    bench.start(sensitive=True)
    ended = await bench.receive.receive()
    assert (ended.failure.error_class, ended.failure.code) == (ErrorClass.USER, "sensitive_step")


async def test_a_cancel_before_the_step_ran_is_not_lost(running: Any, autojump_clock: Any) -> None:
    bench = await running(Bench(on_device))
    bench.runner.cancel(CancelStep(bench.start()))
    ended = await bench.receive.receive()
    assert ended.failure.error_class is ErrorClass.CANCELLED
    bench.runner.cancel(CancelStep(ended.key))


async def test_any_exception_ends_the_try_and_nothing_else(
    running: Any, autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(arguments: Shell, context: StepContext) -> NoOutputs:
        raise KeyError("x")

    bench = await running(Bench(broken))
    bench.start()
    ended = await bench.receive.receive()
    assert (ended.failure.error_class, ended.failure.code) == (ErrorClass.INFRASTRUCTURE, "step_crashed")
    assert "KeyError" in ended.failure.message
    assert "Traceback" in caplog.text


async def test_arguments_and_names_are_checked(running: Any, autojump_clock: Any) -> None:
    bench = await running(Bench(on_device))
    bench.start(command=7)
    assert (await bench.receive.receive()).failure.code == "bad_arguments"
    bench.start(use="from.the.future")
    assert (await bench.receive.receive()).failure.code == "unknown_step"
    assert not bench.driver.journal


async def test_no_command_begins_after_the_attempts_last_moment(running: Any, autojump_clock: Any) -> None:
    bench = await running(Bench(on_device))
    bench.start(until=trio.current_time())
    ended = await bench.receive.receive()
    assert (ended.failure.code, ended.unobserved) == ("attempt_over", False)
    assert not bench.driver.journal


@pytest.mark.parametrize(("error", "unobserved"), [(device_offline("A"), True), (storage_full("A", "x"), False)])
async def test_a_cut_is_not_an_answer(
    running: Any, autojump_clock: Any, error: Exception, unobserved: bool
) -> None:
    class Broken:
        serial = "A"

        async def shell(self, command: str, *, stdin: bytes = b"") -> Any:
            raise error

    bench = await running(Bench(on_device))
    bench.driver.device = lambda serial, tag="": Broken()
    bench.start()
    assert (await bench.receive.receive()).unobserved is unobserved


async def test_steps_start_within_run_only() -> None:
    with pytest.raises(RuntimeError):
        Bench(on_device).start()


async def ask_for_a_file(arguments: Shell, context: StepContext) -> ShellOutputs:
    path = await context.file(arguments.command)
    return ShellOutputs(stdout=str(path), stderr="", exit_code=0)


async def test_a_step_gets_the_files_its_run_was_made_with(running: Any, autojump_clock: Any) -> None:
    files = OneFolder()
    bench = await running(Bench(ask_for_a_file, files=files))
    bench.start(command="my-app")
    assert (await bench.receive.receive()).outputs["stdout"] == "/files/ab"
    bench.runner.forget("T1", Token(1, 1))
    assert files.used == [("ab", "T1"), ("released", "T1")]
    bench.start(command="other@1")
    ended = await bench.receive.receive()
    assert (ended.failure.error_class, ended.failure.code) == (ErrorClass.USER, "file_not_pinned")
    assert "without a file 'other@1' (it has: my-app)" in ended.failure.message


async def test_a_node_without_an_admin_has_no_files(running: Any, autojump_clock: Any) -> None:
    bench = await running(Bench(ask_for_a_file))
    bench.start(command="my-app")
    ended = await bench.receive.receive()
    assert (ended.failure.error_class, ended.failure.code) == (ErrorClass.INFRASTRUCTURE, "no_file_source")
    assert "admin_url" in ended.failure.message


# --- secrets --------------------------------------------------------------------------------------------------

CANARY = 'c4nary/of the "mine'
LOGIN = SecretText(("login ", SecretName("pin")))


class OneSecret:
    """Has one secret, and counts who asks."""

    def __init__(self) -> None:
        self.asked = 0

    async def fetch(self, task_id: str, token: Token) -> dict[str, str]:
        self.asked += 1
        await trio.lowlevel.checkpoint()
        return {"pin": CANARY}


async def test_a_secret_is_filled_in_for_the_step_and_masked_in_what_it_tells(running: Any) -> None:
    seen: list[str] = []

    async def tells(arguments: Shell, context: StepContext) -> ShellOutputs:
        seen.append(arguments.command)
        return ShellOutputs(stdout=f"said {arguments.command}", stderr=quote(CANARY), exit_code=0)

    source = OneSecret()
    bench = await running(Bench(tells, secrets=source))
    bench.start(command=LOGIN)
    ended = await bench.receive.receive()
    assert seen == [f"login {CANARY}"]
    assert ended.outputs == {"stdout": "said login ***", "stderr": "***", "exit_code": 0}
    bench.start(command=f"echo {CANARY}")
    assert (await bench.receive.receive()).outputs["stdout"] == "said echo ***", "also where no secret is named"
    assert source.asked == 1, "once a task"
    bench.runner.forget("T1", Token(1, 1))
    bench.start(command=LOGIN)
    await bench.receive.receive()
    assert source.asked == 2, "it was forgotten with its task"


async def test_a_failure_or_a_crash_of_a_step_tells_no_secret(
    running: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def crashes(arguments: Shell, context: StepContext) -> ShellOutputs:
        context.log(f"typing {arguments.command}", text=arguments.command)
        if "again" in arguments.command:
            raise step_failed(
                ErrorClass.APP, "broken", f"It said {arguments.command[:-3]}...", {"said": [arguments.command]}
            )
        raise RuntimeError(arguments.command)

    bench = await running(Bench(crashes, secrets=OneSecret()))
    bench.start(command=LOGIN)
    assert (await bench.receive.receive()).failure.code == "step_crashed"
    bench.start(command=SecretText(("again ", SecretName("pin"))))
    failure = (await bench.receive.receive()).failure
    assert failure.message == "It said again ***..."
    assert failure.details == {"said": ["again ***"]}
    assert "RuntimeError: login ***" in caplog.text
    assert "c4nary" not in caplog.text + str([vars(record) for record in caplog.records])


async def test_without_a_source_or_a_value_a_step_that_needs_a_secret_fails(running: Any) -> None:
    bench = await running(Bench(on_device))
    bench.start(command=LOGIN)
    assert (await bench.receive.receive()).failure.code == "no_secret_source"
    bench = await running(Bench(on_device, secrets=OneSecret()))
    bench.start(command=SecretText((SecretName("other"),)))
    failure = (await bench.receive.receive()).failure
    assert (failure.code, failure.error_class) == ("unknown_secret", ErrorClass.USER)
    assert "'other'" in failure.message
