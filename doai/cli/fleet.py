"""`doai devices`, `nodes`: what is there, and when each was last proven (step 14)."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from doai.cli import exits, show
from doai.cli.client import ApiError, Client
from doai.cli.runs import show_one
from doai.workflow.duration import parse_duration


def devices(client: Client, options: argparse.Namespace) -> int:
    """`doai devices`."""
    if options.serial:
        return show_one(client, options, f"/devices/{options.serial}")
    if options.unauthorized:
        return _unauthorized(client, options)
    query = {
        "q": options.search,
        **{name: getattr(options, name) for name in ("state", "service", "node", "group")},
    }
    found = list(client.items("/devices", **query, limit=500))
    rows = (
        (
            item["serial"],
            item["description"]["label"],
            item["description"]["shelf"],
            _state(item),
            _service(item),
            item["nodeId"],
            item["usbPath"],
            item.get("model"),
            item.get("sdk"),
            item.get("tags"),
            item["description"]["groups"],
            _why(item, "reason"),
        )
        for item in found
    )
    headings = (
        *("device", "label", "shelf", "state", "service", "node", "usb", "model", "sdk", "tags", "groups", "why"),
    )
    empty = "No such devices." if any(query.values()) else "No devices yet: start a node with phones."
    return _list(client, options, "/devices", "serial", found, headings, rows, empty, query)


def _unauthorized(client: Client, options: argparse.Namespace) -> int:
    """Phones that ask whether they trust a host: where each is, and what to press."""
    found = list(client.items("/devices", state="unauthorized", node=options.node, limit=500))
    hosts = {item["nodeId"]: item.get("host") for item in client.items("/nodes", limit=500)} if found else {}
    rows = (
        (
            item["serial"],
            item["description"]["label"],
            item["description"]["shelf"],
            item["nodeId"],
            hosts.get(item["nodeId"]),
            item["usbPath"],
            "unlock it, tick *Always allow from this computer*, press Allow",
        )
        for item in sorted(found, key=lambda item: (item["nodeId"], item["description"]["shelf"], item["usbPath"]))
    )
    headings = ("device", "label", "shelf", "node", "host", "usb", "why")
    return _list(
        client,
        options,
        "/devices",
        "serial",
        found,
        headings,
        rows,
        "Every phone trusts the host it is plugged into.",
        {"state": "unauthorized", "node": options.node},
    )


def nodes(client: Client, options: argparse.Namespace) -> int:
    """`doai nodes`."""
    if options.name:
        return show_one(client, options, f"/nodes/{options.name}")
    found = [item for item in client.items("/nodes", limit=500) if options.state in (None, item["state"])]
    rows = (
        (
            item["nodeId"],
            item["state"],
            _service(item),
            item.get("host"),
            f"{item.get('running', '-')}/{item.get('slots')}",
            item.get("version"),
            _why(item, "stateReason"),
        )
        for item in found
    )
    headings = ("node", "state", "service", "host", "slots in use", "version", "why")
    empty = "No such nodes." if options.state else "No nodes yet: start one with bin/node."
    query = {"state": options.state}
    return _list(client, options, "/nodes", "nodeId", found, headings, rows, empty, query)


def quarantine(client: Client, options: argparse.Namespace) -> int:
    """`doai quarantine SERIAL|NODE`."""
    for_s = parse_duration(options.term) if options.term is not None else None
    path, answer = _ask(client, options.name, "quarantine", {"forS": for_s, "reason": options.why})
    until = answer.get("untilMs")
    term = f"until {show.when(until)}" if until is not None else f"until `doai unquarantine {options.name}`"
    return _tell(client, options, path, answer, f"{options.name} is given no tasks {term}")


def unquarantine(client: Client, options: argparse.Namespace) -> int:
    """`doai unquarantine SERIAL|NODE`."""
    path, answer = _ask(client, options.name, "release", {"reason": options.why})
    return _tell(client, options, path, answer, f"{options.name} is given tasks as before")


def _ask(client: Client, name: str, what: str, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A name is that of a device; else that of a node."""
    try:
        return f"/devices/{name}", client.post(f"/devices/{name}/{what}", body)
    except ApiError as error:
        if error.status != 404:
            raise
    try:
        return f"/nodes/{name}", client.post(f"/nodes/{name}/{what}", body)
    except ApiError as error:
        if error.status != 404:
            raise
        raise ApiError(
            f"there is no device or node {name!r}: `doai devices` and `doai nodes` list them",
            exit_code=exits.NOT_PASSED,
            status=404,
        ) from None


def _tell(client: Client, options: argparse.Namespace, path: str, answer: dict[str, Any], sentence: str) -> int:
    if options.json:
        show.print_json({**answer, "url": client.url(path)})
    else:
        print(f"{sentence}: {client.url(path)}")
    return exits.PASSED


def _state(item: dict[str, Any]) -> str:
    """A state that nobody vouches for now is not shown as if it were so."""
    if item["proven"]:
        return str(item["state"])
    at_ms = (item["proofs"]["link"] or {}).get("atMs")
    return f"not proven since {show.when(at_ms)}" if at_ms is not None else "not proven"


def _service(item: dict[str, Any]) -> str:
    """What a person reads beside a state: nothing while it is in service."""
    if item.get("hold"):
        return str(item["hold"]["text"])
    return "" if item.get("service", "in_service") == "in_service" else str(item["service"])


def _why(item: dict[str, Any], reason: str) -> str:
    return "; ".join(part for part in (item.get(reason), (item.get("quarantine") or {}).get("reason")) if part)


def _list(
    client: Client,
    options: argparse.Namespace,
    path: str,
    key: str,
    found: list[dict[str, Any]],
    headings: tuple[str, ...],
    rows: Any,
    empty: str,
    query: Mapping[str, object] = MappingProxyType({}),
) -> int:
    if options.json:
        show.print_json([{**item, "url": client.url(f"{path}/{item[key]}")} for item in found])
    else:
        show.print_table(headings, rows, empty=empty)
        print(client.url(path, **query))
    return exits.PASSED
