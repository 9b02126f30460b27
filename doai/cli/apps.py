"""`doai apps install|report`: a stored app on many phones, by the install-bot (steps 1 and 14)."""

from __future__ import annotations

import argparse
from typing import Any, Final
from urllib.parse import quote

import msgspec

from doai.bots.install import onboarding
from doai.bots.install.onboarding import Onboard
from doai.bots.install.report import Report
from doai.bots.install.wish import KIND, InstallApp
from doai.cli import exits, show
from doai.cli.bot_tasks import ask_bot, store_recipes, wait_for_task
from doai.cli.client import ApiError, Client
from doai.cli.targets import parse_targets
from doai.cli.waiting import OPEN_STATES
from doai.errors import UserError
from doai.file_reference import parse_file_reference

RECIPES: Final = ("app-look", "app-install", "app-remove")
"""What the install-bot runs."""


def install(client: Client, options: argparse.Namespace) -> int:
    """`doai apps install FILE --on TARGETS`: what the bot runs is stored first, where it is not there."""
    reference = parse_file_reference(options.file)
    app = client.get(f"/apps/{quote(str(reference), safe='/@+')}")
    if options.package and app["package"] != options.package:
        raise UserError(f"the file {app['file']} is the app {app['package']}, not {options.package}")
    store_recipes(client, RECIPES)
    wish = _wish(
        {
            "file": app["file"],
            "targets": msgspec.to_builtins(parse_targets(options.on)),
            "package": options.package,
            "permissions": options.grant,
            "grantAll": options.grant_all,
            "canary": options.canary,
            "wave": options.wave,
            "stopRate": options.stop_rate,
            "rollback": not options.no_rollback,
            "reachS": options.reach,
        }
    )
    task = ask_bot(client, "install-bot", KIND, msgspec.to_builtins(wish), options.idempotency_key)
    url = client.url(f"/tasks/{task['taskId']}")
    if options.wait:
        return _show(client, options, wait_for_task(client, task["taskId"], quiet=options.json))
    if options.json:
        show.print_json({"runId": task["runId"], "taskId": task["taskId"], "url": url})
    else:
        print(f"{app['file']} ({app['package']} {app['versionCode']}) goes to the phones: {url}")
        print(f"try: bin/doai apps report {task['taskId']}")
    return exits.PASSED


def report(client: Client, options: argparse.Namespace) -> int:
    """`doai apps report ID`."""
    try:
        task = client.get(f"/tasks/{options.id}")
    except ApiError as error:
        if error.status != 404:
            raise
        tasks = list(client.items("/tasks", run_id=options.id))
        if not tasks:
            raise
        task = client.get(f"/tasks/{tasks[0]['taskId']}")
    return _show(client, options, task)


def onboard(client: Client, options: argparse.Namespace) -> int:
    """`doai apps onboard SERIAL`."""
    client.get(f"/devices/{options.serial}")
    store_recipes(client, (*RECIPES, onboarding.PREPARE))
    wish = Onboard(serial=options.serial, apps=options.app, tags=options.tag, smoke=options.smoke)
    task = ask_bot(client, "install-bot", onboarding.KIND, msgspec.to_builtins(wish))
    if options.wait:
        task = wait_for_task(client, task["taskId"], quiet=options.json)
    url = client.url(f"/tasks/{task['taskId']}")
    if options.json:
        show.print_json({**task, "url": url})
    else:
        for sentence in task["outputs"].get("done", ()):
            print(f"{options.serial}: {sentence}")
        why = (task["failure"] or {}).get("message") or task["waitingBecause"] or ""
        print(f"{options.serial} is taken in: {task['state']}{': ' if why else ''}{why}; {url}")
    return exits.PASSED if task["state"] in {"passed", *OPEN_STATES} else exits.NOT_PASSED


def _wish(fields: dict[str, Any]) -> InstallApp:
    try:
        return msgspec.convert(fields, InstallApp)
    except msgspec.ValidationError as error:
        raise UserError(f"this can not be asked of the install-bot: {error}") from None


def _show(client: Client, options: argparse.Namespace, task: dict[str, Any]) -> int:
    url = client.url(f"/tasks/{task['taskId']}")
    passed = task["state"] == "passed"
    if options.json:
        show.print_json({"state": task["state"], "failure": task["failure"], "report": task["outputs"], "url": url})
        return exits.PASSED if passed else exits.NOT_PASSED
    try:
        found = msgspec.convert(task["outputs"], Report)
    except msgspec.ValidationError:
        why = (task["failure"] or {}).get("message") or task["waitingBecause"] or task["reason"] or "no report yet"
        print(f"task {task['taskId']} is {task['state']}: {why}; {url}")
        return exits.PASSED if task["state"] in OPEN_STATES else exits.NOT_PASSED
    rows = [
        (serial, group.result.value.replace("_", " "), group.reason)
        for group in found.groups
        for serial in (*group.serials, *_unnamed(group.phones - len(group.serials)))
    ]
    show.print_table(("phone", "result", "why"), rows, empty="No phones.")
    print(f"{found.summary}: {url}")
    return exits.PASSED if passed else exits.NOT_PASSED


def _unnamed(count: int) -> list[str]:
    return [f"and {count} more"] if count else []
