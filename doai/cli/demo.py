"""`bin/demo`: the real daemons, simulated phones behind a real adb server, and one run on all (all steps)."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import msgspec

from doai.cli import exits, show
from doai.command_line import CommandLine
from doai.errors import ConfigError, DoaiError, UserError

if TYPE_CHECKING:
    from doai.cli.client import Client
    from doai.cli.demo_bots import BotDid, Errand
    from doai.cli.installation import Installation
    from doai.cli.waiting import Result

PHONES_MAX: Final = 500
DEVICES_TIMEOUT_S: Final = 120.0
"""For all phones to be connected; adb takes up to some 50 ms each."""
DEFAULT_WORKFLOW: Final = "playback-check"
DEFAULT_PARAMS: Final = {"video_id": "doai-test-1", "seconds": "5"}


def _parser() -> argparse.ArgumentParser:
    parser = CommandLine(
        prog="demo",
        description="Run a workflow on simulated phones, with the real daemons, and show what came of it.",
    )
    parser.add_argument("--phones", type=int, default=20, metavar="N", help=f"1 to {PHONES_MAX} (20)")
    parser.add_argument(
        "--workflow", metavar="FILE", help=f"workflow file (default: the shipped {DEFAULT_WORKFLOW})"
    )
    parser.add_argument("--param", action="append", default=[], metavar="NAME=VALUE", help="value of a parameter")
    parser.add_argument(
        "--bots", action="store_true", help="also run the bots that come with doai, and give each something to do"
    )
    parser.add_argument("--once", action="store_true", help="end after the run")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object on stdout and nothing else there"
    )
    parser.add_argument("--data-dir", type=Path, help="folder for all data (default: a new one below the system's)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; exit code 0 only if every task passed."""
    options = _parser().parse_args(argv)
    try:
        if not 1 <= options.phones <= PHONES_MAX:
            raise UserError(f"--phones {options.phones} must be between 1 and {PHONES_MAX}")
        if options.workflow and not Path(options.workflow).is_file():
            raise UserError(f"--workflow {options.workflow}: there is no such file")
        return _demo(options)
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except DoaiError as error:
        show.print_error("demo", error)
        if isinstance(error, ConfigError):
            return exits.CONFIG
        return exits.USAGE if isinstance(error, UserError) else int(getattr(error, "exit_code", exits.NOT_PASSED))


def _demo(options: argparse.Namespace) -> int:
    from doai.cli.installation import Plan
    from doai.cli.up import run_installation

    begun = time.monotonic()
    data_dir = options.data_dir or Path(tempfile.mkdtemp(prefix="doai-demo-"))
    plan = Plan(
        data_dir=data_dir.absolute(), api_port=0, broker_port=0, adb_port=0, usb=False, phones=options.phones
    )

    async def work(installation: Installation) -> int:
        import trio

        code = exits.INTERRUPTED
        if options.bots:
            from doai.cli.demo_bots import start_bots

            await start_bots(installation)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(installation.watch)
            # The thread only talks HTTP and is left behind when Ctrl-C ends the programs it talks to.
            code = await trio.to_thread.run_sync(_run_on_all, installation, options, begun, abandon_on_cancel=True)
            if options.once:
                nursery.cancel_scope.cancel()
            else:
                _say_where(installation, sys.stderr if options.json else sys.stdout)
        return code

    return run_installation(plan, work, quiet=options.json)


def _run_on_all(installation: Installation, options: argparse.Namespace, begun: float) -> int:
    from doai.cli.client import Client
    from doai.cli.progress import RunDisplay, print_result
    from doai.cli.runs import add_run, create_run
    from doai.cli.waiting import wait_for_run

    installation.store_shipped_workflows()
    words = [options.workflow or DEFAULT_WORKFLOW, "--on", "all"]
    given = dict(word.partition("=")[::2] for word in options.param)
    params = given if options.workflow else DEFAULT_PARAMS | given
    for name, value in params.items():
        words += ["--param", f"{name}={value}"]
    parser = CommandLine()
    add_run(parser)
    with Client(installation.place) as client:
        wait_for_devices(client, options.phones)
        created = create_run(client, parser.parse_args(words))
        errands = _begin_errands(client) if options.bots else {}
        with RunDisplay(quiet=options.json) as display:
            result = wait_for_run(client, created["runId"], display.show)
        bots = _end_errands(client, errands) if options.bots else None
    if options.json:
        show.print_json(_summary(result, installation, time.monotonic() - begun, bots))
    else:
        print_result(result)
        print(f"run {created['runId']} {result.run['outcome']} in {show.duration(result.seconds)}", flush=True)
        for bot in bots or []:
            print(f"{bot.name} ({bot.state}): {bot.did}")
        print(f"screenshots are below {installation.artifacts_dir}", flush=True)
    passed = result.run["outcome"] == "passed" and not result.missing and all(bot.passed for bot in bots or [])
    return exits.PASSED if passed else exits.NOT_PASSED


def _begin_errands(client: Client) -> dict[str, Errand]:
    from doai.cli.demo_bots import begin  # a demo without bots needs nothing of it

    return begin(client)


def _end_errands(client: Client, errands: dict[str, Errand]) -> list[BotDid]:
    from doai.cli.demo_bots import end

    return end(client, errands)


def wait_for_devices(client: Any, count: int) -> None:
    """Return when so many phones are online; raises DoaiError when they are not in time."""
    deadline = time.monotonic() + DEVICES_TIMEOUT_S
    while True:
        online = sum(device["state"] == "online" for device in client.items("/devices", limit=500))
        if online >= count:
            return
        if time.monotonic() > deadline:
            raise DoaiError(f"only {online} of {count} phones are connected after {DEVICES_TIMEOUT_S:.0f} s")
        time.sleep(0.2)


def _summary(
    result: Result, installation: Installation, seconds: float, bots: list[BotDid] | None
) -> dict[str, Any]:
    run = result.run
    artifacts_dir = installation.artifacts_dir.relative_to(installation.plan.data_dir)
    return {
        "run": {
            "id": run["runId"],
            "workflow": f"{run['workflow']}@{run['version']}",
            "outcome": run["outcome"],
        },
        "tasks": [
            {
                "device": task["deviceSerial"],
                "node": task["nodeId"],
                "outcome": task["state"],
                "duration_s": show.between(task.get("startedAtMs"), task.get("endedAtMs")),
                "artifacts": [
                    str(artifacts_dir / found["path"]) for found in result.artifacts.get(task["taskId"], [])
                ],
            }
            for task in sorted(result.tasks, key=lambda task: str(task["deviceSerial"]))
        ],
        **({} if bots is None else {"bots": [msgspec.to_builtins(bot) for bot in bots]}),
        "seconds": round(seconds, 3),
        "data_dir": str(installation.plan.data_dir),
    }


def _say_where(installation: Installation, file: TextIO) -> None:
    data_dir = installation.plan.data_dir
    print(f"the API is at {installation.place.url} (description: {installation.place.url}/schema)", file=file)
    print(f"try: DOAI_DATA_DIR={data_dir} bin/doai devices    Ctrl-C ends the demo", file=file, flush=True)


if __name__ == "__main__":
    sys.exit(main())
