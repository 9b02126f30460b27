"""`doai nodes enroll`, `rotate`, `revoke`, `enrolments`: which hosts may be nodes (before step 5)."""

from __future__ import annotations

import argparse
import csv
import io
import os
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from doai.cli import exits, show
from doai.cli.client import ApiError, Client
from doai.errors import UserError
from doai.tls import is_loopback
from doai.workflow.duration import DurationError, parse_duration

NODES_MAX: Final = 500
"""As the API takes at once."""


def enroll(client: Client, options: argparse.Namespace) -> int:
    """`doai nodes enroll`: tokens are shown once."""
    return _enroll(client, options, _names(options), rotate=False)


def rotate(client: Client, options: argparse.Namespace) -> int:
    """`doai nodes rotate NAME`."""
    return _enroll(client, options, options.names, rotate=True)


def _names(options: argparse.Namespace) -> list[str]:
    names = list(options.names)
    if (options.count is None) != (options.prefix is None):
        raise UserError("--count and --prefix go together: --count 15 --prefix shelf names shelf-01 to shelf-15")
    if options.count is not None:
        if not 1 <= options.count <= NODES_MAX:
            raise UserError(f"--count {options.count} can not be: 1 to {NODES_MAX}")
        digits = max(2, len(str(options.count)))
        names += [f"{options.prefix}-{number:0{digits}d}" for number in range(1, options.count + 1)]
    if options.csv:
        names += _names_in(Path(options.csv))
    if not names:
        raise UserError("say which nodes: NAME, or --count N --prefix PREFIX, or --csv FILE")
    return names


def _names_in(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if "name" not in (reader.fieldnames or []):
                raise UserError(f"{path} has no column `name` in its first line")
            return [row["name"].strip() for row in reader if (row["name"] or "").strip()]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is no CSV file in UTF-8: {error}") from None


def _enroll(client: Client, options: argparse.Namespace, names: list[str], *, rotate: bool) -> int:
    try:
        expires_in_s = parse_duration(options.expires)
    except DurationError as error:
        raise UserError(f"--expires: {error}") from None
    body = {"names": names, "expiresInS": expires_in_s, "rotate": rotate, "url": options.admin_url or ""}
    out = _open_out(Path(options.out)) if options.out else None
    try:
        answer = client.post("/enrolments", body)
        if out is not None:
            with out:
                _write_csv(out, answer["items"])
    except BaseException:
        if out is not None:
            out.close()
            Path(options.out).unlink(missing_ok=True)
        raise
    if options.json:
        shown = {key: value for key, value in answer.items() if key != "items" or out is None}
        show.print_json({**shown, "url": client.url("/enrolments"), "adminUrl": answer["url"]})
        return exits.PASSED
    what = "changes the key of its node" if rotate else "lets one host join"
    print(f"Each token {what}, once, until {show.when(answer['expiresAtMs'])}; they are shown once.")
    if out is not None:
        print(f"{len(names)} token(s) are in {Path(options.out).resolve()}. On each host: bin/node --join TOKEN")
    for item in answer["items"] if out is None else []:
        force = " --force" if rotate else ""
        print(f"{item['name']}: bin/node --join {item['token']}{force}")
    if is_loopback(urlsplit(answer["url"]).hostname or ""):
        print(f"Only this host reaches {answer['url']}: for others say --admin-url, or set the admin's public_url.")
    print(client.url("/enrolments"))
    return exits.PASSED


def _open_out(path: Path) -> io.TextIOWrapper:
    # The file first: the tokens are told once, and must have where to go.
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ApiError(
            f"cannot write {path}: {error.strerror}; no token was made", exit_code=exits.IO_ERROR
        ) from None
    return os.fdopen(descriptor, "w", encoding="utf-8", newline="")


def _write_csv(file: io.TextIOWrapper, items: list[dict[str, Any]]) -> None:
    writer = csv.writer(file, lineterminator="\n")  # it is read by loops of a shell, too
    writer.writerow(("name", "token"))
    writer.writerows((item["name"], item["token"]) for item in items)


def revoke(client: Client, options: argparse.Namespace) -> int:
    """`doai nodes revoke NAME`: its key, its next key and its open token."""
    client.request("DELETE", f"/keys/{quote(options.name, safe='')}")
    if options.json:
        show.print_json({"name": options.name, "url": client.url("/enrolments")})
    else:
        print(f"{options.name} can not connect any more, nor join: {client.url('/enrolments')}")
    return exits.PASSED


def enrolments(client: Client, options: argparse.Namespace) -> int:
    """`doai nodes enrolments`."""
    found = list(client.items("/enrolments", limit=500))
    if options.json:
        show.print_json(found)
        return exits.PASSED
    rows = (
        (
            item["name"],
            item["state"],
            show.when(item["expiresAtMs"]),
            show.when(item["usedAtMs"]) if item["usedAtMs"] is not None else None,
            item["createdBy"],
        )
        for item in found
    )
    show.print_table(
        ("node", "token", "expires", "joined", "by"),
        rows,
        empty="None yet: `doai nodes enroll NAME` makes a token.",
    )
    print(client.url("/enrolments"))
    return exits.PASSED
