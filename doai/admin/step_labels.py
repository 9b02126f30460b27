"""What the steps of a task are called in a language: events tell of them in English only (step 14). Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from doai.admin.views import StepJson
from doai.workflow.language import Workflow, text_of
from doai.workflow.nesting import every_step


def labelled(tries: Sequence[StepJson], recipe: Workflow, language: str) -> list[StepJson]:
    """Return the tries with the labels of their recipe; a step that it gives none keeps what its event says."""
    labels = {step.id: text_of(step.label, language) for _, step in every_step(recipe) if step.label is not None}
    return [msgspec.structs.replace(each, label=labels.get(each.step_id, each.label)) for each in tries]
