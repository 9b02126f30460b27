"""How a node asks for the secrets of a task, and what it makes of the answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
import trio
import trio.testing

from doai.errors import ErrorClass, StepError
from doai.ids import Token
from doai.node.secrets import TRIES, AdminSecrets, TaskSecrets
from doai.workflow.templates import SecretName, SecretText

Answer = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer], list[httpx.Request]]:
    """Let a function be the admin; returns what it was asked."""

    def install(answer: Answer) -> list[httpx.Request]:
        requests: list[httpx.Request] = []
        real = httpx.AsyncClient

        def note(request: httpx.Request) -> httpx.Response:
            requests.append(request)
            return answer(request)

        def client(**options: Any) -> httpx.AsyncClient:
            assert options.pop("trust_env") is False
            options.pop("verify")
            return real(transport=httpx.MockTransport(note), **options)

        monkeypatch.setattr(httpx, "AsyncClient", client)
        return requests

    return install


SOURCE = AdminSecrets("http://127.0.0.1:7700/", "node-1", "its-own")


async def test_it_shows_who_it_is_and_which_attempt_it_has(asked: Any) -> None:
    requests = asked(lambda request: httpx.Response(200, json={"values": {"pin": "1234"}}))
    assert await SOURCE.fetch("T1", Token(2, 7)) == {"pin": "1234"}
    [request] = requests
    assert request.url == "http://127.0.0.1:7700/api/v1/tasks/T1/secrets"
    assert request.headers["X-Node-Id"] == "node-1"
    assert request.headers["X-Node-Auth"] == "its-own"
    assert request.headers["X-Task-Token"] == str(Token(2, 7))


@pytest.mark.parametrize(
    ("status", "error_class", "code", "tries"),
    [
        (404, ErrorClass.USER, "unknown_secret", 1),
        (403, ErrorClass.INFRASTRUCTURE, "secrets_refused", 1),
        (401, ErrorClass.INFRASTRUCTURE, "secrets_refused", 1),
        (503, ErrorClass.INFRASTRUCTURE, "secrets_unavailable", TRIES),
        (200, ErrorClass.INFRASTRUCTURE, "secrets_unavailable", TRIES),
    ],
)
async def test_each_refusal_has_its_class_and_only_an_admin_that_is_away_is_asked_again(
    asked: Any, autojump_clock: Any, status: int, error_class: ErrorClass, code: str, tries: int
) -> None:
    requests = asked(lambda request: httpx.Response(status, json={"detail": "because."}))
    with pytest.raises(StepError) as refused:
        await SOURCE.fetch("T1", Token(1, 1))
    assert (refused.value.failure.error_class, refused.value.failure.code) == (error_class, code)
    assert len(requests) == tries
    assert status == 200 or "because" in str(refused.value)


async def test_an_admin_that_comes_back_is_used(asked: Any, autojump_clock: Any) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if len(requests) < TRIES:
            raise httpx.ConnectError("refused")
        return httpx.Response(200, json={"values": {}})

    requests: list[httpx.Request] = asked(answer)
    assert await SOURCE.fetch("T1", Token(1, 1)) == {}


async def test_steps_of_one_task_that_run_at_once_ask_once() -> None:
    class Slow:
        asked = 0

        async def fetch(self, task_id: str, token: Token) -> dict[str, str]:
            self.asked += 1
            await trio.testing.wait_all_tasks_blocked()
            return {"pin": "1234"}

    source = Slow()
    secrets = TaskSecrets(source)
    got: list[Any] = []

    async def reveal() -> None:
        got.append(await secrets.reveal("T1", Token(1, 1), {"text": SecretText((SecretName("pin"),))}))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reveal)
        nursery.start_soon(reveal)
    assert got == [{"text": "1234"}] * 2
    assert source.asked == 1
    assert secrets.mask("T2", Token(1, 1)) is None
