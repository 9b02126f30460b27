"""The token that a node joins with: where the admin is, how to know it and the broker, what to show (step 1).

``doai-join-`` and base64url of JSON. Whoever has it may join in the node's place: it is shown once, used once,
and expires. What it pins travels with the person who copies it, so that nobody in between can stand in for either.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final

import msgspec

from doai.errors import UserError
from doai.tls import is_http_url

PREFIX: Final = "doai-join-"
CHARACTERS_MAX: Final = 2048


class BadToken(UserError):
    """The text is no token."""

    code = "bad_token"


class EnrolmentToken(
    msgspec.Struct, frozen=True, kw_only=True, rename={"broker_sha256": "broker", "tls_sha256": "tls"}
):
    """What is in a token."""

    name: str
    """Of the node."""
    url: str
    """Of the admin."""
    secret: str
    """To be shown to the admin, which knows its hash."""
    broker_sha256: str
    """Hash of the broker's public key, hexadecimal."""
    tls_sha256: str = ""
    """Hash of the admin's certificate; empty = it is checked with the system's authorities, or there is none."""

    def __repr__(self) -> str:
        return f"EnrolmentToken(name={self.name!r}, url={self.url!r}, secret=***)"


def key_sha256(public_key: str) -> str:
    """Return by what a token knows the broker's public key."""
    return hashlib.sha256(public_key.encode("ascii")).hexdigest()


def write_token(token: EnrolmentToken) -> str:
    """Return the token as text to copy."""
    return PREFIX + base64.urlsafe_b64encode(msgspec.json.encode(token)).decode("ascii").rstrip("=")


def read_token(text: str) -> EnrolmentToken:
    """Return what is in a token; raises BadToken, without a word of the text in it."""
    text = text.strip()
    if not text.startswith(PREFIX) or len(text) > CHARACTERS_MAX:
        raise BadToken(
            f"this is no token to join with: it begins with {PREFIX}; `doai nodes enroll NAME` makes one"
        )
    data = text.removeprefix(PREFIX)
    try:
        decoded = base64.b64decode(data + "=" * (-len(data) % 4), altchars=b"-_", validate=True)
        token = msgspec.json.decode(decoded, type=EnrolmentToken)
    except (binascii.Error, ValueError):  # msgspec's errors are ValueErrors too
        raise BadToken("this token is damaged: copy the whole of it, from doai-join- to its end") from None
    if not is_http_url(token.url) or not token.name:
        raise BadToken("this token names no address to join at: ask for a new one")
    return token
