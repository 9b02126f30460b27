"""Baselines of screens: a picture becomes the next version of what it was compared with (steps 2 and 14)."""

from __future__ import annotations

import logging
from typing import Annotated, Final

import msgspec
from litestar import Response, post
from litestar.openapi.spec import Example
from litestar.params import Body

from doai.admin import examples
from doai.admin.access import AUTHOR, Caller
from doai.admin.comparisons import Comparison, Wanted, failed_comparisons, first_of_each
from doai.admin.receiving import Announced
from doai.admin.routes.parameters import AnyRequest, Given, Who, not_found
from doai.admin.services import Services
from doai.admin.steps import step_tries
from doai.admin.storing import About, store_file
from doai.admin.translation import file_json
from doai.admin.views import FileJson, StepJson, View
from doai.artifact_path import BadArtifactPathError, parse_artifact_path
from doai.changes.rows import ArtifactRow
from doai.errors import ConflictError, UserError
from doai.file_reference import FileName

MEDIA_TYPE: Final = "image/png"
_TASKS_READ: Final = 100
"""Whose steps are read at once."""
_log: Final = logging.getLogger(__name__)


class NewBaselines(View, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of which failed comparisons the pictures are right; one of runId and taskId is needed."""

    run_id: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    task_id: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    device_serial: Annotated[str, msgspec.Meta(max_length=127)] | None = None
    steps: Annotated[list[Annotated[str, msgspec.Meta(max_length=600)]], msgspec.Meta(max_length=100)] = []
    """Ids, with the steps around them as ``login/home``; empty = all."""


class PictureJson(View, frozen=True, kw_only=True):
    """A picture that a comparison took."""

    name: str
    """Of the baseline that it is compared with."""
    artifact: str
    """Its path."""
    task_id: str
    step_id: str
    device_serial: str


class AcceptedJson(View, frozen=True, kw_only=True):
    """A picture that is a baseline now."""

    picture: PictureJson
    file: FileJson
    new: bool
    """False: these bytes were its newest version already."""
    asked_for: str | None
    """What the workflow names as the baseline; with a version in it, it goes on to compare with that one."""


class AcceptedBaselines(View, frozen=True, kw_only=True):
    """What was taken, and what was not because another picture is its baseline now."""

    accepted: list[AcceptedJson]
    others: list[PictureJson]


_PICTURE: Final = PictureJson(
    name="baseline/login/home/Pixel-7-1080x2400",
    artifact=examples.ARTIFACT_PATH,
    task_id=examples.TASK_ID,
    step_id="home",
    device_serial="R58M12ABCDE",
)
_EXAMPLE: Final = AcceptedBaselines(
    accepted=[AcceptedJson(picture=_PICTURE, file=examples.FILE, new=True, asked_for=None)], others=[]
)
_BODY = Annotated[NewBaselines, Body(examples=[Example(value={"runId": examples.RUN_ID, "steps": ["home"]})])]


@post(
    "/baselines",
    status_code=200,
    opt={"needs": AUTHOR},
    tags=["files"],
    summary="Accept pictures of failed comparisons as baselines",
    responses=examples.answer(
        200, AcceptedBaselines, _EXAMPLE, "The next run compares with them.", problems=(404, 409, 422, 507)
    ),
)
async def accept_baselines(
    data: _BODY, request: AnyRequest, services: Given, caller: Who
) -> Response[AcceptedBaselines]:
    """Of several devices that share a baseline the first is taken. Again: nothing new."""
    run_id, of = await _run_of(services, data)
    wanted = Wanted(task_id=data.task_id, device_serial=data.device_serial, steps=data.steps)
    chosen, others = first_of_each(failed_comparisons(await _steps(services, run_id), wanted, of))
    pictures = [(comparison, await _picture(services, comparison)) for comparison in chosen]
    base = str(request.base_url).rstrip("/") + "/api/v1"
    accepted: list[AcceptedJson] = []
    headers: dict[str, str] = {}
    for comparison, row in pictures:
        taken, headers = await _accept(services, caller, comparison, row, base)
        accepted.append(taken)
    return Response(AcceptedBaselines(accepted=accepted, others=[_shown(o) for o in others]), headers=headers)


async def _run_of(services: Services, data: NewBaselines) -> tuple[str, str]:
    """Return the run's id, and what a sentence calls where pictures are looked for."""
    if (data.run_id is None) == (data.task_id is None):
        raise UserError("say of what: give either runId or taskId", code="bad_request")
    if data.task_id is not None:
        task = await services.reader.task(data.task_id)
        if task is None:
            raise not_found("task", data.task_id, "tasks")
        return task.row.run_id, f"task {data.task_id}"
    assert data.run_id is not None
    if await services.reader.run(data.run_id) is None:
        raise not_found("run", data.run_id, "runs")
    return data.run_id, f"run {data.run_id}"


async def _steps(services: Services, run_id: str) -> list[StepJson]:
    found: list[StepJson] = []
    cursor: str | None = None
    while True:
        events, cursor = await services.reader.steps_of_run(run_id, cursor=cursor, limit=_TASKS_READ)
        found += step_tries(events)
        if cursor is None:
            return found


async def _picture(services: Services, comparison: Comparison) -> ArtifactRow:
    """Return the stored picture; raises ConflictError when it is not there yet, or can not be this baseline."""
    where = f"of step {comparison.step_id} on {comparison.device_serial}"
    try:
        row = await services.reader.artifact(str(parse_artifact_path(comparison.artifact)))
    except BadArtifactPathError:
        row = None
    if row is None or row.task_id != comparison.task_id:
        raise ConflictError(
            f"the picture {where} has not arrived: its node sends it as soon as it can; accept it then",
            code="picture_not_stored",
        )
    known = await services.reader.files(name=comparison.name)
    if row.media_type != MEDIA_TYPE or (known and known[-1].media_type != MEDIA_TYPE):
        raise ConflictError(
            f"{comparison.name} is no picture, or what was taken {where} is none: name another baseline",
            code="not_a_picture",
        )
    return row


async def _accept(
    services: Services, caller: Caller, comparison: Comparison, row: ArtifactRow, base: str
) -> tuple[AcceptedJson, dict[str, str]]:
    path = parse_artifact_path(row.path)
    await services.artifacts.size_of(path)  # says so when the file is gone from the disk
    about = About(name=FileName(comparison.name, None), media_type=MEDIA_TYPE, origin=f"artifact {row.path}")
    announced = Announced(sha256=row.sha256, size_bytes=row.size_bytes)
    done = await store_file(services, caller, about, announced, services.artifacts.read(path))
    [stored] = await services.reader.files(name=comparison.name, version=done.result.version)
    _log.info("baseline accepted: %s@%s from %s", stored.name, stored.version, row.path)
    accepted = AcceptedJson(
        picture=_shown(comparison),
        file=file_json(stored, newest=True, base=base),
        new=done.result.new,
        asked_for=comparison.asked_for or None,
    )
    return accepted, done.headers


def _shown(comparison: Comparison) -> PictureJson:
    return PictureJson(
        name=comparison.name,
        artifact=comparison.artifact,
        task_id=comparison.task_id,
        step_id=comparison.step_id,
        device_serial=comparison.device_serial,
    )
