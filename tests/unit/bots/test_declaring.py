"""A bot that is written wrongly is told so in one sentence, where it is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from doai.bots import Bot, BotError, Context, Fields
from doai.bots.loading import SHIPPED, load_bot
from doai.messages.events import AttemptEnded, NodeStatus


async def two(event: Any, ctx: Context) -> None: ...
async def one(ctx: Context) -> None: ...
async def node(event: NodeStatus, ctx: Context) -> None: ...
async def impossible(event: Callable[[], int], ctx: Context) -> None: ...
def plain(event: Any, ctx: Context) -> None: ...


class NoDefault(msgspec.Struct):
    limit: int


@pytest.mark.parametrize(
    ("declare", "sentence"),
    [
        (lambda bot: bot.on("task.failed")(one), "the handler one must take (payload, ctx), it takes 1"),
        (lambda bot: bot.on("task.failed")(plain), "must be a coroutine function: write `async def plain(...)`"),
        (lambda bot: bot.on("task.fialed")(two), "waits for task.fialed: there are no such events"),
        (lambda bot: bot.on()(two), "names nothing that it waits for"),
        (lambda bot: bot.on("task.failed")(node), "takes NodeStatus, which none of task.failed has: write Attempt"),
        (lambda bot: bot.on("task.failed")(impossible), "has a type with which no data can be read"),
        (lambda bot: bot.on("task.failed", timeout="soon")(two), "'soon' is no duration"),
        (lambda bot: bot.on("task.failed", tries=0)(two), "it must have 1 or more"),
        (lambda bot: bot.every("30")(one), "'30' is no duration"),
        (lambda bot: bot.every("1ms")(one), "100ms is the shortest"),
        (lambda bot: bot.every("1s", setting="pause")(one), "takes its interval from pause, which no setting is"),
        (lambda bot: bot.every("1s")(two), "the handler two must take (ctx), it takes 2"),
        (lambda bot: bot.task("report build")(two), "a kind is words joined by dots"),
        (lambda bot: (bot.task("a.b")(two), bot.task("a.b", name="x")(two)), "two handlers take tasks of a.b"),
        (lambda bot: (bot.every("1s")(one), bot.every("2s")(one)), "has two handlers one: give one of them"),
        (lambda bot: bot.on("task.failed", name="No Name")(two), "a handler can not be called 'No Name'"),
        (lambda bot: bot.registration(), "the bot b has no handlers"),
        (lambda bot: Bot("B b"), "a bot can not be called 'B b'"),
        (lambda bot: Bot("b", max_concurrent=0), "max_concurrent of the bot b can not be 0"),
        (
            lambda bot: Bot("b", config=NoDefault),
            "NoDefault of b needs a default for every field",
        ),
    ],
)
def test_what_is_wrong_is_told_where_it_is_written(declare: Callable[[Bot], object], sentence: str) -> None:
    with pytest.raises(BotError) as caught:
        declare(Bot("b"))
    assert sentence in str(caught.value)


def test_a_registration_says_what_the_bot_is() -> None:
    bot = Bot("b", title="A bot", type="health", version="1.2", tags=["x"], capabilities=["y"])
    bot.on("task.failed", "task.unknown", from_beginning=True)(two)
    bot.task("report.build")(node)
    said = bot.registration("b.py")
    assert (said.name, said.title, said.type, said.version, said.entry_point) == (
        "b",
        "A bot",
        "health",
        "1.2",
        "b.py",
    )
    assert [(s.name, s.topics, s.from_beginning) for s in said.subscriptions] == [
        ("two", ["task.failed", "task.unknown"], True)
    ]
    assert said.task_kinds == ["report.build"]
    assert said.config_schema == {}


def test_fields_are_read_as_people_write_them() -> None:
    fields = Fields({"batteryTempC": 40, "serial": "R"})
    assert (fields.battery_temp_c, fields.batteryTempC, fields.serial, fields["serial"]) == (40, 40, "R", "R")
    with pytest.raises(AttributeError, match="there is no field volts; it has batteryTempC, serial"):
        fields.volts  # noqa: B018


BOT_FILE = """
from doai.bots import Bot
bot = Bot("in-a-file")
@bot.every("1s")
async def sweep(ctx): ...
bot.run()
"""


def test_a_bot_is_found_in_a_file_that_runs_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(BOT_FILE)
    assert list(load_bot(str(path)).handlers) == ["sweep"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x = 1\n\ny = x / 0\n", "mine.py, line 3: ZeroDivisionError: division by zero"),
        ("def f(:\n", "mine.py, line 1: SyntaxError: "),
        ("import sys\nsys.exit(3)\n", "mine.py, line 2: SystemExit: 3"),
        ("import nothing_of_that_name\n", "mine.py, line 1: ModuleNotFoundError: No module named"),
        ("x = 1\n", 'mine.py has no bot of its own: write bot = Bot("my-name")'),
        (BOT_FILE + 'b = Bot("second")\n', "it has several (in-a-file, second): name one as MODULE:VARIABLE"),
        (BOT_FILE.replace("1s", "soon"), "mine.py, line 4: the handler sweep: 'soon' is no duration"),
    ],
)
def test_a_file_that_has_no_bot_is_told_with_its_line(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(BotError) as caught:
        load_bot(str(path))
    assert sentence in str(caught.value)


@pytest.mark.parametrize("program", ["no_such_bot", "doai.nowhere", "/nowhere/x.py", "json"])
def test_a_bot_that_is_nowhere_is_told(program: str) -> None:
    with pytest.raises(BotError, match=r"there is no (bot|file)|has no bot of its own"):
        load_bot(program)


@pytest.mark.parametrize("found", ["shipped_bot", "shipped_bot:bot"])
def test_a_shipped_bot_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: str) -> None:
    (tmp_path / "shipped_bot.py").write_text(BOT_FILE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("doai.bots.loading.SHIPPED", {"in-a-box": found})
    assert load_bot("in-a-box").name == "in-a-file"
    with pytest.raises(BotError, match="did you mean in-a-box"):
        load_bot("in-a-bax")


def test_every_shipped_bot_has_the_name_by_which_it_is_found() -> None:
    assert {name: load_bot(name).name for name in SHIPPED} == {name: name for name in SHIPPED}


def test_the_events_own_type_fits() -> None:
    bot = Bot("b")

    async def ended(event: AttemptEnded, ctx: Context) -> None: ...

    bot.on("task.*")(ended)
    assert bot.handlers["ended"].topics == ("task.*",)
