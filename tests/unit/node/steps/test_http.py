"""http.request against a real server: statuses, bodies, bounds, and errors that tell no secret."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
import trio

from doai.errors import ErrorClass
from doai.node.steps.http import RESPONSE_BYTES_MAX


class Server:
    """Answers every request with what it is told to, and keeps the requests."""

    def __init__(self) -> None:
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        self.requests: list[bytes] = []
        self.url = ""

    async def serve(self, stream: trio.SocketStream) -> None:
        seen = b""
        async with stream:
            async for data in stream:
                seen += data
                head, blank, body = seen.partition(b"\r\n\r\n")
                lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                if blank and len(body) >= (int(lengths[0].split(b":")[1]) if lengths else 0):
                    break
            self.requests.append(seen)
            await stream.send_all(self.answer)

    def say(self, status: int, body: bytes, kind: str = "application/json") -> None:
        head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        self.answer = head.encode() + body


@pytest.fixture
async def server(nursery: trio.Nursery) -> AsyncIterator[Server]:
    made = Server()
    listeners = await nursery.start(partial(trio.serve_tcp, made.serve, 0, host="127.0.0.1"))
    made.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/way?key=private"
    yield made
    nursery.cancel_scope.cancel()


@pytest.fixture
def bench(scripted: Any) -> Any:
    return scripted({})


async def test_json_goes_and_comes(server: Server, bench: Any) -> None:
    server.say(201, b'{"id": 7}')
    done = await bench.do("http.request", url=server.url, method="POST", json={"a": None}, headers={"X-A": "b"})
    assert (done.status, done.json, done.text) == (201, {"id": 7}, '{"id": 7}')
    assert server.requests[0].startswith(b"POST /way?key=private HTTP/1.1\r\n")
    assert b'\r\n\r\n{"a":null}' in server.requests[0]
    assert b"Content-Type: application/json" in server.requests[0]
    assert b"X-A: b" in server.requests[0]


async def test_text_stays_text(server: Server, bench: Any) -> None:
    server.say(200, b"\xb0\xa1", "text/plain; charset=euc-kr")
    done = await bench.do("http.request", url=server.url, method="PUT", body="가")
    assert (done.text, done.json) == ("가", None)
    server.say(200, b"x", "text/plain; charset=nobody-knows")
    assert (await bench.do("http.request", url=server.url)).text == "x"


@pytest.mark.parametrize(
    ("status", "error_class"),
    [
        (302, ErrorClass.APP),
        (401, ErrorClass.AUTH),
        (403, ErrorClass.AUTH),
        (404, ErrorClass.APP),
        (429, ErrorClass.RATE_LIMIT),
        (503, ErrorClass.INFRASTRUCTURE),
    ],
)
async def test_statuses_become_error_classes(
    server: Server, bench: Any, status: int, error_class: ErrorClass
) -> None:
    server.say(status, b"")
    error = await bench.fail("http.request", url=server.url)
    assert (error.failure.error_class, error.code) == (error_class, f"http_{status}")
    assert "private" not in str(error)
    assert (await bench.do("http.request", url=server.url, statuses=[200, status])).status == status


async def test_an_answer_is_bounded(server: Server, bench: Any) -> None:
    server.say(200, b"x" * (RESPONSE_BYTES_MAX + 1))
    assert (await bench.fail("http.request", url=server.url)).code == "answer_too_large"


async def test_no_answer_is_the_infrastructure(server: Server, bench: Any) -> None:
    server.answer = b""
    error = await bench.fail("http.request", url=server.url)
    assert (error.failure.error_class, error.code) == (ErrorClass.INFRASTRUCTURE, "no_answer")
    assert "private" not in str(error)


@pytest.mark.parametrize(
    "arguments",
    [{"headers": {"X": "a\r\nb"}}, {"headers": {"X": "한"}}, {"url": "http://[::1:7/"}, {"url": "http://a:b/"}],
)
async def test_what_is_no_request_is_the_users(server: Server, bench: Any, arguments: dict[str, Any]) -> None:
    error = await bench.fail("http.request", **{"url": server.url, **arguments})
    assert (error.failure.error_class, error.code) == (ErrorClass.USER, "bad_request")


async def test_two_bodies_are_one_too_many(server: Server, bench: Any) -> None:
    assert (await bench.fail("http.request", url=server.url, json=1, body="1")).code == "two_bodies"
