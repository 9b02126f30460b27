"""`doai files put|list|show|rm`: what steps install, push and compare with (step 1)."""

from __future__ import annotations

import argparse
import hashlib
import mimetypes
import re
import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from doai.apk.errors import ApkError
from doai.apk.package import read_apk_file
from doai.cli import exits, show
from doai.cli.client import ApiError, Client
from doai.errors import UserError
from doai.file_reference import FileName, parse_file_reference

APK: Final = "application/vnd.android.package-archive"
PUT_S: Final = 3600.0
"""A large file on a slow line; the admin's own bounds come first."""
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9._-]+")


def put(client: Client, options: argparse.Namespace) -> int:
    """`doai files put PATH`: what is stored already is not sent again."""
    path = Path(options.path)
    try:
        digest = _digest(path)
        media_type = _media_type(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    wanted = parse_file_reference(options.name or _name_of(path))
    if options.version:
        if wanted.version is not None:
            raise UserError(f"the version is given twice: in --name {options.name} and in --version")
        wanted = parse_file_reference(f"{wanted.name}@{options.version}")
    stored = _stored(client, wanted)
    if stored is not None and stored["sha256"] == digest:
        return _tell(options, stored, "was stored already")
    if stored is not None and wanted.version is not None:
        raise ApiError(
            f"{wanted} has other bytes, and a version never changes: put it as another version",
            exit_code=exits.NOT_PASSED,
            status=409,
        )
    headers = {"Content-Type": media_type, "X-Content-Sha256": digest}
    with path.open("rb") as file:
        answer = client.request("PUT", _path(wanted), content=file, headers=headers, timeout_s=PUT_S).json()
    return _tell(options, answer, "stored")


def show_list(client: Client, options: argparse.Namespace) -> int:
    """`doai files list [PREFIX]`."""
    prefix = options.prefix or None
    found = list(client.items("/files", prefix=prefix, limit=500))
    if options.json:
        show.print_json(found)
        return exits.PASSED
    rows = (
        (
            f"{item['name']}@{item['version']}",
            "newest" if item["newest"] else None,
            item["sizeBytes"],
            item["mediaType"],
            show.recently(item["createdAtMs"]),
            item["createdBy"],
        )
        for item in found
    )
    empty = f"No files whose names begin with {prefix}." if prefix else "No files yet: doai files put PATH"
    show.print_table(("file", "which", "bytes", "type", "stored", "by"), rows, empty=empty)
    print(client.url("/files", prefix=prefix))
    return exits.PASSED


def show_one(client: Client, options: argparse.Namespace) -> int:
    """`doai files show NAME[@VERSION]`."""
    found = client.get(_path(parse_file_reference(options.name)))
    if options.json:
        show.print_json(found)
    else:
        show.print_fields(found)
    return exits.PASSED


def remove(client: Client, options: argparse.Namespace) -> int:
    """`doai files rm NAME@VERSION`."""
    wanted = parse_file_reference(options.name)
    if wanted.version is None:
        raise UserError(f"say which version to remove, as {wanted.name}@1.4: `doai files list {wanted.name}`")
    answer = client.request("DELETE", _path(wanted)).json()
    if options.json:
        show.print_json({**answer, "url": client.url("/files")})
    else:
        print(f"{wanted} removed: {client.url('/files')}")
    return exits.PASSED


def _tell(options: argparse.Namespace, answer: dict[str, Any], what: str) -> int:
    if options.json:
        show.print_json(answer)
    else:
        reference = f"{answer['name']}@{answer['version']}"
        print(f"{reference} {what}: {answer['url']}")
        if sys.stdout.isatty():
            print(f"In a workflow: `file: {reference}`, or `file: {answer['name']}` for the newest.")
    return exits.PASSED


def _stored(client: Client, wanted: FileName) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = client.get(_path(wanted))
    except ApiError as error:
        if error.status != 404:
            raise
        return None
    return found


def _path(wanted: FileName) -> str:
    return f"/files/{quote(str(wanted), safe='/@+')}"


def _name_of(path: Path) -> str:
    name = _NOT_IN_NAMES.sub("-", path.stem).strip("-._")
    if not name:
        raise UserError(f"{path.name} gives no name for a file: choose one with --name")
    return name


def _media_type(path: Path) -> str:
    """Return what the file is by its ending; an app that is none is refused here and not on twenty phones."""
    if path.suffix.lower() != ".apk":
        return mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    try:
        read_apk_file(path)
    except ApkError as error:
        raise UserError(f"{path} can not be installed on any phone: {error}") from None
    return APK


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
