"""The questions an attempt asks of its recipe; `doai.workflow.rules.TaskRules` answers them (step 8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, Self

Outputs = Mapping[str, Mapping[str, Any]]
"""Outputs of the steps that passed, by step id; a step that was skipped or failed is not in it."""


class Rules(Protocol):
    """What a recipe says in expressions, for one task. Each raises StepError (class user) with a sentence."""

    def condition(self, step_id: str, outputs: Outputs) -> bool:
        """Whether the step is to run; true when it has no `if`."""
        ...

    def arguments(self, step_id: str, outputs: Outputs) -> dict[str, Any]:
        """Return the step's arguments with every reference replaced."""
        ...

    def unmet(self, step_id: str, outputs: Outputs, result: Mapping[str, Any]) -> str | None:
        """Return the step's `expect` when its result does not meet it, else None."""
        ...

    def results(self, outputs: Outputs) -> dict[str, Any]:
        """Return the outputs of the whole workflow."""
        ...

    def met(self, step_id: str, outputs: Outputs) -> bool:
        """Whether the `until` of a loop holds after a round; ``outputs`` has those of the round, too."""
        ...

    def round(self, number: int) -> Self:
        """Return the rules inside a round, counted from 1."""
        ...

    def called(self, step_id: str, arguments: Mapping[str, Any]) -> Self:
        """Return the rules of the workflow that a step calls with these arguments."""
        ...
