"""A phone that shows which one it is (step 1)."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from litestar import Response, post
from litestar.openapi.spec import Example
from litestar.params import Body, FromPath

from doai.admin import examples, identifying
from doai.admin.access import OPERATOR
from doai.admin.routes.parameters import Given, IdempotencyKey, Who
from doai.admin.views import View


class IdentifyWish(View, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What it shows, and how long."""

    text: Annotated[str, msgspec.Meta(max_length=identifying.TEXT_MAX)] = ""
    """Empty = its label and shelf, else its serial."""
    seconds: Annotated[int, msgspec.Meta(ge=1, le=600)] = identifying.SECONDS


class IdentifyRun(View, frozen=True, kw_only=True):
    """The run that does it: while it lasts nothing else has the phone; cancelled, everything is as before."""

    run_id: str
    text: str
    seconds: int


_BODY = Annotated[IdentifyWish | None, Body(examples=[Example(value={"text": "Galaxy 7", "seconds": 30})])]
_RUN: Final = IdentifyRun(run_id=examples.RUN_ID, text="Galaxy 7 · A3-12", seconds=30)


@post(
    "/devices/{serial:str}/identify",
    opt={"needs": OPERATOR},
    tags=["fleet"],
    summary="Have a device show which one it is",
    responses=examples.answer(201, IdentifyRun, _RUN, "A run was made for it.", problems=(404, 409, 422)),
)
async def identify_device(
    serial: FromPath[str], services: Given, caller: Who, data: _BODY = None, idempotency_key: IdempotencyKey = None
) -> Response[IdentifyRun]:
    """It lights its screen and shows a text, before what waits for it; not begun in 5 minutes, it ends."""
    wish = data or IdentifyWish()
    done, text = await identifying.identify_one(
        services, caller, serial, text=wish.text, seconds=wish.seconds, idempotency_key=idempotency_key
    )
    answer = IdentifyRun(run_id=done.result.run_id, text=text, seconds=wish.seconds)
    return Response(answer, headers=done.headers)
