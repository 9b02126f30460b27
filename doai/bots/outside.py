"""What a bot asks for outside the mesh: the admin API, with the bot's own token, and secrets (step 14)."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import trio

from doai.bots.admin_secrets import AdminSecrets
from doai.bots.errors import SecretMissing
from doai.bots.results import QueryFailed
from doai.ids import is_name

if TYPE_CHECKING:
    import httpx

ANSWER_S: Final = 60.0
"""What is in a large app is known when all its bytes are read."""
KEPT_S: Final = 2.0
"""A connection that nobody used for so long is not used again: the admin ends its own after five."""
SECRET_BYTES_MAX: Final = 64 * 1024


class HostOutside:
    """The admin over HTTP, and a folder of this host that has a file for each secret."""

    def __init__(
        self,
        admin_url: str,
        token: str,
        tls: ssl.SSLContext | None = None,
        secrets_dir: Path | None = None,
        secrets: AdminSecrets | None = None,
    ) -> None:
        """An empty ``admin_url`` = there is none: every query says so. ``tls`` verifies its certificate.

        Secrets are looked for in ``secrets_dir``, then asked for from ``secrets``; None = there is no such place.
        """
        self._secrets = secrets
        self._admin_url = admin_url.rstrip("/")
        self._token = token
        self._tls = tls or True
        self._secrets_dir = secrets_dir
        self._client: httpx.AsyncClient | None = None

    async def aclose(self) -> None:
        """Close the connections to the admin."""
        if self._client is not None:
            await self._client.aclose()

    async def query(self, path: str, query: Mapping[str, object]) -> Any:
        """Return the JSON at a path below /api/v1. Raises QueryFailed."""
        if not self._admin_url:
            raise QueryFailed(
                "this bot has no admin_url, where queries are answered: set it, and api_token", status=501
            )
        import httpx  # a bot that asks nothing does not wait for it

        if self._client is None:
            # trust_env: a proxy of the host must not see the token.
            self._client = httpx.AsyncClient(
                verify=self._tls,
                timeout=ANSWER_S,
                trust_env=False,
                limits=httpx.Limits(keepalive_expiry=KEPT_S),
            )
        wanted = {name: str(value) for name, value in query.items() if value is not None}
        try:
            response = await self._client.get(
                f"{self._admin_url}/api/v1/{path.lstrip('/')}",
                params=wanted,
                headers={"Authorization": f"Bearer {self._token}"},
            )
        except httpx.HTTPError as error:
            raise QueryFailed(
                f"the admin at {self._admin_url} does not answer ({type(error).__name__}): is it running?"
            ) from None
        try:
            answer = msgspec.json.decode(response.content)
        except msgspec.DecodeError:
            raise QueryFailed(
                f"the answer of {self._admin_url} to {path} is no JSON", status=response.status_code
            ) from None
        if response.is_error:
            why = answer.get("detail") if isinstance(answer, dict) else None
            raise QueryFailed(
                f"GET {path} was refused (HTTP {response.status_code}): {why or 'no reason'}",
                status=response.status_code,
            )
        return answer

    async def secret(self, name: str) -> str:
        """Return the text of the secret's file without its last newline, or the admin's. Raises SecretMissing."""
        if not is_name(name.lower()):
            raise SecretMissing(
                f"a secret can not be called {name[:70]!r}: its name is 1-63 letters, digits, _ and -"
            )
        found = await self._in_file(name)
        if found is not None:
            return found
        if self._secrets is not None:
            return await self._secrets.secret(name)
        if self._secrets_dir is not None:
            raise SecretMissing(f"the secret {name} can not be read: there is no file {self._secrets_dir / name}")
        raise SecretMissing(
            f"the secret {name} has no place: set admin_url and secret, as `doai bots enroll` does, or secrets_dir"
        )

    async def _in_file(self, name: str) -> str | None:
        if self._secrets_dir is None:
            return None
        path = self._secrets_dir / name
        try:
            data = await trio.Path(path).read_bytes()
            return data[:SECRET_BYTES_MAX].decode().removesuffix("\n")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SecretMissing(f"the secret {name} can not be read from {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise SecretMissing(f"the secret {name} in {path} is no UTF-8 text") from None
