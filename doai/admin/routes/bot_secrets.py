"""Secrets for bots: each is given those that its configuration names, as an operator set it (step 14)."""

from __future__ import annotations

import logging
from typing import Annotated, Final

import msgspec
from litestar import Response, get
from litestar.params import FromPath, HeaderParameter

from doai.admin import examples
from doai.admin.access import Forbidden, address_of, check_bot
from doai.admin.routes.parameters import AnyRequest, Given, now_ms
from doai.admin.views import View
from doai.errors import NotFoundError
from doai.secret_reference import secret_names

_NO_STORE: Final = {"Cache-Control": "no-store"}
_log: Final = logging.getLogger(__name__)


class BotSecret(View, frozen=True, kw_only=True):
    """A secret for a bot."""

    value: str


@get(
    "/api/v1/bots/{name:str}/secrets/{secret:str}",
    tags=["secrets"],
    summary="Get a secret that the configuration of a bot names (that bot only)",
    security=[{"botSecret": []}],
    responses=examples.answer(200, BotSecret, BotSecret(value="hunter2"), "The value.", problems=(404,)),
)
async def bot_secret(
    name: FromPath[str],
    secret: FromPath[str],
    request: AnyRequest,
    services: Given,
    auth: Annotated[str, HeaderParameter(name="X-Bot-Auth", max_length=500)] = "",
) -> Response[BotSecret]:
    """Only while its configuration has `${secret.NAME}`: the audit says who put it there, the log who fetches."""
    await check_bot(services.reader, name, auth)
    about = await services.reader.bots.one(name, now_ms())
    config = msgspec.json.decode(about.row.config_body) if about is not None else {}
    if secret not in set(secret_names(config)):
        raise Forbidden(
            f"the configuration of bot {name[:63]} does not name ${{secret.{secret[:63]}}}: an operator sets "
            f"it with `doai bots config {name[:63]} FILE`"
        )
    row = next((row for row in await services.reader.secrets() if row.name == secret), None)
    if row is None:
        raise NotFoundError(
            f"there is no secret {secret!r}: set it with `doai secrets set`", code="secret_not_found"
        )
    value = services.vault.decrypt(secret, row.ciphertext)
    _log.info("bot %s was given secret %s at %s", name, secret, address_of(request))
    return Response(BotSecret(value=value), headers=_NO_STORE)
