"""`doai baseline accept`: pictures of failed comparisons become what the next run compares with (step 1)."""

from __future__ import annotations

import argparse
from typing import Any

from doai.cli import exits, show
from doai.cli.client import ApiError, Client
from doai.file_reference import parse_file_reference


def accept(client: Client, options: argparse.Namespace) -> int:
    """`doai baseline accept RUN|TASK`."""
    body = {"steps": options.step, "deviceSerial": options.device}
    try:
        answer = client.post("/baselines", {**body, "runId": options.id})
    except ApiError as error:
        if error.status != 404:
            raise
        answer = _of_task(client, options.id, body)
    if options.json:
        show.print_json(answer)
        return exits.PASSED
    for item in answer["accepted"]:
        file = item["file"]
        became = "is now" if item["new"] else "was already"
        print(f"{file['name']}@{file['version']} {became} {_shown(item['picture'])}: {file['url']}")
        if item["askedFor"] and (version := parse_file_reference(item["askedFor"]).version):
            print(f"  the workflow compares with version {version}: name {file['version']} there, or none")
    for picture in answer["others"]:
        print(f"not taken, for its baseline is another picture now: {_shown(picture)}; the next run compares it")
    return exits.PASSED


def _of_task(client: Client, task_id: str, body: dict[str, Any]) -> Any:
    try:
        return client.post("/baselines", {**body, "taskId": task_id})
    except ApiError as error:
        if error.status != 404:
            raise
        raise ApiError(
            f"there is no run or task {task_id!r}: `doai runs` and `doai tasks` list them",
            exit_code=exits.NOT_PASSED,
            status=404,
        ) from None


def _shown(picture: dict[str, Any]) -> str:
    return f"the picture of {picture['deviceSerial']} in step {picture['stepId']}"
