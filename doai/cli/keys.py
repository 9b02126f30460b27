"""`doai keys`: who may speak on the mesh (before step 5)."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from doai.cli import exits, show
from doai.cli.client import Client


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
    return exits.PASSED


def key_add(client: Client, options: argparse.Namespace) -> int:
    """`doai keys add NAME PUBLIC_KEY`: answers with the secret of its uploads, once."""
    body = {"name": options.name, "role": options.role, "publicKey": options.public_key}
    answer = client.post("/keys", body)
    if options.secret_file:
        descriptor = os.open(options.secret_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(answer.pop("secret") + "\n")
    if options.json:
        show.print_json(answer)
        return exits.PASSED
    print(f"{options.name} may speak as {options.role}. For its configuration:")
    print(f'  endpoint = "{answer["brokerEndpoint"]}"\n  broker_public_key = "{answer["brokerPublicKey"]}"')
    if options.secret_file:
        print(f"  the secret of its uploads is in {Path(options.secret_file).resolve()}")
    else:
        print(f'  secret = "{answer["secret"]}"   # shown once, never again')
    return exits.PASSED


def key_revoke(client: Client, options: argparse.Namespace) -> int:
    """`doai keys revoke NAME`."""
    client.request("DELETE", f"/keys/{options.name}")
    if options.json:
        show.print_json({"name": options.name})
    else:
        print(f"the key of {options.name} is no longer accepted")
    return exits.PASSED
