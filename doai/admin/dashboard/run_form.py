"""The fields of a form that say what is run: a workflow, its parameters, and on what (step 1)."""

from __future__ import annotations

from typing import Any

import msgspec

from doai.admin.dashboard.visit import Visit
from doai.changes.rows import WorkflowRow
from doai.errors import UserError
from doai.messages.commands import CreateRun, Selector, TargetKind, Targets
from doai.workflow.language import Parameter
from doai.workflow.model import from_stored


class FieldMistake(UserError):
    """What was typed into one field can not be."""

    code = "bad_field"

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field
        """Its name in the form; what is wrong is said beside it."""


async def choices_of(visit: Visit, name: str, given: dict[str, str]) -> dict[str, Any]:
    """Return what the template needs to draw these fields, with what was typed before."""
    reader = visit.services.reader
    active = {row.name: row for row in await reader.workflows() if row.state.value == "active"}
    row = active.get(name)
    known = await reader.fleet.facets()
    return {
        "names": {each: _title(visit, active[each]) for each in sorted(active)},
        "chosen": name if row is not None else "",
        "parameters": from_stored(row.body).params if row is not None else {},
        "given": given,
        "once": str(visit.at_ms) + visit.csrf[:16],
        "nodes": list(known.nodes),
        "groups": known.groups,
        "queues": [queue.name for queue in await reader.queues.all()],
        "default_of": default_of,
    }


async def parameters_of(visit: Visit, name: str) -> dict[str, Parameter]:
    """Return the parameters of a workflow's active version; none of one that there is not."""
    row = await visit.services.reader.workflow(name) if name else None
    return from_stored(row.body).params if row is not None else {}


def run_of_form(name: str, parameters: dict[str, Parameter], fields: dict[str, str]) -> CreateRun:
    """Return what a form asks for; raises FieldMistake."""
    return CreateRun(
        workflow=name,
        targets=_targets(fields),
        params=_params(parameters, fields),
        queue=fields.get("queue") or "default",
    )


def key_of(fields: dict[str, str]) -> str | None:
    """Return the key by which a form that is sent twice does what it does once."""
    key = fields.get("once")
    return f"form-{key[:60]}" if key else None


def default_of(parameter: Parameter) -> str:
    """Return the default as a form shows it."""
    if parameter.default is msgspec.UNSET or parameter.default is None:
        return ""
    if isinstance(parameter.default, bool):
        return "true" if parameter.default else "false"
    return "\n".join(map(str, parameter.default)) if isinstance(parameter.default, list) else str(parameter.default)


def _title(visit: Visit, row: WorkflowRow) -> str:
    title = from_stored(row.body).title
    return visit.words.of(msgspec.to_builtins(title), row.name)


def _params(parameters: dict[str, Parameter], fields: dict[str, str]) -> dict[str, Any]:
    """Return the values of a form; one that was left as it came is not sent: the workflow's default holds."""
    values: dict[str, Any] = {}
    for name, parameter in parameters.items():
        text = fields.get(f"param.{name}", "")
        if text == default_of(parameter):
            continue
        if not text and parameter.nullable:
            values[name] = None
        else:
            values[name] = _value(name, parameter.type, parameter.items or "string", text)
    return values


def _value(name: str, kind: str, items: str, text: str) -> Any:
    try:
        if kind == "integer":
            return int(text)
        if kind == "number":
            return float(text)
    except ValueError:
        raise FieldMistake(f"param.{name}", f"{name}: {text[:60]!r} is no {kind}") from None
    if kind == "boolean":
        return text == "true"
    if kind == "list":
        return [_value(name, items, "string", line.strip()) for line in text.splitlines() if line.strip()]
    return text


def _targets(fields: dict[str, str]) -> Targets:
    on = fields.get("on", "all")
    if on == "devices":
        words = fields.get("serials", "").replace(",", " ").split()
        return Targets(kind=TargetKind.DEVICES, serials=words)
    if on == "group":
        return Targets(kind=TargetKind.ALL, selector=Selector(groups=[fields.get("group", "")]))
    if on == "node":
        return Targets(kind=TargetKind.ALL, selector=Selector(nodes=[fields.get("node", "")]))
    if on == "any":
        count = fields.get("count", "1").strip()
        if not (count.isascii() and count.isdecimal() and len(count) < 10):
            raise FieldMistake("count", f"{count[:20]!r} is no number of devices")
        return Targets(kind=TargetKind.ANY, count=int(count))
    return Targets(kind=TargetKind.ALL)
