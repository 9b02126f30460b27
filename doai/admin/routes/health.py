"""Whether the admin lives, and whether it can serve; open to everyone, so they say little (all steps)."""

from __future__ import annotations

from litestar import Response, get

from doai import __version__
from doai.admin import examples
from doai.admin.problems import ProblemDocument, problem_response
from doai.admin.routes.parameters import Given
from doai.admin.views import View
from doai.errors import Fault, StoreUnavailable


class Health(View, frozen=True, kw_only=True):
    """The process answers."""

    status: str
    version: str


class Ready(View, frozen=True, kw_only=True):
    """The store can be read and the broker knows this admin."""

    status: str
    position: int
    """Newest position of the event log."""


@get(
    "/healthz",
    tags=["health"],
    summary="Whether the process answers",
    security=[{}],
    responses=examples.answer(200, Health, Health(status="alive", version="0.1.0"), "It does.", usual=()),
)
async def healthz() -> Health:
    """Says nothing of the broker: a supervisor must not restart the admin because the broker is away."""
    return Health(status="alive", version=__version__)


@get(
    "/readyz",
    tags=["health"],
    summary="Whether requests can be served",
    security=[{}],
    responses=examples.answer(200, Ready, Ready(status="ready", position=1042), "They can.", usual=(503,)),
)
async def readyz(services: Given) -> Response[Ready] | Response[ProblemDocument]:
    """503 with every reason."""
    reasons = []
    position = 0
    try:
        position = await services.reader.last_position()
    except StoreUnavailable as error:
        reasons.append(str(error))
    if services.mesh.why_not_live:
        reasons.append(services.mesh.why_not_live)
    if reasons:
        return problem_response(503, "not_ready", Fault.OURS, reasons[0], details=reasons)
    return Response(Ready(status="ready", position=position))
