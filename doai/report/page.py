"""A run as one HTML page that needs no network: matrix, causes, screenshots, parameters, story (step 14).

What devices, recipes and people wrote is escaped by the template; a policy in the page forbids
scripts and requests.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from datetime import datetime, tzinfo
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import msgspec

from doai.artifact_path import BadArtifactPathError, label_of, parse_artifact_path
from doai.report.pictures import MEDIA_TYPES, Fetch, Picture, embed
from doai.report.results import OPEN_STATES, Artifact, Failure, PlannedStep, Results, StepTry, Task, last_tries
from doai.report.words import LANGUAGES, duration

if TYPE_CHECKING:
    from jinja2 import Template

_GLYPHS: Final = {"passed": "✓", "failed": "✕", "skipped": "–", "started": "?", "optional": "!", "none": ""}
_DIGITS: Final = re.compile(r"\d+(\.\d+)?")
_OF_TRY: Final = re.compile(r"-\d+(-\d+)?$")
"""What a node adds to a name so that there is one of it: the try, and a number."""
_CLASS: Final = re.compile(r"[a-z]+")


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A step of the matrix."""

    step_id: str
    about: str
    section: str


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a step on a device; ``kind`` is a key of the glyphs."""

    kind: str
    glyph: str
    took: str
    about: str


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A device of the matrix."""

    task: Task
    took: str
    cells: list[Cell]


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks that did not pass for the same reason."""

    state: str
    kind: str
    """Class and code of the failure; empty where there is none."""
    step: str
    message: str
    """As one of them says it."""
    devices: list[str]


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A picture with what it is of."""

    picture: Picture
    target: str
    state: str
    name: str


def page(results: Results, fetch: Fetch, *, language: str, zone: tzinfo | None, picture_bytes_max: int) -> bytes:
    """Return the page; ``zone`` is that of the times in it, ``fetch`` is asked for one picture after the other."""
    words = LANGUAGES[language]
    columns = _columns(results, language)
    values: dict[str, Any] = {
        "r": results,
        "w": words,
        "language": language,
        "title": _translated(results.title, language),
        "outcome": results.run.outcome or results.run.state,
        "columns": columns,
        "rows": _rows(results, columns, words, language),
        "causes": causes(results),
        "shown": _shown(results, fetch, picture_bytes_max),
        "params": {name: _value(value) for name, value in results.run.params.items()},
        "glyphs": {kind: glyph for kind, glyph in _GLYPHS.items() if glyph},
        "took": duration(results.run.took_s, language),
        "made": _moment(results.run.created_at_ms, zone),
        "story": [(_told_at(line.at, zone), line.text) for line in results.story],
        "counts": sorted(results.run.counts.items(), key=lambda item: -item[1]),
        "is_open": results.run.outcome is None,
    }
    return _template().render(values).encode("utf-8", "replace")


@functools.cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined  # here, because only a page needs it

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    # A state becomes part of a class name: nothing else than its letters.
    environment.filters["css"] = lambda text: "".join(_CLASS.findall(str(text)))
    environment.filters["is_web"] = lambda text: str(text).startswith(("http://", "https://"))
    return environment.from_string(resources.files("doai.report").joinpath("page.html").read_text("utf-8"))


def causes(results: Results) -> list[Cause]:
    """Return why tasks did not pass, the most frequent first; numbers in a message do not make it another one."""
    found: dict[tuple[str, ...], list[Task]] = {}
    for task in results.tasks:
        if task.state == "passed" or task.state in OPEN_STATES:
            continue
        failure = task.failure or Failure(error_class="", code="", message=task.reason)
        message = _DIGITS.sub("0", failure.message.replace(task.target, ""))
        key = (task.state, failure.error_class, failure.code, failure.step or "", message)
        found.setdefault(key, []).append(task)
    ordered = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    return [
        Cause(
            state=key[0],
            kind=".".join(part for part in key[1:3] if part),
            step=key[3],
            message=tasks[0].why,
            devices=[task.target for task in tasks],
        )
        for key, tasks in ordered
    ]


def _columns(results: Results, language: str) -> list[Column]:
    """The steps of the workflow, then those that only what was done tells of, such as steps of a called one."""
    planned = {step.step_id: step for step in results.plan}
    known = list(results.plan)
    for step in results.steps:
        if step.step_id not in planned:
            added = PlannedStep(
                step_id=step.step_id,
                use=step.use or "",
                label={"en": step.label} if step.label else {},
                section="steps",
            )
            planned[step.step_id] = added
            known.insert(_place_of(step.step_id, known), added)
    return [
        Column(
            step_id=step.step_id,
            about=" - ".join(part for part in (step.use, _translated(step.label, language)) if part),
            section=step.section,
        )
        for step in known
    ]


def _place_of(step_id: str, known: list[PlannedStep]) -> int:
    """Return where a step that the workflow does not name goes: behind the loop or call that it is a part of."""
    outer = step_id.partition("/")[0]
    behind = [n for n, step in enumerate(known, 1) if step.step_id.partition("/")[0] == outer]
    return behind[-1] if behind else len(known)


def _rows(results: Results, columns: list[Column], words: Mapping[str, str], language: str) -> list[Row]:
    last = last_tries(results)
    rows = []
    for task in results.tasks:
        cells = [_cell(last.get((task.task_id, column.step_id)), column, words, language) for column in columns]
        rows.append(Row(task=task, took=duration(task.took_s, language), cells=cells))
    return rows


def _cell(step: StepTry | None, column: Column, words: Mapping[str, str], language: str) -> Cell:
    if step is None:
        return Cell(kind="none", glyph="", took="", about=f"{column.step_id}: {words['none']}")
    kind = "optional" if step.state == "failed" and step.optional else step.state
    kind = kind if kind in _GLYPHS else "started"
    took = duration(step.took_s, language)
    about = f"{column.step_id}: {words[kind]}" + (f", {took}" if took else "")
    if step.try_number > 1:
        about += f", {step.try_number} {words['tries']}"
    if step.failure is not None:
        about += f" - {step.failure.message}"
    return Cell(kind=kind, glyph=_GLYPHS[kind], took="" if kind == "skipped" else took, about=about)


def _shown(results: Results, fetch: Fetch, bytes_max: int) -> list[Shown]:
    tasks = {task.task_id: task for task in results.tasks}
    pictures = [item for item in results.artifacts if item.media_type in MEDIA_TYPES and item.task_id in tasks]

    def rank(artifact: Artifact) -> tuple[bool, str, str]:
        # Those of what did not pass first: they get the room.
        task = tasks[artifact.task_id]
        return task.state == "passed", task.target, artifact.path

    return [
        Shown(
            picture=picture,
            target=tasks[picture.artifact.task_id].target,
            state=tasks[picture.artifact.task_id].state,
            name=picture_name(picture.artifact),
        )
        for picture in embed(sorted(pictures, key=rank), fetch, bytes_max)
    ]


def picture_name(artifact: Artifact) -> str:
    """Return the step, or the picture's own name where it has one: ``home-difference``, ``home: end``."""
    try:
        label = parse_artifact_path(artifact.path).label
    except BadArtifactPathError:
        return artifact.step_id
    own = _OF_TRY.sub("", label)
    if not artifact.step_id:
        return own  # recorded again after a restore, which took the step's own words back
    step = label_of(artifact.step_id)
    return artifact.step_id + own.removeprefix(step) if own.startswith(step) else f"{artifact.step_id}: {own}"


def _translated(texts: Mapping[str, str], language: str) -> str:
    return texts.get(language) or texts.get("en") or next(iter(texts.values()), "")


def _value(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _moment(at_ms: int, zone: tzinfo | None) -> str:
    return datetime.fromtimestamp(at_ms / 1000, zone).strftime("%Y-%m-%d %H:%M:%S %Z").rstrip()


def _told_at(utc: str, zone: tzinfo | None) -> str:
    return datetime.fromisoformat(utc).astimezone(zone).strftime("%H:%M:%S.%f")[:-3]
