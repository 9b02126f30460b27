"""`doai hold`, `release`: a phone for a person, and back (step 1)."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from doai.cli import exits, show
from doai.cli.client import Client
from doai.workflow.duration import parse_duration


def add_holds(commands: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add both commands; ``add`` makes a command that talks to the API."""
    out = add(
        commands, "hold", "Reserve a device for yourself: its task ends, it is given no other.", "holds", "hold"
    )
    out.add_argument("serial")
    out.add_argument(
        "--for", dest="term", default="1h", metavar="TIME", help="how long from now, 168h at most (1h)"
    )
    out.add_argument("--why", default="", help="why, for all who wait for it")
    back = add(commands, "release", "Give a device back before its hold ends.", "holds", "release")
    back.add_argument("serial")
    back.add_argument("--why", default="", help="why, for its story")
    back.add_argument("--force", action="store_true", help="also when somebody else holds it")


def hold(client: Client, options: argparse.Namespace) -> int:
    """`doai hold SERIAL`."""
    wish = {"forS": parse_duration(options.term), "reason": options.why}
    answer = client.post(f"/devices/{options.serial}/hold", wish)
    left = answer.get("tasksLeft", 0)
    if left:
        when = "its current task has ended" if left == 1 else f"the {left} tasks that its node has have ended"
        sentence = f"{options.serial} is yours when {when}, until {show.when(answer['untilMs'])}"
    else:
        sentence = f"{options.serial} is yours until {show.when(answer['untilMs'])}"
    return _tell(client, options, answer, sentence)


def release(client: Client, options: argparse.Namespace) -> int:
    """`doai release SERIAL`."""
    wish = {"reason": options.why, "force": options.force}
    answer = client.post(f"/devices/{options.serial}/unhold", wish)
    return _tell(client, options, answer, f"{options.serial} is given tasks again")


def _tell(client: Client, options: argparse.Namespace, answer: dict[str, Any], sentence: str) -> int:
    url = client.url(f"/devices/{options.serial}")
    if options.json:
        show.print_json({**answer, "url": url})
    else:
        print(f"{sentence}: {url}")
    return exits.PASSED
