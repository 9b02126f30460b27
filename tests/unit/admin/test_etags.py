"""Answers of the API have an ETag, and one that the client has already is not sent again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from doai.admin.etags import BODY_BYTES_MAX, answer_with_etags

JSON = [(b"content-type", b"application/json"), (b"content-length", b"2")]


def ask(
    parts: list[bytes], *, path: str = "/api/v1/runs", method: str = "GET", status: int = 200, headers: Any = JSON,
    known: bytes = b"",
) -> tuple[int, dict[bytes, bytes], bytes]:  # fmt: skip
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        for n, part in enumerate(parts):
            await send({"type": "http.response.body", "body": part, "more_body": n + 1 < len(parts)})

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is received")

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [(b"if-none-match", known)] if known else [],
    }
    asyncio.run(answer_with_etags(app)(scope, receive, send))  # type: ignore[arg-type]
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(each["body"] for each in sent[1:])


def test_what_is_known_already_is_not_sent_again() -> None:
    status, headers, body = ask([b"{}"])
    assert (status, body) == (200, b"{}")
    etag = headers[b"etag"]
    status, headers, body = ask([b"{}"], known=b'"other", ' + etag)
    assert (status, headers[b"etag"], body) == (304, etag, b"")
    assert b"content-length" not in headers
    assert ask([b"[]"], known=etag)[0] == 200, "another answer is sent"


@pytest.mark.parametrize(
    "other",
    [
        {"path": "/devices"},
        {"method": "POST"},
        {"status": 404},
        {"headers": [(b"content-type", b"text/event-stream")]},
        {"headers": [*JSON, (b"etag", b'"own"')]},
    ],
)
def test_whatever_else_is_sent_as_it_is(other: dict[str, Any]) -> None:
    _, headers, body = ask([b"{}"], **other)
    assert headers.get(b"etag", b'"own"') == b'"own"'
    assert body == b"{}"


def test_the_map_of_devices_has_one_too() -> None:
    path = "/devices/map.json"
    etag = ask([b"{}"], path=path)[1][b"etag"]
    assert ask([b"{}"], path=path, known=etag)[0] == 304


def test_what_comes_in_parts_or_is_large_is_not_held_back() -> None:
    assert b"etag" not in ask([b"{", b"}"])[1]
    assert b"etag" not in ask([b"x" * (BODY_BYTES_MAX + 1)])[1]
