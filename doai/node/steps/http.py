"""http.request: what other programs offer over HTTP, as a step that needs no device (step 8)."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import msgspec
import trio

from doai.errors import ErrorClass
from doai.node.steps.base import StepContext, step_failed
from doai.workflow.host_steps import Request, RequestOutputs

RESPONSE_BYTES_MAX: Final = 256 * 1024
"""Of an answer: it is held in memory with the task's other outputs."""
CONNECT_S: Final = 10.0
"""For the connection; the answer may take as long as the step's timeout."""
_CLASSES: Final = {401: ErrorClass.AUTH, 403: ErrorClass.AUTH, 429: ErrorClass.RATE_LIMIT}


async def request(arguments: Request, context: StepContext) -> RequestOutputs:
    """Send a request and wait for the answer. Messages name the host only: the rest of an address may hold keys."""
    if arguments.body is not None and arguments.json is not msgspec.UNSET:
        raise step_failed(ErrorClass.USER, "two_bodies", "The request has both json and body: give one of them.")
    began = trio.current_time()
    host = _host(arguments.url)
    headers = dict(arguments.headers)
    content = arguments.body.encode() if arguments.body is not None else None
    if arguments.json is not msgspec.UNSET:
        content = msgspec.json.encode(arguments.json)
        if not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = "application/json"
    try:
        async with (
            httpx.AsyncClient(timeout=httpx.Timeout(None, connect=CONNECT_S), trust_env=False) as client,
            client.stream(arguments.method, arguments.url, headers=headers, content=content) as response,
        ):
            data = await _body(response, host)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError, ValueError) as error:
        raise step_failed(
            ErrorClass.USER,
            "bad_request",
            f"No such request can be sent to {host} ({type(error).__name__}): correct its address or its headers.",
        ) from None
    except httpx.HTTPError as error:
        raise step_failed(
            ErrorClass.INFRASTRUCTURE,
            "no_answer",
            f"{host} gave no answer ({type(error).__name__}): check that it runs and that this node reaches it.",
        ) from None
    _check_status(response.status_code, arguments.statuses, host)
    return RequestOutputs(
        status=response.status_code,
        text=_text(data, response.charset_encoding),
        json=_json(data),
        elapsed_ms=round((trio.current_time() - began) * 1000),
    )


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or "the host"
    except ValueError:
        return "the host"


async def _body(response: httpx.Response, host: str) -> bytes:
    data = bytearray()
    # Cancelled, not left: httpx's generators are closed in order then.
    with trio.CancelScope() as scope:
        async for piece in response.aiter_bytes():
            data += piece
            if len(data) > RESPONSE_BYTES_MAX:
                scope.cancel()
    if len(data) > RESPONSE_BYTES_MAX:
        raise step_failed(
            ErrorClass.USER,
            "answer_too_large",
            f"The answer of {host} has more than {RESPONSE_BYTES_MAX // 1024} KiB: ask it for less.",
        )
    return bytes(data)


def _check_status(status: int, wanted: list[int], host: str) -> None:
    if status in wanted or (not wanted and 200 <= status <= 299):
        return
    expected = ", ".join(str(code) for code in wanted[:10]) or "200-299"
    error_class = _CLASSES.get(status, ErrorClass.INFRASTRUCTURE if status >= 500 else ErrorClass.APP)
    raise step_failed(error_class, f"http_{status}", f"{host} answered with status {status} (expected {expected}).")


def _text(data: bytes, charset: str | None) -> str:
    try:
        return data.decode(charset or "utf-8", "replace")
    except LookupError:  # a name that nobody knows
        return data.decode("utf-8", "replace")


def _json(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
