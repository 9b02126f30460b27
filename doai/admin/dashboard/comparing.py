"""Two runs beside each other, phone by phone; they are picked among the runs, or on the page of one (step 14)."""

from __future__ import annotations

from collections import Counter
from typing import Final
from urllib.parse import urlencode

from litestar import Response, get
from litestar.response import Redirect

from doai.admin.access import VIEWER
from doai.admin.dashboard.visit import PageRequest, Visit, Visiting
from doai.admin.routes.reruns import compared, run_of
from doai.admin.run_comparison import Change, Compared
from doai.admin.translation import run_json
from doai.admin.views import RunJson

SHOWN: Final = 100
OTHERS: Final = 20
"""Runs of the same workflow that are offered beside one."""
ORDER: Final = (Change.WORSE, Change.OTHER, Change.GONE, Change.OPEN, Change.NEW, Change.BETTER, Change.SAME)
"""What a person looks for first."""
_RANK: Final = {change: rank for rank, change in enumerate(ORDER)}


@get("/runs/compare", opt={"needs": VIEWER})
async def compare_page(request: PageRequest, visit: Visiting) -> Response[str] | Redirect:
    """Both runs; or, until two are chosen, what there is to choose from."""
    first, second = visit.given("first"), visit.given("second")
    if first and second:
        return await _beside(visit, first, second)
    chosen = sorted({name[:64] for name in [*request.query_params.getall("run", []), first, second] if name})
    if len(chosen) == 2:  # ids grow with time
        return Redirect(f"/runs/compare?{urlencode({'first': chosen[0], 'second': chosen[1]})}", status_code=303)
    return await _choose(visit, chosen)


async def _choose(visit: Visit, chosen: list[str]) -> Response[str]:
    one = run_json(await run_of(visit.services, chosen[0]), None) if len(chosen) == 1 else None
    others: list[RunJson] = []
    for workflow in [one.workflow, None] if one is not None else [None]:  # of the same one, where there is another
        page = await visit.services.reader.runs(workflow=workflow, limit=OTHERS + 1)
        others = [run_json(view, None) for view in page.items if one is None or view.row.run_id != one.run_id]
        if others:
            break
    return await visit.page("runs_choose.html", one=one, others=others[:OTHERS], chosen=len(chosen))


async def _beside(visit: Visit, first: str, second: str) -> Response[str]:
    views = [await run_of(visit.services, first), await run_of(visit.services, second)]
    found = await compared(visit.services, *views)
    counts = Counter(each.change for each in found)
    wanted = visit.given("change")
    rows = sorted((each for each in found if wanted in ("", each.change.value)), key=_place)
    after = visit.given("after")
    begin = next((n + 1 for n, each in enumerate(rows) if each.serial == after), 0) if after else 0
    items = rows[begin : begin + SHOWN]
    return await visit.page(
        "runs_compare.html",
        runs=[run_json(view, None) for view in views],
        counts=[(change.value, counts[change]) for change in ORDER if counts[change]],
        wanted=wanted,
        items=items,
        following=items[-1].serial if begin + SHOWN < len(rows) else None,
    )


def _place(each: Compared) -> tuple[int, str]:
    return _RANK[each.change], each.serial
