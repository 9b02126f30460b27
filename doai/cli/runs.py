"""`doai run`, `runs`, `tasks`, `story`, `cancel`: what is asked for, and what came of it (steps 1 and 14)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from doai.cli import exits, show
from doai.cli.client import ApiError, Client
from doai.cli.results import add_report_files, check_report_files, write_reports
from doai.cli.since import since_ms
from doai.cli.targets import TARGETS_HELP, parse_params, parse_targets
from doai.errors import UserError
from doai.messages.commands import CreateRun
from doai.story.voice import VOICES

EXIT_OF_OUTCOME: Final = {"passed": exits.PASSED, "cancelled": exits.CANCELLED, "expired": exits.EXPIRED}
"""Of a run that was waited for; any other outcome is NOT_PASSED."""


def add_run_flags(parser: argparse.ArgumentParser) -> None:
    """Flags that say what is run: of `doai run` and of campaigns."""
    parser.add_argument("workflow", help="name, name@version, or a YAML file (stored first)")
    parser.add_argument("--on", action="append", required=True, metavar="TARGETS", help=TARGETS_HELP)
    parser.add_argument("--param", action="append", default=[], metavar="NAME=VALUE", help="value of a parameter")
    parser.add_argument("--queue", default="default", help="queue (default: default)")
    parser.add_argument("--priority", type=int, default=0, help="larger goes first within the queue")
    parser.add_argument("--project", default="", metavar="TEXT", help="to whom or what it belongs")
    parser.add_argument("--max-parallel", type=int, metavar="N", help="so many tasks at once, at most")
    parser.add_argument("--canary", type=int, metavar="N", help="N tasks first; the others when these have ended")
    parser.add_argument(
        "--stop-rate", type=float, metavar="SHARE", help="stop when more failed, such as 0.2 (with --canary: 0)"
    )
    parser.add_argument("--stop-after", type=int, metavar="N", help="stop when N tasks failed")
    parser.add_argument("--expires-in", type=float, metavar="S", help="tasks not begun after S seconds expire")
    tries = parser.add_mutually_exclusive_group()
    tries.add_argument("--attempts", type=int, metavar="N", help="tries in all; 1 = no retry")
    tries.add_argument(
        "--no-retry", dest="attempts", action="store_const", const=1, help="one try only, as --attempts 1"
    )
    parser.add_argument(
        "--step-timeout", action="append", default=[], metavar="STEP=S", help="time of a step, within its bounds"
    )


def add_run(parser: argparse.ArgumentParser) -> None:
    """Flags of `doai run`."""
    add_run_flags(parser)
    parser.add_argument("--idempotency-key", metavar="KEY", help="the same key never makes a second run")
    parser.add_argument(
        "--wait",
        action="store_true",
        help="wait for the end; exit code 0 if every task passed, 1 if one did not, 3 if cancelled, 4 if expired",
    )
    add_report_files(parser)


def run_command(client: Client, options: argparse.Namespace) -> CreateRun:
    """Store the workflow if a file is named; returns what is to be run."""
    name = options.workflow
    if name.endswith((".yaml", ".yml", ".json")):
        stored = store_workflow(client, Path(name))
        name = f"{stored['name']}@{stored['version']}"
    recipe = get_workflow(client, name)["recipe"]
    return CreateRun(
        workflow=name,
        targets=parse_targets(options.on),
        params=parse_params(options.param, recipe.get("params", {})),
        queue=options.queue,
        priority=options.priority,
        expires_in_s=options.expires_in,
        attempts=options.attempts,
        max_parallel=options.max_parallel,
        canary=options.canary,
        stop_rate=options.stop_rate,
        stop_after=options.stop_after,
        project=options.project,
        step_timeouts_s=dict(_step_timeout(word) for word in options.step_timeout),
    )


def create_run(client: Client, options: argparse.Namespace) -> dict[str, Any]:
    """Store the workflow if a file is named, then ask for the run; returns the API's answer."""
    command = run_command(client, options)
    key = options.idempotency_key
    if key == "":
        raise UserError("--idempotency-key is empty: give one that is this run's own, or leave it out")
    headers = {"Idempotency-Key": key} if key is not None else {}
    created: dict[str, Any] = client.post("/runs", msgspec.to_builtins(command), headers=headers)
    return created


def get_workflow(client: Client, name: str) -> dict[str, Any]:
    """Return a workflow by ``name`` (the active version) or ``name@version``."""
    bare, at, version = name.partition("@")
    if not bare or "/" in bare or (at and not version.isdecimal()):
        raise UserError(
            f"{name!r} names no workflow: write NAME, NAME@VERSION such as {bare or 'hello'}@2, or a file"
        )
    found: dict[str, Any] = client.get(f"/workflows/{bare}", version=version or None)
    return found


def _step_timeout(word: str) -> tuple[str, float]:
    step, _, seconds = word.rpartition("=")
    try:
        return step, float(seconds.removesuffix("s"))
    except ValueError:
        raise UserError(f"--step-timeout {word!r} must be STEP=SECONDS, such as play=120") from None


def store_workflow(client: Client, path: Path) -> dict[str, Any]:
    """Store a workflow file as its next version; its mistakes name file, line and column."""
    try:
        source = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the workflow {path}: {error.strerror}") from None
    try:
        stored: dict[str, Any] = client.request(
            "POST", "/workflows", content=source, headers={"Content-Type": "application/yaml"}
        ).json()
    except ApiError as error:
        if not error.details:
            raise
        mistakes = [f"{path}: {detail}" for detail in error.details]
        sentence = f"{path} is not stored, for what is wrong in it:"
        raise ApiError(sentence, exit_code=error.exit_code, details=mistakes, status=error.status) from error
    return stored


def run(client: Client, options: argparse.Namespace) -> int:
    """`doai run`."""
    from doai.cli.progress import RunDisplay, print_result
    from doai.cli.waiting import wait_for_run

    check_report_files(options, waits=options.wait)
    created = create_run(client, options)
    run_id = created["runId"]
    url = client.url(f"/runs/{run_id}")
    if options.json and not options.wait:
        show.print_json({**created, "url": url})
        return exits.PASSED
    try:
        if not options.json:
            # A large run's answer has no list of its tasks.
            count = len(created["taskIds"]) or client.get(f"/runs/{run_id}")["tasks"]
            sentence = f"run {run_id} of {created['workflow']}: {show.many(count, 'task')}; {url}"
            print(sentence, file=sys.stderr if options.wait else sys.stdout, flush=True)
        if not options.wait:
            return exits.PASSED
        with RunDisplay(quiet=options.json) as display:
            result = wait_for_run(client, run_id, display.show)
    except KeyboardInterrupt:
        print(
            f"doai: no longer waiting, and run {run_id} goes on: `doai runs {run_id}` shows it, "
            f"`doai cancel {run_id}` ends it",
            file=sys.stderr,
        )
        return exits.INTERRUPTED
    try:
        if options.json:
            show.print_json({"run": result.run, "tasks": result.tasks, "artifacts": result.artifacts, "url": url})
        else:
            print_result(result)
            print(f"run {run_id} {result.run['outcome']} in {show.duration(result.seconds)}: {url}")
    except BrokenPipeError:
        show.print_nowhere()  # exit code and files are wanted all the same
    write_reports(client, run_id, options, quiet=options.json)
    return exits.NOT_PASSED if result.missing else EXIT_OF_OUTCOME.get(result.run["outcome"], exits.NOT_PASSED)


def show_one(client: Client, options: argparse.Namespace, path: str, **query: str) -> int:
    """Print one thing whole, and where it is."""
    found = client.get(path, **query)
    if options.json:
        show.print_json({**found, "url": client.url(path)})
    else:
        show.print_fields(found)
        print(client.url(path))
    return exits.PASSED


def runs(client: Client, options: argparse.Namespace) -> int:
    """`doai runs`: the newest first, or one with its tasks' states."""
    if options.id:
        return show_one(client, options, f"/runs/{options.id}")
    query = {name: getattr(options, name) for name in ("state", "workflow", "campaign", "project")}
    found = client.first(options.limit, "/runs", **query)
    if options.json:
        show.print_json([{**item, "url": client.url(f"/runs/{item['runId']}")} for item in found])
        return exits.PASSED
    rows = (
        (
            item["runId"],
            f"{item['workflow']}@{item['version']}",
            item.get("outcome") or item["state"],
            show.counts(item.get("counts", {})),
            show.recently(item["createdAtMs"]),
            show.duration(show.between(item["createdAtMs"], item.get("endedAtMs"))),
            show.left(item.get("leftS")),
            item["campaign"] or None,
            item["project"] or None,
        )
        for item in found
    )
    headings = ("run", "workflow", "outcome", "tasks", "made", "took", "left", "campaign", "project")
    show.print_table(headings, rows, empty="No such runs." if any(query.values()) else "No runs yet: doai run ...")
    print(client.url("/runs", **query))
    return exits.PASSED


def tasks(client: Client, options: argparse.Namespace) -> int:
    """`doai tasks`: a list with filters, or one task whole."""
    if options.id:
        return show_one(client, options, f"/tasks/{options.id}", lang=options.lang)
    names = ("state", "device", "node", "queue", "code")
    wanted = {"run_id": options.run, **{name: getattr(options, name) for name in names}}
    for name in ("since", "until"):
        text = getattr(options, name)
        wanted[f"{name}_ms"] = since_ms(text) if text else None
    found = client.first(options.limit, "/tasks", **wanted)
    if not found:
        client.check_known(runs=options.run, devices=options.device, nodes=options.node, queues=options.queue)
    if options.json:
        show.print_json([{**item, "url": client.url(f"/tasks/{item['taskId']}")} for item in found])
        return exits.PASSED
    rows = (
        (
            item["taskId"],
            item.get("deviceSerial"),
            item["state"],
            item.get("nodeId"),
            item.get("attempt"),
            show.duration(show.between(item.get("startedAtMs"), item.get("endedAtMs"))),
            (item.get("failure") or {}).get("message") or item.get("reason"),
        )
        for item in found
    )
    headings = ("task", "device", "state", "node", "attempt", "took", "why")
    show.print_table(headings, rows, empty="No such tasks.")
    print(client.url("/tasks", **wanted))
    return exits.PASSED


def story(client: Client, options: argparse.Namespace) -> int:
    """`doai story ID`: what happened to a task, run, device or node, in order."""
    events: list[dict[str, Any]] = []
    page: dict[str, Any] = {"next": ""}
    while page["next"] is not None:
        page = client.get(f"/story/{options.id}", limit=500, cursor=page["next"] or None, lang=options.lang)
        events += page["items"]
    if options.json:
        show.print_json(events)
        return exits.PASSED
    out = show.console()
    for event in events:
        out.print(f"{show.moment(event['occurredAt'])}  {event['text']}", markup=False)
    if page.get("now"):
        out.print(f"{VOICES[options.lang]('say.now')}: {page['now']}", markup=False)
    kinds = [kind for kind, _, name in (event["subject"].partition("/") for event in events) if name == options.id]
    print(client.url(f"/{kinds[0]}s/{options.id}" if kinds else f"/story/{options.id}"))
    return exits.PASSED


def cancel(client: Client, options: argparse.Namespace) -> int:
    """`doai cancel ID`: a run, or one task."""
    path = f"/runs/{options.id}"
    try:
        answer = client.post(f"{path}/cancel", {"reason": options.reason})
    except ApiError as error:
        if error.status != 404:
            raise
        path = f"/tasks/{options.id}"
        try:
            answer = client.post(f"{path}/cancel", {"reason": options.reason})
        except ApiError as second:
            if second.status != 404:
                raise
            raise ApiError(
                f"there is no run or task {options.id!r}: `doai runs` and `doai tasks` list them",
                exit_code=exits.NOT_PASSED,
                status=404,
            ) from None
    if options.json:
        show.print_json({**answer, "url": client.url(path)})
    else:
        print(
            f"{show.many(answer['cancelled'], 'task')} cancelled, {answer['cancelling']} still running until the "
            f"device is tidied up, {answer['endedBefore']} ended before: {client.url(path)}"
        )
    return exits.PASSED
