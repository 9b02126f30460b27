"""`doai bots enroll`: a bot gets its key, its token and its settings (before step 14)."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from doai.bots.loading import SHIPPED
from doai.cli import exits, show
from doai.cli.client import ApiError, Client
from doai.errors import UserError
from doai.wire.keys import load_or_make_keypair

SETTINGS: str = "bot.toml"


def enroll(client: Client, options: argparse.Namespace) -> int:
    """`doai bots enroll NAME --dir DIR`: with it, `bin/bot --config DIR/bot.toml` connects."""
    folder = Path(options.dir or options.name).resolve()
    settings = folder / SETTINGS
    if settings.exists():
        raise UserError(f"{settings} exists: remove it to enrol {options.name} again, or name another --dir")
    path = Path(options.program).resolve() if options.program else None
    if path is not None and not path.is_file():
        raise UserError(f"there is no file {options.program}: name the file of the bot")
    program = str(path) if path is not None else options.name if options.name in SHIPPED else ""
    public_key = let_in(client, options.name, folder, program)
    if options.json:
        show.print_json({"name": options.name, "settings": str(settings), "publicKey": public_key})
        return exits.PASSED
    print(f"{options.name} may speak as bot; its settings, key and token are in {folder}")
    print(f"try: bin/bot --config {settings}" + ("" if program else " FILE"))
    return exits.PASSED


def let_in(client: Client, name: str, folder: Path, program: str) -> str:
    """Write a bot's key, token and settings to its folder; return its public key. Raises ApiError."""
    keys = load_or_make_keypair(folder / "keys" / "bot.key")
    added = client.post("/keys", {"name": name, "role": "bot", "publicKey": keys.public})
    token = client.post("/tokens", {"name": f"bot-{name}"[:63], "role": "viewer"})["token"]
    written: dict[str, Any] = {
        **({"program": program} if program else {}),
        "endpoint": added["brokerEndpoint"],
        "broker_public_key": added["brokerPublicKey"],
        "secret": added["secret"],
        "bot_dir": str(folder),
        "admin_url": client.place.url,
        "api_token": token,
        **({"admin_ca": str(Path(client.place.ca_file).resolve())} if client.place.ca_file else {}),
        **({"admin_fingerprint": client.place.fingerprint} if client.place.fingerprint else {}),
    }
    lines = (f"{field} = {json.dumps(value)}\n" for field, value in written.items())
    _write_private(folder / SETTINGS, "".join(lines))
    return keys.public


def _write_private(path: Path, text: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ApiError(f"cannot write {path}: {error.strerror}", exit_code=exits.IO_ERROR) from None
