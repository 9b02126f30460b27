"""`doai dead`: what gave up and waits for a person (step 14)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any, Final

from doai.changes.dead_letters import DeadLetterKind, DeadReason
from doai.cli import exits, show
from doai.cli.client import Client
from doai.errors import ErrorClass, UserError
from doai.states import DeadLetterState

_FILTERS: Final = {
    "kind": [kind.value for kind in DeadLetterKind],
    "reason": [reason.value for reason in DeadReason],
    "error-class": [error_class.value for error_class in ErrorClass],
    "code": None,
    "run": None,
    "workflow": None,
    "queue": None,
    "device": None,
    "node": None,
    "bot": None,
}
_NAMES: Final = {"error-class": "errorClass", "run": "runId"}


def add_dead(commands: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add `doai dead`; ``add`` makes a command that talks to the API."""
    group = commands.add_parser("dead", help="What gave up: list it, try it again, or be done with it.")
    actions = group.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = add(actions, "list", "List dead letters, newest first.", "dead", "dead_list")
    _add_filters(listing)
    states = [state.value for state in DeadLetterState]
    listing.add_argument("--state", choices=states, default="open", help="what was decided about them (open)")
    listing.add_argument("--limit", type=int, default=50, metavar="N", help="how many (50)")
    one = add(actions, "show", "Show a dead letter, with the bytes of a message.", "dead", "dead_show")
    one.add_argument("id", help="id of the letter, or of its task")
    for name, summary in (
        ("retry", "Try tasks again, as new tasks."),
        ("discard", "Be done with dead letters."),
    ):
        action = add(actions, name, summary, "dead", f"dead_{name}")
        action.add_argument("ids", nargs="*", metavar="ID", help="ids of letters, or of their tasks")
        _add_filters(action)
        action.add_argument("--all", action="store_true", help="all that are open")
    action.add_argument("--why", default="", help="why, for its story")
    action.add_argument("--yes", action="store_true", help="do not ask")


def _add_filters(parser: argparse.ArgumentParser) -> None:
    for name, choices in _FILTERS.items():
        metavar = None if choices else "NAME"
        parser.add_argument(f"--{name}", choices=choices, metavar=metavar, help=f"only those of this {name}")


def dead_list(client: Client, options: argparse.Namespace) -> int:
    """`doai dead list`."""
    given = {("run" if name == "run" else _NAMES.get(name, name)): value for name, value in _given(options)}
    found = client.first(options.limit, "/dead-letters", state=options.state, **given)
    if options.json:
        show.print_json([{**item, "url": client.url(f"/dead-letters/{item['letterId']}")} for item in found])
        return exits.PASSED
    rows = (
        (
            item["letterId"],
            show.recently(item["createdAtMs"]),
            item["reason"],
            item["workflow"] or item["type"],
            item["deviceSerial"],
            item["nodeId"],
            item["code"],
            item["attempts"] or "",
            item["retriedAs"],
            item["message"],
        )
        for item in found
    )
    headings = ("dead letter", "since", "reason", "of", "device", "node", "code", "attempts", "retried as", "why")
    show.print_table(headings, rows, empty="No dead letters: nothing waits for a person.")
    print(client.url("/dead-letters", state=options.state, **given))
    return exits.PASSED


def dead_show(client: Client, options: argparse.Namespace) -> int:
    """`doai dead show ID`."""
    path = f"/dead-letters/{options.id}"
    answer = client.get(path)
    if options.json:
        show.print_json({**answer, "url": client.url(path)})
        return exits.PASSED
    show.print_fields({name: value for name, value in answer.items() if value not in ("", None, 0)})
    print(f"its story: doai story {answer['taskId'] or answer['nodeId']}")
    print(client.url(path))
    return exits.PASSED


def dead_retry(client: Client, options: argparse.Namespace) -> int:
    """`doai dead retry`: 5 when some can not be tried again."""
    wish = _wish(options)
    retried, run_ids, refused = 0, [], []
    while True:
        answer = client.post("/dead-letters/retry", wish)
        retried += answer["retried"]
        run_ids += answer["runIds"]
        refused = answer.get("refused", [])
        # What is refused stays and would come again first.
        if not answer.get("left") or not answer["retried"]:
            break
    if options.json:
        show.print_json({"retried": retried, "runIds": run_ids, "refused": refused})
    else:
        print(f"{show.many(retried, 'task')} tried again{': ' + ', '.join(run_ids) if run_ids else ''}")
        for sentence in refused:
            print(sentence, file=sys.stderr)
    return exits.PARTIAL if refused and retried else exits.NOT_PASSED if refused else exits.PASSED


def dead_discard(client: Client, options: argparse.Namespace) -> int:
    """`doai dead discard`: asks before it does it."""
    wish = _wish(options) | {"reason": options.why}
    discarded = 0
    while True:
        first = client.post("/dead-letters/discard", wish)
        if not first.get("left"):
            break
        if not discarded and not options.yes and not _is_sure(first["left"]):
            print("nothing was discarded", file=sys.stderr)
            return exits.NOT_PASSED
        done = client.post("/dead-letters/discard", {**wish, "confirm": first["confirm"]})
        discarded += done["discarded"]
        if not done.get("left"):
            break
    if options.json:
        show.print_json({"discarded": discarded})
    else:
        print(f"{show.many(discarded, 'dead letter')} discarded")
    return exits.PASSED


def _is_sure(count: int) -> bool:
    letters = show.many(count, "dead letter")
    if not sys.stdin.isatty():
        raise UserError(f"{letters} would be discarded: say --yes where nobody can be asked")
    print(f"discard {letters}? Nobody will try them again. [y/N] ", end="", flush=True, file=sys.stderr)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _wish(options: argparse.Namespace) -> dict[str, Any]:
    which: dict[str, Any] = {_NAMES.get(name, name): value for name, value in _given(options)}
    if options.ids:
        which["ids"] = options.ids
    if not which and not options.all:
        raise UserError("no dead letter is named: give ids or a filter such as --workflow, or --all")
    return {"which": which, "everything": options.all}


def _given(options: argparse.Namespace) -> list[tuple[str, str]]:
    values = ((name, getattr(options, name.replace("-", "_"))) for name in _FILTERS)
    return [(name, value) for name, value in values if value is not None]
