"""`doai keys`: who may speak on the mesh (before step 5)."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from doai.cli import exits, show
from doai.cli.client import Client
from doai.errors import UserError


def key_list(client: Client, options: argparse.Namespace) -> int:
    """`doai keys list`."""
    found = list(client.items("/keys", limit=500))
    if options.json:
        show.print_json(found)
        return exits.PASSED
    rows = (
        (item["name"], item["role"], item["publicKey"], "revoked" if item.get("revokedAtMs") else "accepted")
        for item in found
    )
    show.print_table(("name", "role", "public key", "state"), rows, empty="No keys.")
    print(client.url("/keys"))
    return exits.PASSED


def key_add(client: Client, options: argparse.Namespace) -> int:
    """`doai keys add NAME PUBLIC_KEY`: answers with the secret of a node's uploads, or of a bot's secrets, once."""
    body = {"name": options.name, "role": options.role, "publicKey": _public_key(options.public_key)}
    if options.secret_file:
        answer = _add_with_secret_file(client, body, Path(options.secret_file))
    else:
        answer = client.post("/keys", body)
    if options.json:
        show.print_json({**answer, "url": client.url("/keys")})
        return exits.PASSED
    print(f"{options.name} may speak as {options.role}. For its configuration:")
    print(f'  endpoint = "{answer["brokerEndpoint"]}"\n  broker_public_key = "{answer["brokerPublicKey"]}"')
    if options.secret_file:
        print(f"  its secret is in {Path(options.secret_file).resolve()}")
    elif answer["secret"]:
        print(f'  secret = "{answer["secret"]}"   # shown once, never again')
    print(client.url("/keys"))
    return exits.PASSED


def _public_key(text: str) -> str:
    """Return the key, also out of its file: a shell takes several of its characters for something else."""
    path = Path(text)
    try:
        return path.read_text(encoding="ascii", errors="replace").strip() if path.is_file() else text
    except OSError as error:
        raise UserError(f"cannot read the public key {path}: {error.strerror}") from None


def _add_with_secret_file(client: Client, body: dict[str, str], path: Path) -> dict[str, Any]:
    # The file first: the secret is told once, and must have where to go.
    draft = path.with_name(f".{path.name}.new")
    try:
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise UserError(f"cannot write the secret to {path}: {error.strerror}; no key was added") from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            answer: dict[str, Any] = client.post("/keys", body)
            file.write(answer.pop("secret", "") + "\n")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return answer


def key_revoke(client: Client, options: argparse.Namespace) -> int:
    """`doai keys revoke NAME`."""
    client.request("DELETE", f"/keys/{options.name}")
    if options.json:
        show.print_json({"name": options.name, "url": client.url("/keys")})
    else:
        print(f"the key of {options.name} is no longer accepted: {client.url('/keys')}")
    return exits.PASSED
