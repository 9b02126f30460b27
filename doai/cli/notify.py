"""`doai notify`: the channels of notifications, and a test of each (steps 1 and 14)."""

from __future__ import annotations

import argparse
from urllib.parse import quote

from doai.cli import exits, show
from doai.cli.client import Client
from doai.cli.waiting import wait_for_run


def list_channels(client: Client, options: argparse.Namespace) -> int:
    """`doai notify list`."""
    found = list(client.items("/notifications"))
    if options.json:
        show.print_json(found)
        return exits.PASSED
    rows = (
        (item["name"], item["kind"], ", ".join(item["about"]), item["severity"], item["language"]) for item in found
    )
    empty = "No channels: set them with `doai bots config notify-bot FILE`."
    show.print_table(("channel", "kind", "about", "from", "language"), rows, empty=empty)
    print(client.url("/bots/notify-bot"))
    return exits.PASSED


def test_channel(client: Client, options: argparse.Namespace) -> int:
    """`doai notify test CHANNEL`: exit code 0 if the message was taken, 1 if it was not."""
    begun = client.post(f"/notifications/{quote(options.channel, safe='')}/test")
    url = client.url(f"/runs/{begun['runId']}")
    [task] = wait_for_run(client, begun["runId"], lambda progress: None).tasks
    outputs = client.get(f"/tasks/{task['taskId']}").get("outputs") or {}
    sent = bool(outputs.get("sent"))
    problem = str(outputs.get("problem") or "") if outputs else f"the test {task['state']}: is notify-bot running?"
    if options.json:
        show.print_json({"channel": options.channel, "sent": sent, "problem": problem, "url": url})
    elif sent:
        print(f"a test message was sent to {options.channel}; {url}")
    else:
        print(f"nothing was sent to {options.channel}: {problem}; {url}")
    return exits.PASSED if sent else exits.NOT_PASSED
