"""All steps of a recipe, those inside of loops too, each with its place (steps 2 and 8)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from doai.workflow.language import Step, Workflow
from doai.workflow.mistakes import Path


def every_step(workflow: Workflow) -> Iterator[tuple[Path, Step]]:
    """Yield the steps of a recipe in the order of the text; not those of the workflows that it calls."""
    for group, steps in (
        ("steps", workflow.steps),
        ("on_failure", workflow.on_failure),
        ("always", workflow.always),
    ):
        yield from steps_within(steps, (group,))


def steps_within(steps: Sequence[Step], path: Path) -> Iterator[tuple[Path, Step]]:
    """Yield steps and those inside of them; ``path`` is the place of the list."""
    for index, step in enumerate(steps):
        yield (*path, index), step
        yield from steps_within(step.steps, (*path, index, "steps"))


def every_called_step(workflow: Workflow) -> Iterator[Step]:
    """Yield the steps of a recipe and of all workflows that it calls."""
    for recipe in (workflow, *workflow.called.values()):
        yield from (step for _, step in every_step(recipe))


def with_steps(workflow: Workflow, change: Callable[[Step], Step]) -> Workflow:
    """Return the recipe with every step changed; those inside of a loop before the loop."""

    def changed(steps: Sequence[Step]) -> list[Step]:
        return [
            change(msgspec.structs.replace(step, steps=changed(step.steps)) if step.steps else step)
            for step in steps
        ]

    return msgspec.structs.replace(
        workflow,
        steps=changed(workflow.steps),
        on_failure=changed(workflow.on_failure),
        always=changed(workflow.always),
    )
