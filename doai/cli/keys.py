"""`doai keys`: who may speak on the mesh (before step 5)."""

from __future__ import annotations

import argparse
from pathlib import Path

from doai.cli import exits, show
from doai.cli.client import Client
from doai.cli.told_once import told_once
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
    with told_once(options.secret_file, replaces=True) as out:
        answer = client.post("/keys", body)
        if out.path is not None:
            out.take(answer.pop("secret", ""))
    if options.json:
        show.print_json({**answer, "url": client.url("/keys")})
        return exits.PASSED
    print(f"{options.name} may speak as {options.role}. For its configuration:")
    print(f'  endpoint = "{answer["brokerEndpoint"]}"\n  broker_public_key = "{answer["brokerPublicKey"]}"')
    if out.text:
        print(f"  its secret is in {out.path}")
    elif answer.get("secret"):
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


def key_revoke(client: Client, options: argparse.Namespace) -> int:
    """`doai keys revoke NAME`."""
    client.request("DELETE", f"/keys/{options.name}")
    if options.json:
        show.print_json({"name": options.name, "url": client.url("/keys")})
    else:
        print(f"the key of {options.name} is no longer accepted: {client.url('/keys')}")
    return exits.PASSED
