"""`bin/phones`: runs a shelf of simulated phones until it is stopped (way of a task: 9)."""

import argparse
import json
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import trio

from doai.phone.shelf import PHONES_MAX, Shelf, ShelfError, open_shelf
from doai.readiness import notify

CONFIG_EXIT = 78
"""sysexits.h EX_CONFIG: the shelf can not be opened as asked."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    options = _parser().parse_args(argv)
    _raise_file_limit()
    try:
        trio.run(_run, options)
    except ShelfError as error:
        print(f"phones: {error}", file=sys.stderr)
        return CONFIG_EXIT
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="phones", description="Runs simulated Android phones that a real adb server can connect to."
    )
    parser.add_argument("--count", type=int, default=20, help=f"how many phones, 1 to {PHONES_MAX} (default: 20)")
    parser.add_argument("--base-port", type=int, default=0, help="first TCP port; 0 lets the system choose")
    parser.add_argument("--control-port", type=int, default=0, help="port to order faults on; 0 = any (default)")
    parser.add_argument("--journal", type=Path, metavar="DIR", help="append a journal of every command there")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same phones")
    parser.add_argument("--serial-from", type=int, default=1, help="number of the first serial (default: 1)")
    parser.add_argument("--reboot-seconds", type=float, default=1.0, help="how long a rebooting phone is away")
    parser.add_argument("--json", action="store_true", help="print one line of JSON when ready")
    return parser


async def _run(options: argparse.Namespace) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with open_shelf(
            count=options.count,
            seed=options.seed,
            base_port=options.base_port,
            control_port=options.control_port,
            journal_dir=options.journal,
            serial_from=options.serial_from,
            reboot_s=options.reboot_seconds,
        ) as shelf:
            print(_ready_json(shelf) if options.json else _ready_text(shelf), flush=True)
            ports = ",".join(str(phone.port) for phone in shelf.phones)
            notify(READY="1", X_DOAI_PHONES=ports, X_DOAI_CONTROL_PORT=str(shelf.control_port))
            async for _ in signals:
                break


def _ready_json(shelf: Shelf) -> str:
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
    return json.dumps({"phones": phones, "control_port": shelf.control_port, "journal": journal})


def _ready_text(shelf: Shelf) -> str:
    ports = ",".join(str(phone.port) for phone in shelf.phones)
    return f"{len(shelf.phones)} phones on 127.0.0.1: {ports} (control port {shelf.control_port})"


def _raise_file_limit() -> None:
    # A phone needs two descriptors (port and connection); the usual soft limit of 1024 ends below 500 phones.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main())
