"""Where the API is and what opens it: flags, variables, or what `doai up` left in its data folder (step 1)."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from doai.configuration import Secret
from doai.errors import ConfigError
from doai.tls import is_http_url

PLACE_FILE: Final = "cli.json"


class Place(msgspec.Struct, frozen=True):
    """An admin API and the token for it."""

    url: str
    token: Secret
    ca_file: str = ""
    """PEM file of the authorities that its certificate is checked with; empty = the system's."""
    fingerprint: str = ""
    """SHA-256 of its certificate: exactly that one is accepted."""


def default_data_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of an installation on this machine, as the XDG base directories have it."""
    base = environ.get("XDG_DATA_HOME") or str(Path(environ.get("HOME", "/root"), ".local", "share"))
    return Path(environ.get("DOAI_DATA_DIR") or Path(base, "doai"))


def add_place_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags every command that talks to the API has."""
    parser.add_argument("--url", help="address of the admin API (DOAI_URL; default: what `doai up` started)")
    parser.add_argument("--token-file", metavar="FILE", help="file with the API token (or the variable DOAI_TOKEN)")
    parser.add_argument(
        "--ca-file", metavar="FILE", help="check the API's certificate with this PEM file (DOAI_CA_FILE)"
    )
    parser.add_argument(
        "--fingerprint", metavar="SHA256", help="accept exactly this certificate of the API (DOAI_FINGERPRINT)"
    )
    parser.add_argument("--data-dir", metavar="DIR", help="folder of `doai up` (DOAI_DATA_DIR)")
    parser.add_argument("--json", action="store_true", help="print JSON for programs instead of tables")


def find_place(options: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> Place:
    """Return where the API is; raises ConfigError with what to do."""
    url = options.url or environ.get("DOAI_URL", "")
    token = environ.get("DOAI_TOKEN", "")
    if options.token_file:
        try:
            token = Path(options.token_file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigError(f"cannot read the token file {options.token_file}: {error.strerror}") from None
    folder = Path(options.data_dir) if options.data_dir else default_data_dir(environ)
    ca_file = options.ca_file or environ.get("DOAI_CA_FILE", "")
    fingerprint = options.fingerprint or environ.get("DOAI_FINGERPRINT", "")
    if not (url and token):
        kept = read_place(folder)
        if kept is not None:
            url = url or kept.url
            token = token or kept.token.reveal()
            if url == kept.url and not ca_file:
                fingerprint = fingerprint or kept.fingerprint
    if not url:
        raise ConfigError(
            f"no API is known here: no `doai up` has left its address in {folder}; start one, name its --data-dir, "
            "or give --url and the variable DOAI_TOKEN"
        )
    if not is_http_url(url):
        scheme, has_scheme, _ = url[:200].partition("://")
        why = f": {scheme}:// is not spoken here" if has_scheme and scheme not in ("http", "https") else ""
        raise ConfigError(f"the API can not be at {url[:200]!r}{why}: write http://HOST:PORT or https://HOST:PORT")
    if not token:
        raise ConfigError(f"no token for {url}: put it in the variable DOAI_TOKEN or in a file for --token-file")
    return Place(url.rstrip("/"), Secret(token), ca_file, fingerprint)


def read_place(folder: Path) -> Place | None:
    """Return what `write_place` left in a folder, None when there is nothing."""
    try:
        kept = json.loads((folder / PLACE_FILE).read_text(encoding="utf-8"))
        return Place(kept["url"], Secret(kept["token"]), fingerprint=kept.get("fingerprint", ""))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{folder / PLACE_FILE} can not be used ({error}): remove it and run `doai up`") from None


def write_place(folder: Path, place: Place) -> None:
    """Keep the address and token for later commands, readable by this user only."""
    path = folder / PLACE_FILE
    kept = {"url": place.url, "token": place.token.reveal()}
    if place.fingerprint:
        kept["fingerprint"] = place.fingerprint
    content = json.dumps(kept) + "\n"
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)  # a leftover of an earlier try may have been open to others
        file.write(content)
    temporary.replace(path)
