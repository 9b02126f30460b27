"""What an author writes: a bot, its handlers, and what each is called for (step 14)."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, TypeVar

import msgspec

from doai import topics
from doai.backoff import Backoff
from doai.bots.core.work import Cause
from doai.bots.errors import BotError
from doai.bots.payloads import SAMPLES, Function, Payload, check_events, check_function, schema_of
from doai.ids import is_name
from doai.limits import (
    BOT_CONCURRENT,
    BOT_HANDLER_S,
    BOT_TASK_TIMEOUT_S,
    BOT_TASKS,
    BOT_TRIES,
)
from doai.messages.bots import RegisterBot, Subscription
from doai.messages.catalogue import EVENTS
from doai.workflow.duration import DurationError, parse_duration

AGAIN: Final = Backoff(first_s=1.0, longest_s=60.0)
"""Between the tries of a handler for one event."""
_F = TypeVar("_F", bound=Function)


_loading: ContextVar[bool] = ContextVar("loading", default=False)


@contextmanager
def loading() -> Iterator[None]:
    """Within it `Bot.run` does nothing: the file of a bot is only read."""
    token = _loading.set(True)
    try:
        yield
    finally:
        _loading.reset(token)


class NoConfig(msgspec.Struct, frozen=True):
    """Of a bot that takes no configuration."""


class Handler(msgspec.Struct, frozen=True, kw_only=True):
    """One function and what it is called for."""

    name: str
    cause: Cause
    function: Function
    payload: Payload | None = None
    topics: tuple[str, ...] = ()
    """Patterns of events or samples; the kind of tasks."""
    every_s: float = 0.0
    setting: str = ""
    """Field of the configuration that has the interval instead."""
    at_once: int = 1
    """Calls by time that may run beside each other."""
    timeout_s: float = BOT_HANDLER_S
    tries: int = BOT_TRIES
    backoff: Backoff = AGAIN
    from_beginning: bool = False


class Bot:
    """A bot: make one, decorate handlers with it, run it.

    A handler is a coroutine function. What it is given first is what the event, the sample or the task carries, as
    the type of its annotation, or as the type that doai has for it; second comes a `doai.bots.Context`.
    """

    def __init__(
        self,
        name: str,
        *,
        title: str = "",
        type: str = "custom",  # noqa: A002 - the word of the registry
        version: str = "",
        config: type[msgspec.Struct] = NoConfig,
        capabilities: Sequence[str] = (),
        tags: Sequence[str] = (),
        max_concurrent: int = BOT_CONCURRENT,
        max_tasks: int = BOT_TASKS,
    ) -> None:
        """``config``: a Struct whose fields have defaults; an operator sets them, `Context.config` has them.

        ``max_concurrent``: handlers that run at once, tasks aside; a field of that name in the configuration wins.
        ``max_tasks``: tasks that one process takes at once. Raises BotError.
        """
        if not is_name(name):
            raise BotError(f"a bot can not be called {name[:70]!r}: its name is 1-63 of a-z 0-9 . _ -")
        for what, value in (("max_concurrent", max_concurrent), ("max_tasks", max_tasks)):
            if value < 1:
                raise BotError(f"{what} of the bot {name} can not be {value}: it must be 1 or more")
        self.name = name
        self.title = title or name
        self.type = type
        self.version = version
        self.config_type = config
        self.capabilities = list(capabilities)
        self.tags = list(tags)
        self.max_concurrent = max_concurrent
        self.max_tasks = max_tasks
        self.handlers: dict[str, Handler] = {}
        self._default_config()

    def _default_config(self) -> msgspec.Struct:
        schema_of(self.config_type, f"the configuration {self.config_type.__name__}")
        try:
            return self.config_type()
        except TypeError as error:
            raise BotError(
                f"the configuration {self.config_type.__name__} of {self.name} needs a default for every field: "
                f"{error}"
            ) from None

    # --- decorators -----------------------------------------------------------------------------------------

    def on(
        self,
        *patterns: str,
        name: str = "",
        timeout: str = "",
        tries: int = BOT_TRIES,
        from_beginning: bool = False,
    ) -> Callable[[_F], _F]:
        """Call the function for every event whose type matches: each at least once, in order per subject.

        An event is done with when the function returns. When it raises, it is tried again after a while, and other
        subjects go on meanwhile; after ``tries`` it becomes a dead letter. ``*`` stands for one word of a type, a
        last ``**`` for any rest. The subscription is known by the function's name, or ``name``: another name begins
        anew, with the next event, or with the oldest there is (``from_beginning``).
        """

        def add(function: _F) -> _F:
            handler = name or _name_of(function)
            wanted = check_function(function, handler, 2)
            types = [found for found in EVENTS if any(topics.matches(pattern, found) for pattern in patterns)]
            self._check_patterns(handler, patterns)
            if not types:
                raise BotError(f"the handler {handler} waits for {', '.join(patterns)}: there are no such events")
            if tries < 1:
                raise BotError(f"the handler {handler} has {tries} tries: it must have 1 or more")
            check_events(handler, patterns, wanted, types)
            self._add(
                Handler(
                    name=handler,
                    cause=Cause.EVENT,
                    function=function,
                    payload=Payload(wanted, EVENTS),
                    topics=patterns,
                    timeout_s=self._seconds(handler, timeout, BOT_HANDLER_S),
                    tries=tries,
                    from_beginning=from_beginning,
                )
            )
            return function

        return add

    def sample(
        self, *patterns: str, every: str = "", setting: str = "", name: str = "", timeout: str = ""
    ) -> Callable[[_F], _F]:
        """Call the function for samples whose topic matches: of each subject the newest wins, none is repeated.

        Nodes read their devices while a bot wants ``device.health``: each so often, such as ``30s`` (of several
        bots the most often wins), ``max_concurrent`` of a node at once. ``setting`` names a field of the
        configuration (a text such as ``5m``) that wins over ``every``.
        """

        def add(function: _F) -> _F:
            handler = name or _name_of(function)
            wanted = check_function(function, handler, 2)
            self._check_patterns(handler, patterns)
            self._check_setting(handler, setting)
            self._add(
                Handler(
                    name=handler,
                    cause=Cause.SAMPLE,
                    every_s=self._seconds(handler, every, 0.0),
                    setting=setting,
                    function=function,
                    payload=Payload(wanted, SAMPLES),
                    topics=patterns,
                    timeout_s=self._seconds(handler, timeout, BOT_HANDLER_S),
                )
            )
            return function

        return add

    def every(
        self, interval: str, *, setting: str = "", name: str = "", timeout: str = "", at_once: int = 1
    ) -> Callable[[_F], _F]:
        """Call the function every so often, such as ``30s``; never while ``at_once`` calls before still run.

        ``setting`` names a field of the configuration (a text such as ``5m``) that wins over ``interval``.
        """

        def add(function: _F) -> _F:
            handler = name or _name_of(function)
            check_function(function, handler, 1)
            self._check_setting(handler, setting)
            every_s = self._seconds(handler, interval, 0.0)
            if every_s < 0.1:
                raise BotError(f"the handler {handler} can not run every {interval!r}: 100ms is the shortest")
            if at_once < 1:
                raise BotError(f"the handler {handler} has at_once={at_once}: it must be 1 or more")
            self._add(
                Handler(
                    name=handler,
                    cause=Cause.TIME,
                    function=function,
                    every_s=every_s,
                    setting=setting,
                    at_once=at_once,
                    timeout_s=self._seconds(handler, timeout, BOT_HANDLER_S),
                )
            )
            return function

        return add

    def task(self, kind: str, *, name: str = "", timeout: str = "") -> Callable[[_F], _F]:
        """Call the function for tasks of a kind; of all processes of all bots with it one gets each.

        What it returns, a Struct or a mapping, are the task's outputs. A task whose process died is given again,
        with the same `Context.task_id`.
        """

        def add(function: _F) -> _F:
            handler = name or _name_of(function)
            wanted = check_function(function, handler, 2)
            if not topics.is_kind(kind):
                raise BotError(f"the handler {handler} takes tasks of {kind!r}: a kind is words joined by dots")
            if any(kind in other.topics for other in self._of(Cause.TASK)):
                raise BotError(f"two handlers take tasks of {kind}: only one may")
            self._add(
                Handler(
                    name=handler,
                    cause=Cause.TASK,
                    function=function,
                    payload=Payload(wanted, {}),
                    topics=(kind,),
                    timeout_s=self._seconds(handler, timeout, BOT_TASK_TIMEOUT_S),
                )
            )
            return function

        return add

    def _check_patterns(self, handler: str, patterns: tuple[str, ...]) -> None:
        if not patterns or not all(isinstance(pattern, str) for pattern in patterns):
            raise BotError(
                f"the handler {handler} names nothing that it waits for: write a type such as task.failed"
            )
        wrong = next((pattern for pattern in patterns if not topics.is_pattern(pattern)), None)
        if wrong is not None:
            raise BotError(
                f"the handler {handler} waits for {wrong[:80]!r}, which is no pattern: words joined by dots, "
                "* stands for one, a last ** for any"
            )

    def _check_setting(self, handler: str, setting: str) -> None:
        if setting and setting not in {field.name for field in msgspec.structs.fields(self.config_type)}:
            raise BotError(f"the handler {handler} takes its interval from {setting}, which no setting is")

    def _seconds(self, handler: str, text: str, default: float) -> float:
        if not text:
            return default
        try:
            return parse_duration(text)
        except DurationError as error:
            raise BotError(f"the handler {handler}: {error}") from None

    def _add(self, handler: Handler) -> None:
        if handler.name in self.handlers:
            raise BotError(f"the bot {self.name} has two handlers {handler.name}: give one of them a `name=`")
        if not is_name(handler.name):
            raise BotError(f"a handler can not be called {handler.name[:70]!r}: give it a `name=` of a-z 0-9 . _ -")
        self.handlers[handler.name] = handler

    def _of(self, cause: Cause) -> list[Handler]:
        return [handler for handler in self.handlers.values() if handler.cause is cause]

    # --- what it is -----------------------------------------------------------------------------------------

    def registration(self, entry_point: str = "", replaces: str = "") -> RegisterBot:
        """Return what the broker is told of it."""
        if not self.handlers:
            raise BotError(f"the bot {self.name} has no handlers: decorate a function with @bot.on or another")
        subscriptions = [
            Subscription(name=handler.name, topics=list(handler.topics), from_beginning=handler.from_beginning)
            for handler in self._of(Cause.EVENT)
        ]
        subscriptions += [
            Subscription(
                name=handler.name,
                samples=list(handler.topics),
                every_s=handler.every_s,
                every_setting=handler.setting,
                at_once=self.max_concurrent,
            )
            for handler in self._of(Cause.SAMPLE)
        ]
        takes_config = bool(msgspec.structs.fields(self.config_type))
        return RegisterBot(
            name=self.name,
            title=self.title,
            type=self.type,
            version=self.version,
            entry_point=entry_point,
            capabilities=self.capabilities,
            config_schema=schema_of(self.config_type, "the configuration") if takes_config else {},
            tags=self.tags,
            subscriptions=subscriptions,
            task_kinds=[handler.topics[0] for handler in self._of(Cause.TASK)],
            replaces=replaces,
        )

    def run(self) -> None:
        """Run it as a program: settings from flags, DOAI_* and --config; ends the process with an exit code.

        `bin/bot FILE` reads the file and does the same.
        """
        if _loading.get():
            return  # `bin/bot` runs it
        from doai.bots.program import main  # a bot that is only tested needs no sockets

        raise SystemExit(main(self, sys.argv[1:]))


def _name_of(function: Function) -> str:
    # A function that is no function is told about by its check.
    return str(getattr(function, "__name__", inspect.getmodulename(__file__)))
