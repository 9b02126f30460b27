"""Phones that show which they are: a run of its own, so that nothing else has them meanwhile (step 1)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from doai.admin.access import Caller
from doai.admin.routes.parameters import not_found
from doai.admin.services import Done, Services
from doai.messages.commands import CreateRun, StoreWorkflow, TargetKind, Targets

RECIPE: Final = "identify"
PRIORITY: Final = 1000
"""A person stands before the shelf: it goes before what waits in its queue."""
BEGIN_WITHIN_S: Final = 300.0
"""After this long nobody waits any more."""
SECONDS: Final = 30
"""So long it is shown unless somebody says otherwise."""
TEXT_MAX: Final = 200
_RECIPES: Final = Path(__file__).resolve().parents[2] / "workflows"


async def identify(
    services: Services,
    caller: Caller,
    serials: list[str],
    *,
    text: str,
    seconds: int = SECONDS,
    idempotency_key: str | None = None,
) -> Done:
    """Make the run that lights their screens with a text; its recipe is stored where it is not known yet."""
    if await services.reader.workflow(RECIPE) is None:
        source = (_RECIPES / f"{RECIPE}.yaml").read_text(encoding="utf-8")
        await services.command_of(caller, StoreWorkflow(source=source), "workflow/new")
    command = CreateRun(
        workflow=RECIPE,
        targets=Targets(kind=TargetKind.DEVICES, serials=serials),
        params={"text": text[:TEXT_MAX], "seconds": seconds},
        priority=PRIORITY,
        expires_in_s=BEGIN_WITHIN_S,
    )
    return await services.command_of(caller, command, f"workflow/{RECIPE}", idempotency_key=idempotency_key)


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
    done = await identify(services, caller, [serial], text=text, seconds=seconds, idempotency_key=idempotency_key)
    return done, text
