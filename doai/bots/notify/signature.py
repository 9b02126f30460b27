"""Signatures of webhooks as Standard Webhooks has them: HMAC-SHA256 over id, time and body (step 14).

Headers: ``webhook-id``, the same at every try; ``webhook-timestamp``, seconds since 1970 of this try;
``webhook-signature``, ``v1,`` and the Base64 of HMAC-SHA256 over ``ID.TIMESTAMP.BODY``. A receiver refuses another
signature and a time that is more than five minutes off, and drops an id that it has seen.
Source: https://www.standardwebhooks.com
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final

from doai.errors import UserError

PREFIX: Final = "whsec_"
"""Begins a key whose rest is Base64; without it the text itself is the key."""
KEY_BYTES_MIN: Final = 16


def headers_of(key: str, message_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """Return the three headers; raises UserError for a text that can be no key, without showing it."""
    signed = f"{message_id}.{at_s}.".encode() + body
    digest = hmac.new(_key_bytes(key), signed, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": "v1," + base64.b64encode(digest).decode("ascii"),
    }


def _key_bytes(key: str) -> bytes:
    if not key.startswith(PREFIX):
        found = key.encode()
    else:
        try:
            found = base64.b64decode(key.removeprefix(PREFIX), validate=True)
        except binascii.Error:
            raise UserError(
                f"the key of the webhook begins with {PREFIX}, and what follows is no Base64", code="bad_key"
            ) from None
    if len(found) < KEY_BYTES_MIN:
        raise UserError(f"the key of the webhook is shorter than {KEY_BYTES_MIN} bytes: it can be guessed")
    return found
