"""`doai incidents`: what an operator must know of, and the answers to it (step 14)."""

from __future__ import annotations

import argparse
from urllib.parse import quote

from doai.cli import exits, show
from doai.cli.client import Client


def list_incidents(client: Client, options: argparse.Namespace) -> int:
    """`doai incidents`: those that are not over, the gravest first."""
    query = {"resolved": options.all or None, "type": options.type, "subject": options.subject}
    found = list(client.items("/incidents", limit=500, **query))
    if options.json:
        show.print_json(found)
        return exits.PASSED
    rows = (
        (
            item["incidentId"],
            item["severity"],
            item["type"],
            item["subject"],
            item["state"],
            show.when(item["openedAtMs"]),
            item["affected"],
            item["message"],
        )
        for item in found
    )
    headings = ("incident", "severity", "type", "about", "state", "since", "affected", "what")
    show.print_table(headings, rows, empty="No incidents.")
    for to_do in dict.fromkeys(f"{item['type']}: {item['toDo']}" for item in found if item["state"] != "resolved"):
        print(to_do)
    print(client.url("/incidents", **query))
    return exits.PASSED


def acknowledge(client: Client, options: argparse.Namespace) -> int:
    """`doai incidents acknowledge ID`."""
    return _answer(client, options, "acknowledge", "is yours")


def resolve(client: Client, options: argparse.Namespace) -> int:
    """`doai incidents resolve ID`."""
    return _answer(client, options, "resolve", "is resolved: if it is still so, a new one opens after ten minutes")


def _answer(client: Client, options: argparse.Namespace, verb: str, said: str) -> int:
    answer = client.post(f"/incidents/{quote(options.incident, safe='')}/{verb}", {"note": options.note})
    if options.json:
        show.print_json({**answer, "url": client.url("/incidents")})
    else:
        print(f"incident {answer['type']} of {answer['subject']} {said}: {client.url('/incidents')}")
    return exits.PASSED
