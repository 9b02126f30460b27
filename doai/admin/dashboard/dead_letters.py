"""Dead letters: what gave up and waits for a person (step 14)."""

from __future__ import annotations

import shlex
from typing import Any, Final

from litestar import Response, get

from doai.admin.access import VIEWER
from doai.admin.dashboard.visit import Visiting
from doai.messages.dead_letters import LetterFilter
from doai.states import DeadLetterState

SHOWN: Final = 100
FILTERS: Final = ("code", "error_class", "workflow", "queue", "device", "node", "run_id", "bot")


@get("/dead", opt={"needs": VIEWER})
async def list_page(visit: Visiting) -> Response[str]:
    """Newest first; all given filters hold."""
    letters = visit.services.reader.dead_letters
    given = visit.given("state")
    state = DeadLetterState(given) if given in {each.value for each in DeadLetterState} else DeadLetterState.OPEN
    page = await letters.page(which_of(visit.query), state=state, cursor=visit.given("after") or None, limit=SHOWN)
    return await visit.page(
        "dead.html",
        items=page.items,
        following=page.next_cursor,
        open_count=await letters.count_open(),
        flags=flags_of(visit.query),
        state=state.value,
        filters={name: visit.given(name) for name in FILTERS},
        states=[each.value for each in DeadLetterState],
    )


def flags_of(fields: dict[str, str]) -> str:
    """Return what `doai dead` takes for the letters that the fields of an address or a form mean."""
    given = {name: fields.get(name, "").strip()[:200] for name in FILTERS}
    flags = {name.removesuffix("_id").replace("_", "-"): value for name, value in given.items() if value}
    return "".join(f" --{flag} {shlex.quote(value)}" for flag, value in flags.items())


def which_of(fields: dict[str, str]) -> LetterFilter:
    """Return the letters that the fields of an address or a form mean."""
    given: dict[str, Any] = {name: fields.get(name, "").strip()[:200] for name in FILTERS}
    return LetterFilter(**given)
