"""`doai up`: starts everything on this machine and keeps it until Ctrl-C (all steps)."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from doai.cli import exits
from doai.cli.place import default_data_dir
from doai.errors import DoaiError, leaves_of

if TYPE_CHECKING:
    import trio

    from doai.cli.installation import Installation, Plan


def add_up_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `doai up`."""
    parser.description = "Start broker, admin and a node with this machine's phones, until Ctrl-C."
    parser.add_argument(
        "--data-dir", type=Path, default=default_data_dir(), help="folder for all data (%(default)s)"
    )
    parser.add_argument("--phones", type=int, default=0, metavar="N", help="simulated phones to add (0)")
    parser.add_argument("--slots", type=int, default=20, metavar="N", help="tasks at once (20)")
    parser.add_argument(
        "--scripts",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="folder whose scripts the step host.run may run on this machine (none)",
    )
    parser.add_argument("--port", type=int, default=7700, help="port of the API; 0 = any (7700)")
    parser.add_argument("--broker-port", type=int, default=7701, help="port of the broker; 0 = any (7701)")
    parser.add_argument("--adb-port", type=int, default=5037, help="port of the adb server; 0 = any (5037)")
    parser.add_argument(
        "--usb", action=argparse.BooleanOptionalAction, default=True, help="look for phones on USB (yes)"
    )


def up(options: argparse.Namespace) -> int:
    """Run until Ctrl-C; returns the exit code."""
    from doai.cli.installation import FIRST_USER, Plan

    plan = Plan(
        data_dir=options.data_dir.absolute(),
        api_port=options.port,
        broker_port=options.broker_port,
        adb_port=options.adb_port,
        usb=options.usb,
        phones=options.phones,
        slots=options.slots,
        scripts=[folder.absolute() for folder in options.scripts],
    )

    async def keep(installation: Installation) -> int:
        import trio

        names = await trio.to_thread.run_sync(installation.store_shipped_workflows)
        place = installation.place
        say = partial(print, flush=True)  # whoever sends this to a file reads it now
        say(f"doai is up: {place.url}  (data: {plan.data_dir})")
        if installation.is_new:
            say(f"token, shown once; it is kept for this user in {plan.data_dir}: {place.token.reveal()}")
        if installation.first_password.reveal():
            say(f"dashboard: sign in as {FIRST_USER} with {installation.first_password.reveal()} (shown once)")
        say(f"workflows: {', '.join(names)}")
        say("try: doai devices; doai run playback-check --on all --param video_id=doai-test-1 --wait; Ctrl-C stops")
        await installation.watch()
        return exits.PASSED

    return run_installation(plan, keep, quiet=False)


def run_installation(plan: Plan, work: Callable[[Installation], Awaitable[int]], *, quiet: bool) -> int:
    """Start everything, do the work, stop everything; also on Ctrl-C, SIGTERM, or a program that ends by itself."""
    import trio

    from doai.cli.installation import open_installation

    def tell(line: str) -> None:
        if not quiet:
            print(line, file=sys.stderr, flush=True)

    async def main() -> int:
        code = exits.INTERRUPTED
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_on_signal, signals, nursery.cancel_scope)
                async with open_installation(plan, tell) as installation:
                    code = await work(installation)
                nursery.cancel_scope.cancel()
        return code

    try:
        return trio.run(main)
    except BaseExceptionGroup as group:
        ours, rest = group.split(DoaiError)
        if ours is None or rest is not None:
            raise
        raise leaves_of(ours)[0] from None


async def _cancel_on_signal(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    async for _ in signals:
        scope.cancel()
        return
