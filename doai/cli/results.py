"""`doai report`, and the files that `doai run --wait` writes: JUnit XML, CSV, one HTML page (step 14)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from doai.cli import exits, show
from doai.cli.client import ApiError, Client
from doai.cli.whole_file import write_whole
from doai.errors import UserError

if TYPE_CHECKING:
    from doai.report.results import Results

STORY_LINES_MAX: Final = 400
"""Of the story in a page: its begin and its end; the whole is one request away."""
PICTURES_MIB: Final = 8
"""Of pictures in one page, unless asked otherwise: a mail takes it, a browser opens it at once."""


def add_report_files(parser: argparse.ArgumentParser) -> None:
    """Add the flags that name the files."""
    files = parser.add_argument_group("files with what came of it")
    files.add_argument("--junit", metavar="FILE", help="JUnit XML, for Jenkins, GitLab and the like")
    files.add_argument("--csv", metavar="FILE", help="CSV, for spreadsheets")
    files.add_argument("--report", metavar="FILE", help="one HTML page with the screenshots in it")
    files.add_argument(
        "--rows", choices=("tasks", "steps"), default="tasks", help="a case or row a task (default), or a step"
    )
    files.add_argument("--lang", choices=("en", "ko"), default="en", help="language of the HTML page (en)")
    files.add_argument(
        "--pictures-mib", type=int, default=PICTURES_MIB, metavar="N", help="of pictures in the page at most (8)"
    )


def check_report_files(options: argparse.Namespace, *, waits: bool = True) -> None:
    """Refuse what can not be written before anything is begun; raises UserError."""
    named = {flag: getattr(options, flag) for flag in ("junit", "csv", "report")}
    wanted = {flag: Path(name) for flag, name in named.items() if name}
    if wanted and not waits:
        raise UserError(f"--{next(iter(wanted))} needs --wait: what comes of a run is known at its end")
    for flag, path in wanted.items():
        if path.is_dir():
            raise UserError(f"--{flag} {path} is a folder: name a file")
        if not path.parent.is_dir():
            raise UserError(f"--{flag} {path}: there is no folder {path.parent}, make it first")
    if len(set(wanted.values())) < len(wanted):
        raise UserError("the files of a report are one and the same: name them apart")
    if options.pictures_mib < 0:
        raise UserError(f"--pictures-mib {options.pictures_mib} is below 0: 0 leaves all pictures out")


def report(client: Client, options: argparse.Namespace) -> int:
    """`doai report RUN --junit FILE --csv FILE --report FILE`."""
    check_report_files(options)
    if not (options.junit or options.csv or options.report):
        raise UserError("nothing is asked for: name a file with --junit, --csv or --report")
    written = write_reports(client, options.id, options, quiet=options.json)
    if options.json:
        show.print_json({"files": written, "url": client.url(f"/runs/{options.id}")})
    return exits.PASSED


def write_reports(client: Client, run_id: str, options: argparse.Namespace, *, quiet: bool) -> dict[str, str]:
    """Write the files that are asked for; return them by kind. Raises ApiError when one can not be written."""
    makers: Mapping[str, Callable[[Results], bytes]] = {
        "junit": lambda results: _junit(results, options),
        "csv": lambda results: _csv(results, options),
        "report": lambda results: _page(client, results, options),
    }
    wanted = [kind for kind in makers if getattr(options, kind)]
    if not wanted:
        return {}
    results = fetch_results(client, run_id, whole=bool(options.report), language=options.lang)
    written = {}
    for kind in wanted:
        path = Path(getattr(options, kind))
        write_whole(path, makers[kind](results))
        written[kind] = str(path)
        if not quiet:
            print(f"{kind}: {path}", file=sys.stderr)
    if results.run.outcome is None:
        print(f"doai: run {run_id} has not ended yet: the files say how it stands now", file=sys.stderr)
    return written


def _junit(results: Results, options: argparse.Namespace) -> bytes:
    from doai.report.junit import junit

    return junit(results, by_step=options.rows == "steps")


def _csv(results: Results, options: argparse.Namespace) -> bytes:
    from doai.report.table import table

    return table(results, by_step=options.rows == "steps")


def _page(client: Client, results: Results, options: argparse.Namespace) -> bytes:
    from doai.report.page import page

    def fetch(path: str) -> bytes | None:
        try:
            return bytes(client.request("GET", f"/artifacts/{path}").content)
        except ApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return None

    zone = datetime.now().astimezone().tzinfo
    most = options.pictures_mib * 1024 * 1024
    return page(results, fetch, language=options.lang, zone=zone, picture_bytes_max=most)


def fetch_results(client: Client, run_id: str, *, whole: bool, language: str = "en") -> Results:
    """Ask the API for a run with its tasks, steps and files; ``whole``: also its workflow and its story.

    ``language`` is that of the story.
    """
    from doai.report import results as r

    run = msgspec.convert(client.get(f"/runs/{run_id}"), r.Run)
    tasks = [msgspec.convert(item, r.Task) for item in client.items("/tasks", run_id=run_id, limit=500)]
    found: dict[str, Any] = {
        "url": client.url(f"/runs/{run_id}"),
        "run": run,
        "tasks": tuple(sorted(tasks, key=lambda task: (task.target, task.task_id))),
        "steps": tuple(msgspec.convert(item, r.StepTry) for item in client.items(f"/runs/{run_id}/steps")),
        "artifacts": tuple(
            msgspec.convert(item, r.Artifact) for item in client.items("/artifacts", run_id=run_id, limit=500)
        ),
    }
    if whole:
        recipe = client.get(f"/workflows/{run.workflow}", version=run.version)["recipe"]
        lines = [
            r.StoryLine(at=event["occurredAt"], text=event["text"])
            for event in client.items(f"/story/{run_id}", limit=500, lang=language)
        ]
        left_out = max(0, len(lines) - STORY_LINES_MAX)
        half = STORY_LINES_MAX // 2
        found |= {
            "title": r.translations(recipe.get("title")),
            "plan": r.plan_of(recipe),
            "story": tuple(lines if not left_out else lines[:half] + lines[-half:]),
            "story_left_out": left_out,
        }
    return r.Results(**found)
