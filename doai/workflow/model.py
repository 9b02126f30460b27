"""Recipes: from text to a checked Workflow, to what is stored, and back (steps 2, 5 and 8).

The stored form is canonical JSON in the language itself: what moves a text about (comments, order of fields,
YAML or JSON) does not change it, and what was left out that decides how it runs is written in, so that a
stored version means the same for ever.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import msgspec

from doai.limits import WORKFLOW_BYTES_MAX
from doai.workflow.calls import Find, calls, link
from doai.workflow.defaults import with_defaults, with_ids
from doai.workflow.language import Step, Workflow
from doai.workflow.mistakes import Mistake, MistakeList, WorkflowError
from doai.workflow.names import SECRET
from doai.workflow.nesting import every_called_step
from doai.workflow.reading import read_struct
from doai.workflow.source import SourceText, read_source
from doai.workflow.step_schema import STORED, is_of_plugin
from doai.workflow.step_type import StepType
from doai.workflow.steps import BUILT_IN
from doai.workflow.templates import references
from doai.workflow.validation import validate

__all__ = [
    "Mistake",
    "Step",
    "Workflow",
    "WorkflowError",
    "content_hash",
    "from_stored",
    "link_workflow",
    "parse_workflow",
    "plugin_steps",
    "secret_names",
    "to_stored",
]


def parse_workflow(
    source: str, step_types: Mapping[str, StepType] = BUILT_IN, *, find: Callable[[Workflow], Find] | None = None
) -> Workflow:
    """Return the workflow that a YAML 1.2 or JSON text says, checked, its defaults written in.

    Given ``find`` (from the workflow as it was read, what looks up others), its calls are checked against what is
    stored now; which versions they mean is decided anew for every run. Raises WorkflowError with every mistake,
    each with line and column; a text that is no YAML has one.
    """
    text = read_source(source)
    mistakes = MistakeList(text.values, text.keys)
    if isinstance(text.data, dict) and "called" in text.data:
        mistakes.add(("called",), "what is called is filled in when a run is made; remove it", at_key=True)
    workflow = _read(text, mistakes, step_types)
    if find is not None and calls(workflow):
        linked = link(workflow, workflow.name, find(workflow), mistakes)
        if not len(mistakes):
            validate(linked, step_types, mistakes)
        mistakes.raise_if_any(WorkflowError, f"workflow {workflow.name}")
    return workflow


def link_workflow(
    workflow: Workflow, title: str, find: Find, step_types: Mapping[str, StepType] = STORED
) -> Workflow:
    """Return a stored workflow with those that it calls now, checked together; raises WorkflowError."""
    mistakes = MistakeList()
    linked = link(workflow, title, find, mistakes)
    if not len(mistakes):
        validate(linked, step_types, mistakes)
    if len(to_stored(linked)) > WORKFLOW_BYTES_MAX:
        limit = f"{WORKFLOW_BYTES_MAX // 1024} KiB"
        mistakes.add((), f"with the workflows that it calls it is larger than {limit}; call fewer or smaller ones")
    mistakes.raise_if_any(WorkflowError, f"workflow {title}")
    return linked


def to_stored(workflow: Workflow) -> bytes:
    """Return the canonical JSON of a workflow that `parse_workflow` returned."""
    return msgspec.json.encode(workflow, order="sorted")


def from_stored(data: bytes, step_types: Mapping[str, StepType] = STORED) -> Workflow:
    """Return the workflow of stored bytes, checked again; raises WorkflowError.

    Steps of plug-ins were checked when it was stored; only a node, which knows its own, checks them again.

    A node may be older than the broker: a step type that it does not know is refused here, before anything
    is touched.
    """
    if len(data) > WORKFLOW_BYTES_MAX:
        raise _unreadable("it is too large")
    try:
        content = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _unreadable(str(error)) from error
    return _read(SourceText(content, {}, {}), MistakeList(), step_types)


def content_hash(stored: bytes) -> str:
    """Return the SHA-256 of a stored form, in hexadecimal: the recipe's identity everywhere."""
    return hashlib.sha256(stored).hexdigest()


def secret_names(workflow: Workflow) -> frozenset[str]:
    """Return the names of the secrets that the steps' arguments refer to."""
    found = (reference.names for step in every_called_step(workflow) for reference in references(step.with_))
    return frozenset(names[1] for names in found if names[0] == SECRET)


def plugin_steps(workflow: Workflow) -> frozenset[str]:
    """Return the names of the steps that only a node with their plug-in can perform."""
    return frozenset(step.use for step in every_called_step(workflow) if is_of_plugin(step.use))


def _unreadable(reason: str) -> WorkflowError:
    message = f"it is no stored workflow ({reason}); store it again"
    return WorkflowError("the workflow can not be read", [Mistake(line=0, column=0, path="", message=message)])


def _read(source: SourceText, mistakes: MistakeList, step_types: Mapping[str, StepType]) -> Workflow:
    workflow = with_ids(read_struct(source.data, Workflow, (), mistakes))
    validate(workflow, step_types, mistakes)
    named = workflow.name and not mistakes.within(("workflow",))
    subject = f"workflow {workflow.name}" if named else "the workflow"
    mistakes.raise_if_any(WorkflowError, subject)
    workflow = with_defaults(workflow, step_types)
    if len(to_stored(workflow)) > WORKFLOW_BYTES_MAX:
        mistakes.add((), f"written out it is larger than {WORKFLOW_BYTES_MAX // 1024} KiB; split the workflow")
    mistakes.raise_if_any(WorkflowError, subject)
    return workflow
