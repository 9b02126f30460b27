"""Recipes: from text to a checked Workflow, to what is stored, and back (steps 2, 5 and 8).

The stored form is canonical JSON in the language itself: what moves a text about (comments, order of fields,
YAML or JSON) does not change it, and what was left out that decides how it runs is written in, so that a
stored version means the same for ever.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from doai.limits import WORKFLOW_BYTES_MAX
from doai.workflow.defaults import with_defaults, with_ids
from doai.workflow.language import Step, Workflow
from doai.workflow.mistakes import Mistake, MistakeList, WorkflowError
from doai.workflow.names import SECRET
from doai.workflow.reading import read_struct
from doai.workflow.source import SourceText, read_source
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
    "parse_workflow",
    "secret_names",
    "to_stored",
]


def parse_workflow(source: str, step_types: Mapping[str, StepType] = BUILT_IN) -> Workflow:
    """Return the workflow that a YAML 1.2 or JSON text says, checked, its defaults written in.

    Raises WorkflowError with every mistake, each with line and column; a text that is no YAML has one.
    """
    return _read(read_source(source), step_types)


def to_stored(workflow: Workflow) -> bytes:
    """Return the canonical JSON of a workflow that `parse_workflow` returned."""
    return msgspec.json.encode(workflow, order="sorted")


def from_stored(data: bytes, step_types: Mapping[str, StepType] = BUILT_IN) -> Workflow:
    """Return the workflow of stored bytes, checked again; raises WorkflowError.

    A node may be older than the broker: a step type that it does not know is refused here, before anything
    is touched.
    """
    if len(data) > WORKFLOW_BYTES_MAX:
        raise _unreadable("it is too large")
    try:
        content = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _unreadable(str(error)) from error
    return _read(SourceText(content, {}, {}), step_types)


def content_hash(stored: bytes) -> str:
    """Return the SHA-256 of a stored form, in hexadecimal: the recipe's identity everywhere."""
    return hashlib.sha256(stored).hexdigest()


def secret_names(workflow: Workflow) -> frozenset[str]:
    """Return the names of the secrets that the steps' arguments refer to."""
    steps = (*workflow.steps, *workflow.on_failure, *workflow.always)
    found = (reference.names for step in steps for reference in references(step.with_))
    return frozenset(names[1] for names in found if names[0] == SECRET)


def _unreadable(reason: str) -> WorkflowError:
    message = f"it is no stored workflow ({reason}); store it again"
    return WorkflowError("the workflow can not be read", [Mistake(line=0, column=0, path="", message=message)])


def _read(source: SourceText, step_types: Mapping[str, StepType]) -> Workflow:
    mistakes = MistakeList(source.values, source.keys)
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
