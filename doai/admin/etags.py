"""Answers that a client has already are not sent again: an ETag of their bytes, and 304 (step 14)."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

BODY_BYTES_MAX: Final = 4 * 1024 * 1024
"""A larger answer is sent as it comes."""
_PREFIXES: Final = ("/api/v1/", "/devices/map.json")
"""The API, and what the map of devices is drawn from; pages have one of their own that leaves the moment out."""
_JSON: Final = b"application/json"


def answer_with_etags(app: ASGIApp) -> ASGIApp:
    """Wrap an application so that JSON answers to a GET of `_PREFIXES` have an ETag, and If-None-Match is heard."""

    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["method"] != "GET" or not scope["path"].startswith(_PREFIXES):
            await app(scope, receive, send)
            return
        known = next((value for name, value in scope["headers"] if name == b"if-none-match"), b"")
        started: Any = None

        async def note(told: Message) -> None:
            nonlocal started
            message: Any = told
            if message["type"] == "http.response.start" and _is_json(message):
                started = message
                return
            if started is None or message["type"] != "http.response.body":
                await send(message)
                return
            begun, started = started, None
            body = message.get("body", b"")
            if not message.get("more_body", False) and len(body) <= BODY_BYTES_MAX:
                etag = b'"%b"' % hashlib.sha256(body).hexdigest()[:32].encode()
                if etag in (word.strip() for word in known.split(b",")):
                    headers = [(name, value) for name, value in begun["headers"] if name != b"content-length"]
                    begun, message = {**begun, "status": 304, "headers": headers}, {**message, "body": b""}
                begun = {**begun, "headers": [*begun["headers"], (b"etag", etag)]}
            await send(begun)
            await send(message)

        await app(scope, receive, note)

    return answering


def _is_json(message: Any) -> bool:
    headers = dict(message.get("headers", []))
    kind = headers.get(b"content-type", b"").partition(b";")[0]
    return bool(message.get("status") == 200 and kind == _JSON and b"etag" not in headers)
