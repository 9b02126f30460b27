"""A bot as a program: settings, key, connection; readiness, signals, exit codes (step 14).

SIGTERM or SIGINT: no handler begins, those that run may end, what they did is told, BYE, exit 0. A second one exits
at once; the broker gives what was not told done to the next process.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

import trio

from doai import __version__, exits, log
from doai.bots.admin_secrets import AdminSecrets
from doai.bots.bot import Bot
from doai.bots.config import BotConfig, admin_context, check_config
from doai.bots.core.effects import StopBot
from doai.bots.loading import load_bot
from doai.bots.loop_watch import LoopWatch
from doai.bots.outside import HostOutside
from doai.bots.shell import Shell
from doai.bots.state import State
from doai.bots.succession import take_place
from doai.bots.supervisor import Supervisor
from doai.clock import Now
from doai.configuration import load
from doai.errors import ConfigError, DoaiError, StoreError, StoreUnavailable, UserError, leaves_of
from doai.ids import RandomIds
from doai.messages.link import HostSample
from doai.readiness import keep_watchdog, notify
from doai.reasons import reason as because
from doai.store.bot_state import SqliteBotState
from doai.wire.dealer import open_dealer
from doai.wire.keys import KeyPair, load_or_make_keypair, public_key_of
from doai.wire.log_tap import LogTap, tapped

PURPOSE: Final = "Runs a bot: a program that hears of events, takes tasks of its kind, and gives commands."
STOP_S: Final = 10.0
"""A supervisor kills a process that has not ended so long after the time that its handlers have."""
_log: Final = logging.getLogger(__name__)


class SystemClock:
    """Trio's own time, by which the shell waits, and the UTC of the host."""

    def now(self) -> Now:
        return Now(trio.current_time(), time.time_ns() // 1_000_000)


def main(bot: Bot | None = None, argv: Sequence[str] | None = None) -> int:
    """Run a bot until it is stopped; None = the one that the settings name. Returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        config, options = load(
            BotConfig,
            "bot",
            argv,
            os.environ,
            description=PURPOSE,
            add_arguments=_add_flags if bot is None else None,
            check=check_config,
        )
        program = getattr(options, "what", None) or config.program
        supervisor = None
        if bot is None and config.supervise:
            supervisor = Supervisor(config.name, Path(config.supervise), config.drain_s + STOP_S)
            bot, program = supervisor.bot, "supervisor"
        elif bot is None:
            if not program:
                raise ConfigError("no bot is named: give a file, a module or a name, such as bin/bot thermal.py")
            bot = load_bot(program, [Path(name).expanduser() for name in config.plugin_dirs])
        bot.name = config.name or bot.name
        bot.registration()
        keys = load_or_make_keypair(Path(config.bot_dir) / "keys" / "bot.key")
    except UserError as error:
        return _fail(str(error), exits.CONFIG)
    if getattr(options, "show_key", False):
        print(keys.public)  # noqa: T201 - the answer to a question on the command line
        return exits.PASSED
    log.set_up("bot", level=config.log_level, form=config.log_form)
    return _run(bot, config, keys, program or bot.name, supervisor)


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="?", metavar="NAME|FILE|MODULE", help="the bot (as --program)")
    parser.add_argument("--show-key", action="store_true", help="show the bot's public key (made if new), and exit")


def _run(bot: Bot, config: BotConfig, keys: KeyPair, program: str, supervisor: Supervisor | None) -> int:
    failures: list[DoaiError] = []
    code = exits.INTERNAL
    try:
        stop = trio.run(run_bot, bot, config, keys, program, supervisor, strict_exception_groups=True)
        if stop.exit_code not in (exits.PASSED, exits.INTERRUPTED):
            print(f"bot: {bot.name}: {stop.reason}", file=sys.stderr)  # noqa: T201 - its last words
        return stop.exit_code
    except* UserError as group:
        failures, code = leaves_of(group), exits.CONFIG
    except* (StoreError, StoreUnavailable) as group:
        failures, code = leaves_of(group), exits.IO_ERROR
    except* DoaiError as group:
        if not failures:
            failures, code = leaves_of(group), exits.INTERNAL
    return _fail(f"{bot.name}: {failures[0]}", code)


def _fail(sentence: str, code: int) -> int:
    print(f"bot: {sentence}", file=sys.stderr)  # noqa: T201 - the one sentence, also before there is a log
    return code


async def run_bot(
    bot: Bot, config: BotConfig, keys: KeyPair, program: str, supervisor: Supervisor | None = None
) -> StopBot:
    """Run a bot until it is told to stop, with the supervisor whose bot it is.

    Raises ConfigError, StoreError, StoreUnavailable, EndpointError.
    """
    server_key = public_key_of(config.broker_public_key)
    _log.info("the bot %s has public key %s", bot.name, keys.public, extra={"bot": bot.name})
    instance = f"{os.getpid()}-{os.urandom(4).hex()}"
    with tapped("bot", instance) as tap:
        state = State(partial(SqliteBotState, Path(config.bot_dir) / "state.db"), in_thread=True)
        replaces = take_place(Path(config.bot_dir), instance) if await state.hold() else ""
        async with aclosing(_outside(bot, config)) as outside:
            shell = _shell(bot, config, keys, server_key, program, instance, replaces, state, outside, tap)
            return await _until_stopped(shell, config.drain_s, supervisor)


def _outside(bot: Bot, config: BotConfig) -> HostOutside:
    return HostOutside(
        config.admin_url,
        config.api_token.reveal(),
        admin_context(config),
        Path(config.secrets_dir) if config.secrets_dir else None,
        _admin_secrets(bot.name, config),
    )


def _shell(
    bot: Bot,
    config: BotConfig,
    keys: KeyPair,
    server_key: str,
    program: str,
    instance: str,
    replaces: str,
    state: State,
    outside: HostOutside,
    tap: LogTap,
) -> Shell:
    ids = RandomIds(random.Random(os.urandom(32)).getrandbits)
    clock = SystemClock()
    return Shell(
        bot,
        instance=instance,
        replaces=replaces,
        entry_point=program,
        open_dealer=lambda: open_dealer(config.endpoint, keys, server_key),
        clock=clock,
        ids=ids,
        state=state,
        outside=outside,
        sample=partial(_sample, bot, clock.now().utc_ms),
        tap=tap,
    )


async def _until_stopped(shell: Shell, drain_s: float, supervisor: Supervisor | None) -> StopBot:
    stop = StopBot("a second signal", exits.INTERRUPTED)

    async def run_shell() -> None:
        nonlocal stop
        stop = await shell.run()
        nursery.cancel_scope.cancel()

    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_shell)
            if supervisor is not None:
                nursery.start_soon(supervisor.run)
            nursery.start_soon(_obey, signals, shell, drain_s, nursery.cancel_scope)
            nursery.start_soon(_announce, shell)
            nursery.start_soon(keep_watchdog, shell.prove_turn, trio.sleep)
            nursery.start_soon(
                LoopWatch(shell.bot, lambda: shell.running, partial(_end_at_once, shell.bot.name)).run
            )
    return stop


def _end_at_once(name: str, sentence: str) -> NoReturn:
    """The loop stands still, so that nothing can be told the broker: it finds out by itself."""
    _fail(f"{name}: {sentence}", exits.INTERNAL)
    sys.stderr.flush()
    os._exit(exits.INTERNAL)


async def _announce(shell: Shell) -> None:
    await shell.serving.wait()
    notify(READY="1", STATUS="the broker has taken the bot in")


async def _obey(signals: AsyncIterator[int], shell: Shell, drain_s: float, scope: trio.CancelScope) -> None:
    first = True
    async for number in signals:
        name = signal.Signals(number).name
        if not first:
            _log.warning("%s again: the bot exits at once", name)
            scope.cancel()
            return
        first = False
        notify(STOPPING="1", STATUS="handlers end")
        names = ", ".join(sorted({work.handler for work in shell.running})) or "nothing"
        _log.info("%s: the bot stops; running: %s; the same again exits at once", name, names)
        shell.drain(because("bot_stopped", signal=name), drain_s)


def _admin_secrets(name: str, config: BotConfig) -> AdminSecrets | None:
    secret = config.secret.reveal()
    return (
        AdminSecrets(config.admin_url, name, secret, admin_context(config)) if config.admin_url and secret else None
    )


def _sample(bot: Bot, started_at_ms: int) -> HostSample:
    return HostSample(
        host=socket.gethostname(),
        pid=os.getpid(),
        version=__version__,
        started_at_ms=started_at_ms,
        slots=bot.max_tasks,
        utc_ms=time.time_ns() // 1_000_000,
    )
