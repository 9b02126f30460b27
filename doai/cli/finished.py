"""`doai queues clean` and `retry-failed`: what has ended in a queue (steps 1 and 14)."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from doai.cli import exits, show
from doai.cli.client import Client
from doai.cli.since import since_ms

_OUTCOMES: Final = ("passed", "failed", "cancelled", "expired", "unknown")
LOOK_EVERY_S: Final = 0.5


def add_finished(actions: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add both to `doai queues`; ``add`` makes a command that talks to the API."""
    clean = add(actions, "clean", "Remove what has ended in a queue; asks first.", "finished", "clean")
    clean.add_argument("name")
    clean.add_argument(
        "--older-than", default="30d", metavar="TIME", help="ended so long ago: 12h, 7d, 2026-11-01 (30d)"
    )
    clean.add_argument(
        "--outcome", action="append", default=[], choices=_OUTCOMES, help="only runs that ended so; may be repeated"
    )
    clean.add_argument("--why", default="", help="why, for the audit")
    clean.add_argument("--before-ms", type=int, metavar="MS", help="as the first call answered, with --confirm")
    clean.add_argument("--confirm", default="", metavar="TOKEN", help="what the first call answered")
    clean.add_argument("--yes", action="store_true", help="do not ask, and wait until it is done")
    again = add(
        actions, "retry-failed", "Try what gave up in a queue again, as new tasks.", "finished", "retry_failed"
    )
    again.add_argument("name")


def clean(client: Client, options: argparse.Namespace) -> int:
    """`doai queues clean`: first what would go, then it goes."""
    path = f"/queues/{options.name}/clean"
    before_ms = options.before_ms if options.before_ms is not None else since_ms(options.older_than)
    wish = {"endedBeforeMs": before_ms, "outcomes": options.outcome, "reason": options.why}
    answer = client.post(path, {**wish, "confirm": options.confirm})
    if options.yes and not answer["done"] and answer["runs"]:
        answer = client.post(path, {**wish, "confirm": answer["confirm"]})
        while client.get(f"/queues/{options.name}")["cleaning"]:
            time.sleep(LOOK_EVERY_S)
    url = client.url("/retention")
    what = f"{show.many(answer['tasks'], 'task')} of {show.many(answer['runs'], 'run')}"
    if options.json:
        show.print_json({**answer, "url": url})
    elif answer["done"]:
        print(f"{what} of queue {answer['name']} removed; {url}")
    elif not answer["runs"]:
        print(f"nothing of queue {answer['name']} ended so long ago; {url}")
    else:
        outcomes = "".join(f" --outcome {outcome}" for outcome in options.outcome)
        print(
            f"{what} of queue {answer['name']} would be removed for good. Within {answer['confirmWithinS']:.0f} s: "
            f"doai queues clean {options.name}{outcomes} --before-ms {before_ms} --confirm {answer['confirm']}"
        )
    return exits.PASSED


def retry_failed(client: Client, options: argparse.Namespace) -> int:
    """`doai queues retry-failed`: 5 when some can not be tried again."""
    path, wish = f"/queues/{options.name}/retry-failed", {"after": 0, "upTo": 0}
    retried, run_ids, refused = 0, [], []
    while True:
        answer = client.post(path, wish)
        retried += answer["retried"]
        run_ids += answer["runIds"]
        refused += answer.get("refused", [])
        if not answer.get("left"):
            break
        wish = {"after": answer["after"], "upTo": answer["upTo"]}
    if options.json:
        show.print_json({"name": options.name, "retried": retried, "runIds": run_ids, "refused": refused})
    else:
        print(f"{show.many(retried, 'task')} of queue {options.name} tried again{_listed(run_ids)}")
        for sentence in refused:
            print(sentence, file=sys.stderr)
    return exits.PARTIAL if refused and retried else exits.NOT_PASSED if refused else exits.PASSED


def _listed(run_ids: list[str]) -> str:
    return f": {', '.join(run_ids)}" if run_ids else ""
