"""Joining: a host turns a one-time token into a key, a secret and a configuration (before step 6).

Key and secret are made here; what leaves the host is the public key and the secret's hash. They are kept in
``join.pending`` until the configuration is written, so that a host whose answer was lost asks again with the same.
Nothing else is written before the admin has accepted them.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import msgspec

from doai.configuration import Secret
from doai.enrolment_token import EnrolmentToken, key_sha256
from doai.errors import ConfigError, DoaiError, UserError
from doai.node.config import NodeConfig, check_config
from doai.node.durable_file import make_folder, remove_file, write_file
from doai.tls import client_context, is_loopback, sends_in_clear, why_untrusted
from doai.wire.keys import KeyPair, is_public_key, keypair_of, make_keypair, save_keypair

ANSWER_S: Final = 30.0
_ANYBODY: Final = frozenset({"", "0.0.0.0", "::", "*"})  # noqa: S104 - told apart, not bound
_SOME_KEY: Final = "x" * 40


class JoinRefused(UserError):
    """The admin does not take the token, or is not the one that the token means."""

    code = "join_refused"


class JoinUnavailable(DoaiError):
    """The admin does not answer: the token is as good as before."""

    code = "join_unavailable"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to join with, and where to put what comes of it."""

    token: EnrolmentToken
    config_path: Path
    data_dir: Path
    settings: Mapping[str, Any] = {}
    """Further settings of the configuration, as flags gave them."""
    kept: Mapping[str, Any] = {}
    """Settings of the configuration that is replaced."""
    force: bool = False


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    name: str
    endpoint: str
    rotation: bool
    """The node had a key before: it is refused once the new one is used."""
    adb_home: str
    """Folder of the adb key that all nodes share; empty = this host uses its own."""


class _Pending(msgspec.Struct, frozen=True):
    """What a host shows, until it knows that it was taken."""

    token_sha256: str
    private_key: str
    secret: str


class _Answer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    name: str
    broker_public_key: str
    broker_endpoint: str
    rotation: bool = False
    adb_key: str = ""


def join(plan: Plan) -> Joined:
    """Join, and write the configuration.

    Raises ConfigError (something is in the way here), JoinRefused, JoinUnavailable, and OSError.
    """
    if plan.config_path.exists() and not plan.force:
        raise ConfigError(
            f"{plan.config_path} exists: this host has joined, start it with bin/node --config {plan.config_path}; "
            "to join anew, with a new token, add --force"
        )
    url = str(plan.settings.get("admin_url") or plan.token.url).rstrip("/")
    settings = _settings(plan, url)
    is_new = not plan.data_dir.exists()
    made = _prepare(plan)
    try:
        pending = _pending(plan)
        try:
            answer = _exchange(plan.token, url, pending, settings)
            _check_broker(plan.token, url, answer)
        except JoinUnavailable:
            raise
        except DoaiError:
            remove_file(_pending_path(plan))
            raise
    except BaseException:
        _tidy(plan, [*made, plan.data_dir] if is_new else made)
        raise
    return _write(plan, settings, pending, answer)


def _settings(plan: Plan, url: str) -> dict[str, Any]:
    """Return the settings as far as they are known before the exchange; raises ConfigError."""
    token = plan.token
    given = {**plan.kept, **plan.settings}
    if given.get("name", token.name) != token.name:
        raise ConfigError(f"the token is that of {token.name}, not of {given['name']}: leave --name away")
    if sends_in_clear(url) and not given.get("admin_plain_http"):
        raise ConfigError(
            f"{url} would carry secrets unencrypted: the admin needs a certificate (--tls-cert), or a proxy with "
            "one; where a tunnel encrypts the way, add --admin-plain-http"
        )
    pinned = token.tls_sha256 if url == token.url.rstrip("/") else ""
    settings = {
        **given,
        "name": token.name,
        "admin_url": url,
        "admin_fingerprint": str(plan.settings.get("admin_fingerprint") or pinned),
        "data_dir": str(plan.data_dir),
    }
    check_config(
        NodeConfig(**{"broker_public_key": _SOME_KEY, **settings, "secret": Secret("x")})  # the rest is known later
    )
    return settings


# --- the exchange ---------------------------------------------------------------------------------------------


def _pending(plan: Plan) -> _Pending:
    path = _pending_path(plan)
    digest = hashlib.sha256(plan.token.secret.encode()).hexdigest()
    if path.exists():
        try:
            pending = msgspec.json.decode(path.read_bytes(), type=_Pending)
        except msgspec.MsgspecError:
            pending = None
        if pending is not None and pending.token_sha256 == digest:
            return pending
    pair = make_keypair()
    pending = _Pending(digest, pair.secret.reveal(), secrets.token_urlsafe(32))
    write_file(path, msgspec.json.encode(pending), private=True)
    return pending


def _exchange(token: EnrolmentToken, url: str, pending: _Pending, settings: Mapping[str, Any]) -> _Answer:
    context = client_context(
        ca_file=str(settings.get("admin_ca", "")), fingerprint=str(settings["admin_fingerprint"])
    )
    body = {
        "token": token.secret,
        "publicKey": keypair_of(pending.private_key).public,
        "secretSha256": hashlib.sha256(pending.secret.encode()).hexdigest(),
    }
    try:
        # trust_env: a proxy of the host must not see the token.
        with httpx.Client(verify=context, timeout=ANSWER_S, trust_env=False) as client:
            response = client.post(f"{url}/api/v1/join", json=body)
    except httpx.HTTPError as error:
        untrusted = why_untrusted(error)
        if untrusted:
            raise JoinRefused(
                f"the certificate of {url} is not accepted ({untrusted}): the token was not sent; ask for another "
                "if the admin's certificate was changed"
            ) from None
        raise JoinUnavailable(
            f"the admin at {url} does not answer ({type(error).__name__}): is it running, and does this host reach "
            "it? The token can be used again"
        ) from None
    if response.is_success:
        try:
            return msgspec.json.decode(response.content, type=_Answer)
        except msgspec.MsgspecError:
            raise JoinRefused(f"{url} answered something else: is it the address of a doai admin?") from None
    why = _why(response)
    if response.is_server_error:
        raise JoinUnavailable(f"the admin at {url} can not do it now: {why}. The token can be used again")
    raise JoinRefused(why)


def _why(response: httpx.Response) -> str:
    try:
        problem: dict[str, Any] = msgspec.json.decode(response.content, type=dict[str, Any])
    except msgspec.MsgspecError:
        return f"{response.url} answered HTTP {response.status_code} without a reason: is it a doai admin?"
    return str(problem.get("detail") or problem.get("title") or f"HTTP {response.status_code}")[:500]


def _check_broker(token: EnrolmentToken, url: str, answer: _Answer) -> None:
    good = is_public_key(answer.broker_public_key) and key_sha256(answer.broker_public_key) == token.broker_sha256
    if not good or answer.name != token.name:
        raise JoinRefused(
            f"{url} names another broker than the token does: somebody may be in between, or the broker has a new "
            "key; nothing was written, ask for a new token"
        )


# --- what is written ------------------------------------------------------------------------------------------


def _pending_path(plan: Plan) -> Path:
    return plan.data_dir / "join.pending"


def _prepare(plan: Plan) -> list[Path]:
    """Make both folders and see that they can be written, before the token is used; return those that are new."""
    made = []
    for folder in (plan.config_path.parent, plan.data_dir):
        try:
            if not folder.exists():
                make_folder(folder)
                made.append(folder)
            probe = folder / f".doai-{os.getpid()}"
            write_file(probe, b"", private=True)
            remove_file(probe)
        except OSError as error:
            raise ConfigError(
                f"the folder {folder} can not be written: {error.strerror}; name another: --data-dir, --config"
            ) from error
    return made


def _tidy(plan: Plan, made: list[Path]) -> None:
    """Remove the folders that were made and are empty; what a later try needs stays."""
    for folder in dict.fromkeys(made):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _write(plan: Plan, settings: dict[str, Any], pending: _Pending, answer: _Answer) -> Joined:
    endpoint = _endpoint(answer.broker_endpoint, str(settings["admin_url"]))
    pair: KeyPair = keypair_of(pending.private_key)
    adb_home = ""
    if answer.adb_key and "adb_home" not in plan.settings:
        adb_home = str(plan.data_dir / "adb")
        make_folder(Path(adb_home, ".android"))
        write_file(Path(adb_home, ".android", "adbkey"), answer.adb_key.encode("ascii"), private=True)
        # What adb makes of a key that it finds: of the one before.
        Path(adb_home, ".android", "adbkey.pub").unlink(missing_ok=True)
        settings["adb_home"] = adb_home
    settings |= {
        "endpoint": plan.settings.get("endpoint", endpoint),
        "broker_public_key": answer.broker_public_key,
        "secret": pending.secret,
    }
    save_keypair(plan.data_dir / "keys" / "node.key", pair)
    write_file(plan.config_path, toml_of(settings).encode(), private=True)
    remove_file(_pending_path(plan))
    return Joined(name=answer.name, endpoint=settings["endpoint"], rotation=answer.rotation, adb_home=adb_home)


def _endpoint(endpoint: str, url: str) -> str:
    """Return where this host reaches the broker; the admin's own host is the host of its address."""
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    admin_host = urlsplit(url).hostname or ""
    own = host.strip("[]") in _ANYBODY or is_loopback(host.strip("[]"))
    if not own or is_loopback(admin_host):
        return endpoint
    return f"tcp://[{admin_host}]:{port}" if ":" in admin_host else f"tcp://{admin_host}:{port}"


def toml_of(settings: Mapping[str, Any]) -> str:
    """Return settings as a TOML file; JSON's texts, numbers and lists are TOML's."""
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in settings.items() if value != ""]
    return "\n".join(["# Written by bin/node --join.", *lines]) + "\n"
