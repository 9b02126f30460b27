"""`doai logcat`: the log of a phone as it is written (step 14)."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any, Final

from doai.cli import exits, show
from doai.cli.client import Client
from doai.errors import UserError

LINES_MAX: Final = 300
"""That a node brings of what was logged before somebody looked."""
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What a phone's apps write must not steer a terminal."""


def add_logcat(commands: Any, add: Callable[..., argparse.ArgumentParser], count: Callable[[str], int]) -> None:
    """Add the command to the parser."""
    logcat = add(commands, "logcat", "Read the log of a device, the newest lines last.", "logcat", "logcat")
    logcat.description = (
        "Read what a device logs (logcat), by its own clock. It may hold personal data: the admin's log says who "
        "reads. Nothing is stored; what a phone writes too fast is counted, not shown."
    )
    logcat.add_argument("serial", help="serial of the device")
    logcat.add_argument("-f", "--follow", action="store_true", help="go on with what comes, until Ctrl-C")
    logcat.add_argument(
        "-n",
        "--lines",
        type=count,
        default=50,
        metavar="N",
        help=f"how many of the newest (50, at most {LINES_MAX})",
    )
    logcat.add_argument("--grep", metavar="PATTERN", help="only lines in which this regular expression is found")


def logcat(client: Client, options: argparse.Namespace) -> int:
    """`doai logcat SERIAL`; exit code 1 when the log could not be read."""
    wanted = _pattern(options.grep)
    path = f"/devices/{options.serial}/logcat"
    page = client.get(path, limit=LINES_MAX)
    found = [line for line in page["items"] if _fits(line, wanted)][-options.lines :]
    has_problem = any(line["kind"] == "problem" for line in page["items"])
    if options.json and not options.follow:
        show.print_json(found)
        return exits.NOT_PASSED if has_problem else exits.PASSED
    _print(found, options)
    if not options.follow:
        if not found:
            print("Nothing was logged that fits." if page["items"] else "The phone logged nothing.")
        print(client.url(f"/devices/{options.serial}"))
        return exits.NOT_PASSED if has_problem else exits.PASSED
    while True:
        begun = page["begun"]
        page = client.get(path, after=page["after"], limit=1000)
        if page["begun"] != begun:
            print("doai: the log is followed anew, lines may be repeated", file=sys.stderr)
        _print((line for line in page["items"] if _fits(line, wanted)), options)


def _pattern(text: str | None) -> re.Pattern[str]:
    try:
        return re.compile(text or "")
    except re.error as error:
        raise UserError(f"{text!r} is no regular expression: {error}", code="bad_request") from None


def _fits(line: dict[str, Any], wanted: re.Pattern[str]) -> bool:
    """Return whether a line is shown: all that are no lines of the phone are."""
    return line["kind"] != "line" or wanted.search(line["text"]) is not None


def _print(lines: Iterable[dict[str, Any]], options: argparse.Namespace) -> None:
    for line in lines:
        if options.json:
            print(json.dumps(line, ensure_ascii=False), flush=True)
        elif line["kind"] == "line":
            print(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", line["text"]), flush=options.follow)
        elif line["kind"] == "missing":
            print(f"--- {line['missing']} lines are missing here: they came too fast ---", flush=options.follow)
        else:
            print(f"doai: {line['text']}", file=sys.stderr, flush=True)
