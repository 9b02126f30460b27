"""Secrets that the admin hands to a bot because its configuration names them (step 14).

``GET {admin_url}/api/v1/bots/{bot}/secrets/{name}`` with the bot's own secret. Values are kept in memory only.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Final

import msgspec
import trio

from doai.bots.errors import SecretMissing
from doai.tls import why_untrusted

FRESH_S: Final = 60.0
"""So long a value is used again without asking: one that an operator changes is used after this."""
ANSWER_S: Final = 10.0


class _Answer(msgspec.Struct):
    value: str


class AdminSecrets:
    """Asks the admin over HTTP; while that does not answer, the value of before is good."""

    def __init__(
        self,
        admin_url: str,
        bot: str,
        secret: str,
        tls: ssl.SSLContext | None = None,
        now_s: Callable[[], float] = trio.current_time,
    ) -> None:
        """``tls`` verifies the admin's certificate; None = with the system's authorities."""
        self._base_url = f"{admin_url.rstrip('/')}/api/v1/bots/{bot}/secrets/"
        self._headers = {"X-Bot-Auth": secret}
        self._tls = tls or True
        self._now_s = now_s
        self._known: dict[str, tuple[float, str]] = {}

    async def secret(self, name: str) -> str:
        """Return a secret. Raises SecretMissing."""
        at_s, value = self._known.get(name, (0.0, ""))
        if name in self._known and self._now_s() < at_s + FRESH_S:
            return value
        answered, found = await self._ask(name)
        if answered:
            self._known[name] = self._now_s(), found
            return found
        if name in self._known:
            return value
        raise SecretMissing(found)

    async def _ask(self, name: str) -> tuple[bool, str]:
        """Return the value, or why there is none for now. Raises SecretMissing where the admin refuses it."""
        import httpx  # a bot that asks nothing does not wait for it

        # trust_env: a proxy of the host must see neither the bot's secret nor the one asked for.
        try:
            async with httpx.AsyncClient(verify=self._tls, timeout=ANSWER_S, trust_env=False) as client:
                response = await client.get(self._base_url + name, headers=self._headers)
        except httpx.HTTPError as error:
            why = why_untrusted(error) or type(error).__name__
            return False, f"the secret {name} can not be fetched: the admin does not answer ({why})"
        if response.is_success:
            try:
                return True, msgspec.json.decode(response.content, type=_Answer).value
            except msgspec.MsgspecError:
                return False, f"the secret {name} can not be fetched: the admin's answer can not be read"
        if response.is_server_error or response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            return False, f"the secret {name} can not be fetched: the admin answered HTTP {response.status_code}"
        self._known.pop(name, None)
        raise SecretMissing(f"the secret {name} is not given to this bot: {_why(response.content)}")


def _why(content: bytes) -> str:
    try:
        problem = msgspec.json.decode(content, type=dict[str, object])
    except msgspec.MsgspecError:
        return "the admin gave no reason"
    return str(problem.get("detail") or "the admin gave no reason")[:300]
