"""Secrets on the node: fetched for the task that names them, in memory while it lives, masked (step 8).

``GET {admin_url}/api/v1/tasks/{task}/secrets`` with the node's own secret and the task's token; the admin answers
only while the task is dispatched to this node.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, Final, Protocol

import httpx
import msgspec
import trio

from doai.errors import ErrorClass, StepError
from doai.ids import Token
from doai.node.mask import Mask
from doai.node.steps.base import step_failed
from doai.tls import why_untrusted
from doai.workflow.secret_text import has_secret, reveal

TRIES: Final = 3
PAUSES_S: Final = (1.0, 3.0)
"""Between tries: an admin that is just started again is back by then; an outage is the task's retry to bridge."""
ANSWER_S: Final = 10.0
_Attempt = tuple[str, Token]


class SecretSource(Protocol):
    """Where the values come from; `AdminSecrets` is one."""

    async def fetch(self, task_id: str, token: Token) -> Mapping[str, str]:
        """Return all secrets that the task's recipe names; raises StepError."""
        ...


class TaskSecrets:
    """The secrets of the attempts that run now."""

    def __init__(self, source: SecretSource | None) -> None:
        """Without a source there are none."""
        self._source = source
        self._values: dict[_Attempt, Mapping[str, str]] = {}
        self._masks: dict[_Attempt, Mask] = {}
        self._locks: dict[_Attempt, trio.Lock] = {}

    async def reveal(self, task_id: str, token: Token, arguments: Any) -> Any:
        """Return a step's arguments with every secret filled in; raises StepError."""
        if not has_secret(arguments):
            return arguments
        values = await self._get((task_id, token))
        try:
            return reveal(arguments, values)
        except KeyError as error:
            raise step_failed(
                ErrorClass.USER, "unknown_secret", f"There is no secret {error}: set it with `doai secrets set`."
            ) from None

    def mask(self, task_id: str, token: Token) -> Mask | None:
        """Return what masks the secrets that were fetched for an attempt; None when there were none."""
        return self._masks.get((task_id, token))

    def forget(self, task_id: str, token: Token) -> None:
        """The attempt has ended: nothing of its secrets stays."""
        for table in (self._values, self._masks, self._locks):
            table.pop((task_id, token), None)

    async def _get(self, attempt: _Attempt) -> Mapping[str, str]:
        async with self._locks.setdefault(attempt, trio.Lock()):
            values = self._values.get(attempt)
            if values is None:
                if self._source is None:
                    raise step_failed(
                        ErrorClass.INFRASTRUCTURE,
                        "no_secret_source",
                        "This node has no admin_url, from which the secrets of a task come: set it.",
                    )
                values = self._values[attempt] = await self._source.fetch(*attempt)
                self._masks[attempt] = Mask(values.values())
            return values


class _Answer(msgspec.Struct):
    values: dict[str, str]


class AdminSecrets:
    """Asks the admin over HTTP."""

    def __init__(self, admin_url: str, node_id: str, secret: str, tls: ssl.SSLContext | None = None) -> None:
        """``tls`` verifies the admin's certificate; None = with the system's authorities."""
        self._base_url = f"{admin_url.rstrip('/')}/api/v1/tasks/"
        self._headers = {"X-Node-Id": node_id, "X-Node-Auth": secret}
        self._tls = tls or True

    async def fetch(self, task_id: str, token: Token) -> Mapping[str, str]:
        """Return the secrets of a task; tries again for some seconds while the admin does not answer."""
        for pause_s in (*PAUSES_S, None):
            try:
                return await self._ask(task_id, token)
            except StepError as error:
                if error.failure.code != "secrets_unavailable" or pause_s is None:
                    raise
            await trio.sleep(pause_s)
        raise AssertionError("the last try returns or raises")

    async def _ask(self, task_id: str, token: Token) -> Mapping[str, str]:
        # trust_env: a proxy of the host must see neither the node's secret nor those of the task.
        try:
            async with httpx.AsyncClient(verify=self._tls, timeout=ANSWER_S, trust_env=False) as client:
                headers = {**self._headers, "X-Task-Token": str(token)}
                response = await client.get(f"{self._base_url}{task_id}/secrets", headers=headers)
        except httpx.HTTPError as error:
            why = why_untrusted(error) or type(error).__name__
            raise _unavailable(f"the admin does not answer ({why})") from None
        if response.status_code == httpx.codes.OK:
            try:
                return msgspec.json.decode(response.content, type=_Answer).values
            except msgspec.MsgspecError:
                raise _unavailable("the admin's answer can not be read") from None
        if response.status_code == httpx.codes.NOT_FOUND:
            raise step_failed(
                ErrorClass.USER, "unknown_secret", f"A secret of this task is missing: {_why(response)}."
            )
        if response.is_server_error or response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise _unavailable(f"the admin answered HTTP {response.status_code}: {_why(response)}")
        raise step_failed(
            ErrorClass.INFRASTRUCTURE,
            "secrets_refused",
            f"The admin gives this node no secrets (HTTP {response.status_code}): {_why(response)}.",
        )


def _unavailable(why: str) -> StepError:
    return step_failed(
        ErrorClass.INFRASTRUCTURE, "secrets_unavailable", f"The secrets of the task can not be fetched: {why}."
    )


def _why(response: httpx.Response) -> str:
    try:
        problem: dict[str, Any] = msgspec.json.decode(response.content, type=dict[str, Any])
    except msgspec.MsgspecError:
        return "it gave no reason"
    return str(problem.get("detail") or "it gave no reason")[:300].rstrip(".")
