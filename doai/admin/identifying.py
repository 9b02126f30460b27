"""Phones that show which they are: a run of its own, so that nothing else has them meanwhile (step 1)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from doai.admin.access import Caller
from doai.admin.routes.parameters import not_found
from doai.admin.services import Done, Services
from doai.messages.commands import CreateRun, StoreWorkflow, TargetKind, Targets

RECIPE: Final = "identify"
RECIPE_OF_EACH: Final = "identify-each"
PRIORITY: Final = 1000
"""A person stands before the shelf: it goes before what waits in its queue."""
BEGIN_WITHIN_S: Final = 300.0
"""After this long nobody waits any more."""
SECONDS: Final = 30
"""So long it is shown unless somebody says otherwise."""
TEXT_MAX: Final = 200
BEFORE_MAX: Final = 56
"""Of the text before a serial: the recipe takes 60, with what parts the two."""
_RECIPES: Final = Path(__file__).resolve().parents[2] / "workflows"


async def identify_each(
    services: Services, caller: Caller, serials: list[str], *, before: str, idempotency_key: str | None = None
) -> Done:
    """Make the run in which each of them shows its own serial, behind a text if one is given."""
    before = before.strip()[:BEFORE_MAX]
    params = {"before": f"{before} · " if before else "", "seconds": SECONDS}
    return await _run(services, caller, RECIPE_OF_EACH, serials, params, idempotency_key)


async def identify_one(
    services: Services,
    caller: Caller,
    serial: str,
    *,
    text: str = "",
    seconds: int = SECONDS,
    idempotency_key: str | None = None,
) -> tuple[Done, str]:
    """Have one show a text, else its label and shelf, else its serial; returns the run and what it shows.

    Raises NotFoundError.
    """
    view = await services.reader.device(serial)
    if view is None:
        raise not_found("device", serial, "devices")
    said = view.row.description
    label = " · ".join(part for part in (said.label, said.shelf) if part) if said is not None else ""
    text = text.strip() or label or serial
    params = {"text": text[:TEXT_MAX], "seconds": seconds}
    done = await _run(services, caller, RECIPE, [serial], params, idempotency_key)
    return done, text


async def _run(
    services: Services,
    caller: Caller,
    recipe: str,
    serials: list[str],
    params: dict[str, object],
    idempotency_key: str | None,
) -> Done:
    """The recipe is stored where it is not known yet."""
    if await services.reader.workflow(recipe) is None:
        source = (_RECIPES / f"{recipe}.yaml").read_text(encoding="utf-8")
        await services.command_of(caller, StoreWorkflow(source=source), "workflow/new")
    command = CreateRun(
        workflow=recipe,
        targets=Targets(kind=TargetKind.DEVICES, serials=serials),
        params=params,
        priority=PRIORITY,
        expires_in_s=BEGIN_WITHIN_S,
    )
    return await services.command_of(caller, command, f"workflow/{recipe}", idempotency_key=idempotency_key)
