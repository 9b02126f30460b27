"""`doai`: the command line over the admin API; a command is a function of the module of its noun (step 1)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from doai import __version__
from doai.cli import exits, show
from doai.cli.access_flags import add_nodes, add_secrets
from doai.cli.app_flags import add_apps
from doai.cli.audit import add_audit
from doai.cli.bot_flags import add_bots
from doai.cli.campaign_flags import add_campaigns
from doai.cli.compare import add_compare
from doai.cli.device_flags import add_devices, with_default_action
from doai.cli.incident_flags import add_incidents
from doai.cli.logcat import add_logcat
from doai.cli.logs import add_logs
from doai.cli.notify_flags import add_notify
from doai.cli.overview import add_overview
from doai.cli.people_flags import add_tokens, add_users
from doai.cli.place import add_place_flags, find_place
from doai.cli.play_flags import add_plays
from doai.cli.plugin_flags import add_plugins
from doai.cli.queues import add_queues
from doai.cli.recipe_flags import add_workflows
from doai.cli.retention import add_retention
from doai.cli.settings import add_settings
from doai.command_line import CommandLine
from doai.errors import ConfigError, DoaiError, UserError
from doai.states import TaskState

if TYPE_CHECKING:
    from doai.cli.client import Client

Command = Callable[["Client", argparse.Namespace], int]


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = CommandLine(
        prog="doai",
        description="Run versioned workflows on fleets of Android devices.",
        epilog=(
            "Exit codes: 0 passed, 1 not passed or refused, 2 usage, 3 cancelled, 4 expired, 5 in part, "
            "69 unavailable, 74 a file can not be written, 77 no permission, "
            "78 configuration, 130 interrupted."
        ),
    )
    parser.add_argument("--version", action="version", version=f"doai {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_up(commands)
    add_overview(commands, _add)
    _add_runs(commands)
    add_queues(commands, _add)
    _add_fleet(commands)
    add_incidents(commands, _add)
    add_workflows(commands, _add)
    add_campaigns(commands, _add, _count)
    _add_artifacts(commands)
    _add_files(commands)
    add_apps(commands, _add, _count)
    _add_baselines(commands)
    _add_keys(commands)
    add_users(commands, _add)
    add_tokens(commands, _add)
    add_bots(commands, _add)
    add_notify(commands, _add)
    add_plays(commands, _add, _count)
    add_plugins(commands, _add)
    add_secrets(commands, _add)
    _add_backup(commands)
    _add_doctor(commands)
    add_audit(commands, _add, _count)
    add_logs(commands, _add, _count)
    add_logcat(commands, _add, _count)
    add_compare(commands, _add)
    add_retention(commands, _add)
    add_settings(commands, _add)
    completion = commands.add_parser(
        "completion", help="Print the completion script of a shell: see its first line."
    )
    completion.add_argument("shell", choices=("bash", "zsh", "fish"))
    return parser


def _add(commands: Any, name: str, summary: str, module: str, function: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=summary)
    add_place_flags(parser)
    parser.set_defaults(handler=(module, function))
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _add_up(commands: Any) -> None:
    from doai.cli.up import add_up_flags

    add_up_flags(commands.add_parser("up", help="Start everything on this machine, until Ctrl-C."))


def _add_runs(commands: Any) -> None:
    from doai.cli.results import add_report_files
    from doai.cli.runs import add_run

    add_run(_add(commands, "run", "Run a workflow on devices.", "runs", "run"))
    runs = _add(commands, "runs", "List runs, newest first, or show one.", "runs", "runs")
    runs.add_argument("id", nargs="?", help="run id")
    runs.add_argument("--state", choices=("open", "active", "cancelling", "completed"))
    runs.add_argument("--workflow", metavar="NAME", help="only those of this workflow")
    runs.add_argument("--campaign", metavar="NAME", help="only those that this campaign made")
    runs.add_argument("--project", metavar="TEXT", help="only those of this project")
    runs.add_argument("--limit", type=_count, default=20, metavar="N", help="how many (20)")
    report = _add(
        commands, "report", "Write what came of a run as JUnit XML, CSV or one HTML page.", "results", "report"
    )
    report.add_argument("id", help="run id")
    add_report_files(report)
    tasks = _add(commands, "tasks", "List tasks, or show one.", "runs", "tasks")
    tasks.add_argument("id", nargs="?", help="task id")
    tasks.add_argument("--run", metavar="ID")
    tasks.add_argument(
        "--state", choices=[*(state.value for state in TaskState), "waiting", "held", "ended", "judged"]
    )
    tasks.add_argument("--device", metavar="SERIAL")
    tasks.add_argument("--node", metavar="NAME")
    tasks.add_argument("--queue", metavar="NAME")
    tasks.add_argument("--code", metavar="CODE", help="of its failure")
    tasks.add_argument(
        "--since", metavar="TIME", help="that ended since: 10m, 12h, 7d, 2026-11-01, 2026-11-01T09:30Z"
    )
    tasks.add_argument("--until", metavar="TIME", help="that ended before: likewise")
    tasks.add_argument("--limit", type=_count, default=50, metavar="N", help="how many (50)")
    tasks.add_argument("--lang", choices=("en", "ko"), default="en", help="language of why a task waits (en)")
    stats = _add(commands, "stats", "Tell what the queues did, by the minute or hour.", "statistics", "statistics")
    stats.add_argument("--hours", type=_count, default=1, metavar="N", help="how far back (1)")
    stats.add_argument("--queue", metavar="NAME")
    stats.add_argument("--by", choices=("minute", "hour"), help="minutes are kept for a day, hours for 90 days")
    stats.add_argument("--all", action="store_true", help="also the times in which nothing happened")
    story = _add(
        commands, "story", "Tell what happened to a task, run, device, node or campaign, in order.", "runs", "story"
    )
    story.add_argument("id", help="task id, run id, device serial, name of a node or campaign")
    story.add_argument("--lang", choices=("en", "ko"), default="en", help="language of its sentences (en)")
    cancel = _add(commands, "cancel", "Cancel a run or a task.", "runs", "cancel")
    cancel.add_argument("id", help="run id or task id")
    cancel.add_argument("--reason", default="", help="why, for the story")


def _add_fleet(commands: Any) -> None:
    add_devices(commands, _add)
    add_nodes(commands, _add)
    out = _add(commands, "quarantine", "Give a device, or the devices of a node, no tasks.", "fleet", "quarantine")
    out.add_argument("name", help="serial of a device, or name of a node")
    out.add_argument("--for", dest="term", metavar="TIME", help="such as 10m; then it is tried (until released)")
    out.add_argument("--why", default="", help="why, for its story")
    back = _add(commands, "unquarantine", "Give a device or node tasks as before.", "fleet", "unquarantine")
    back.add_argument("name", help="serial of a device, or name of a node")
    back.add_argument("--why", default="", help="why, for its story")
    from doai.cli.dead import add_dead
    from doai.cli.holds import add_holds

    add_holds(commands, _add)
    add_dead(commands, _add)


def _add_artifacts(commands: Any) -> None:
    group = commands.add_parser("artifacts", help="List and fetch what tasks left.")
    actions = group.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = _add(actions, "list", "List artifacts.", "files", "artifact_list")
    of = listing.add_mutually_exclusive_group(required=True)
    of.add_argument("--run", metavar="ID", help="of this run")
    of.add_argument("--task", metavar="ID", help="of this task")
    get = _add(actions, "get", "Fetch one artifact, or all of a run.", "files", "artifact_get")
    get.add_argument("what", help="path of an artifact, or a run id")
    get.add_argument("--out", default=".", metavar="DIR", help="folder to write to (default: here)")


def _add_files(commands: Any) -> None:
    group = commands.add_parser("files", help="Store what steps install, push and compare with.")
    actions = group.add_subparsers(dest="action", metavar="ACTION", required=True)
    put = _add(actions, "put", "Store a file as a version that never changes.", "stored_files", "put")
    put.add_argument("path", metavar="PATH")
    put.add_argument("--name", help="NAME, or NAME@VERSION (the name of PATH without its ending)")
    put.add_argument("--version", help="such as 1.4 (the next number)")
    listing = _add(actions, "list", "List files with all their versions.", "stored_files", "show_list")
    listing.add_argument("prefix", nargs="?", help="only names that begin so")
    show = _add(actions, "show", "Show a file.", "stored_files", "show_one")
    show.add_argument("name", help="NAME or NAME@VERSION")
    remove = _add(actions, "rm", "Remove a version that no open run needs.", "stored_files", "remove")
    remove.add_argument("name", help="NAME@VERSION")


def _add_baselines(commands: Any) -> None:
    group = commands.add_parser("baseline", help="Say which pictures screens are compared with.")
    actions = group.add_subparsers(dest="action", metavar="ACTION", required=True)
    accept = _add(actions, "accept", "Make pictures of failed comparisons their baselines.", "baselines", "accept")
    accept.add_argument("id", help="run id or task id")
    accept.add_argument(
        "--step", action="append", default=[], metavar="ID", help="only of this step (all that failed)"
    )
    accept.add_argument("--device", metavar="SERIAL", help="only of this device (the first of each model and size)")


def _add_keys(commands: Any) -> None:
    group = commands.add_parser("keys", help="Say who may speak on the mesh.")
    actions = group.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add(actions, "list", "List keys.", "keys", "key_list")
    add = _add(actions, "add", "Accept a node's or bot's public key.", "keys", "key_add")
    add.add_argument("name")
    add.add_argument("public_key", help="40 characters in single quotes, or its .pub file")
    add.add_argument("--role", choices=("node", "bot"), default="node")
    add.add_argument("--secret-file", metavar="FILE", help="write the secret there instead of showing it")
    revoke = _add(actions, "revoke", "Stop accepting a key.", "keys", "key_revoke")
    revoke.add_argument("name")


def _add_backup(commands: Any) -> None:
    _add(commands, "backup", "Back up the broker's store while it runs.", "backup", "backup")
    backups = _add(commands, "backups", "List the backups, or read one wholly and open it.", "backup", "backups")
    backups.add_argument("name", nargs="?", help="check this one")
    from doai.cli.restore import add_restore_flags

    add_restore_flags(commands.add_parser("restore", help="Put a backup in the place of a broker's store."))


def _add_doctor(commands: Any) -> None:
    doctor = _add(commands, "doctor", "Look at all that doai needs here, and say what to do.", "doctor", "doctor")
    doctor.add_argument("--port", type=_count, default=7700, help="port of the API (7700)")
    doctor.add_argument("--broker-port", type=_count, default=7701, help="port of the broker (7701)")
    doctor.add_argument("--adb-port", type=_count, default=5037, help="port of the adb server (5037)")
    doctor.add_argument("--adb-path", default="", metavar="FILE", help="the adb program (the one that is found)")
    doctor.set_defaults(offline=("doctor", "doctor"))
    upgrade = _add(commands, "upgrade", "Say what stands against running this release here.", "upgrade", "upgrade")
    upgrade.add_argument("--check", action="store_true", required=True, help="look, and change nothing")
    upgrade.set_defaults(offline=("upgrade", "upgrade"))


def _perform(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    if options.command == "completion":
        from doai.cli.shells import print_script

        return print_script(options.shell)
    if options.command == "up":
        from doai.cli.up import up

        return up(options)
    if options.command == "restore":
        from doai.cli.restore import restore

        return restore(options)
    import importlib

    from doai.cli.client import Client

    if offline := getattr(options, "offline", None):
        return _flushed(int(getattr(importlib.import_module(f"doai.cli.{offline[0]}"), offline[1])(options)))
    module, function = options.handler
    handler: Command = getattr(importlib.import_module(f"doai.cli.{module}"), function)
    with Client(find_place(options)) as client:
        code = handler(client, options)
    return _flushed(code)


def _flushed(code: int) -> int:
    """Return the exit code with everything printed; a full disk still has a name here."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        show.print_nowhere()
    return code


def _exit_code(error: DoaiError) -> int:
    if isinstance(error, ConfigError):
        return exits.CONFIG
    return int(getattr(error, "exit_code", exits.USAGE if isinstance(error, UserError) else exits.NOT_PASSED))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. Every failure is one sentence on stderr."""
    parser = make_parser()
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["_complete"]:
        from doai.cli.shells import answer

        return answer(parser, words[1:])
    options = parser.parse_args(with_default_action(words))
    try:
        return _perform(options, parser)
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except BrokenPipeError:
        show.print_nowhere()
        return exits.PASSED
    except OSError as error:
        print(f"doai: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        return exits.IO_ERROR
    except DoaiError as error:
        show.print_error("doai", error)
        return _exit_code(error)


if __name__ == "__main__":
    sys.exit(main())
