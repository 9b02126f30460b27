"""`bin/phones`: runs a shelf of simulated phones until it is stopped (way of a task: 9)."""

import argparse
import json
import resource
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import trio

from doai.command_line import CommandLine
from doai.phone.shelf import PHONES_MAX, Shelf, ShelfError, open_shelf
from doai.readiness import notify

CONFIG_EXIT = 78
"""sysexits.h EX_CONFIG: the shelf can not be opened as asked."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    options = _parser().parse_args(argv)
    _raise_file_limit()
    code = 0
    try:
        trio.run(_run, options)
    except* ShelfError as group:
        for error in group.exceptions:
            print(f"phones: {error}", file=sys.stderr)
        code = CONFIG_EXIT
    return code


def _parser() -> argparse.ArgumentParser:
    parser = CommandLine(
        prog="phones", description="Runs simulated Android phones that a real adb server can connect to."
    )
    parser.add_argument("--count", type=int, default=20, help=f"how many phones, 1 to {PHONES_MAX} (default: 20)")
    parser.add_argument("--base-port", type=int, default=0, help="first TCP port; 0 lets the system choose")
    parser.add_argument("--control-port", type=int, default=0, help="port to order faults on; 0 = any (default)")
    parser.add_argument("--journal", type=Path, metavar="DIR", help="append a journal of every command there")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same phones")
    parser.add_argument("--serial-from", type=int, default=1, help="number of the first serial (default: 1)")
    parser.add_argument("--reboot-seconds", type=float, default=1.0, help="how long a rebooting phone is away")
    parser.add_argument(
        "--vendor",
        type=int,
        metavar="PORT",
        help="let a stand-in for the vendor's program hold them too, at ws://127.0.0.1:PORT; 0 = any",
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON when ready")
    return parser


async def _run(options: argparse.Namespace) -> None:
    async with AsyncExitStack() as stack:
        signals = stack.enter_context(trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM))
        shelf = await stack.enter_async_context(
            open_shelf(
                count=options.count,
                seed=options.seed,
                base_port=options.base_port,
                control_port=options.control_port,
                journal_dir=options.journal,
                serial_from=options.serial_from,
                reboot_s=options.reboot_seconds,
            )
        )
        url = None if options.vendor is None else await _open_vendor(stack, shelf, options.vendor)
        print(_ready_json(shelf, url) if options.json else _ready_text(shelf, url), flush=True)
        ports = ",".join(str(phone.port) for phone in shelf.phones)
        notify(
            READY="1",
            X_DOAI_PHONES=ports,
            X_DOAI_CONTROL_PORT=str(shelf.control_port),
            X_DOAI_VENDOR_URL=url or "",
        )
        async for _ in signals:
            break


async def _open_vendor(stack: AsyncExitStack, shelf: Shelf, port: int) -> str:
    try:
        from doai.phone.vendor import open_vendor
    except ModuleNotFoundError as error:
        raise ShelfError(f"--vendor needs {error.name}, which is not installed: install doai[xiaowei]") from None
    try:
        return (await stack.enter_async_context(open_vendor(shelf.phones, port=port))).url
    except (OSError, OverflowError) as error:
        raise ShelfError(f"cannot listen on 127.0.0.1 port {port}: {error}: choose another") from None


def _ready_json(shelf: Shelf, vendor_url: str | None) -> str:
    phones = [
        {
            "serial": phone.serial,
            "port": phone.port,
            "model": phone.device.profile.model,
            "sdk": phone.device.profile.sdk,
        }
        for phone in shelf.phones
    ]
    journal = str(shelf.journal_path) if shelf.journal_path else None
    return json.dumps(
        {"phones": phones, "control_port": shelf.control_port, "journal": journal, "vendor_url": vendor_url}
    )


def _ready_text(shelf: Shelf, vendor_url: str | None) -> str:
    ports = ",".join(str(phone.port) for phone in shelf.phones)
    vendor = f", the vendor's program at {vendor_url}" if vendor_url else ""
    return f"{len(shelf.phones)} phones on 127.0.0.1: {ports} (control port {shelf.control_port}){vendor}"


def _raise_file_limit() -> None:
    # A phone needs two descriptors (port and connection); the usual soft limit of 1024 ends below 500 phones.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main())
