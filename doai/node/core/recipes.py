"""Recipes that the node was given, by hash; each is read once (step 6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from doai.errors import ErrorClass, Failure, StepError
from doai.workflow.mistakes import WorkflowError
from doai.workflow.model import from_stored, plugin_steps
from doai.workflow.resolve import TaskPlan
from doai.workflow.rules import Recipe
from doai.workflow.step_type import StepType
from doai.workflow.steps import BUILT_IN

NOT_OFFERED: Final = "step_not_offered"
"""Code of what keeps a recipe from being executed here now, and elsewhere or later not."""


class Recipes:
    """Bodies as they are on disk, and what was read from them."""

    def __init__(self, bodies: dict[str, bytes]) -> None:
        self._bodies = dict(bodies)
        self._step_types: Mapping[str, StepType] = BUILT_IN
        self._recipes: dict[str, Recipe | StepError] = {}
        self._plans: dict[str, TaskPlan] = {}

    def know(self, plugin_steps: Mapping[str, StepType]) -> None:
        """These are the steps of plug-ins from now on; what was begun goes on with those that it began with."""
        self._step_types = {**BUILT_IN, **plugin_steps}
        self._recipes.clear()
        self._plans.clear()

    def __contains__(self, recipe_hash: object) -> bool:
        """Whether its body is here."""
        return recipe_hash in self._bodies

    def put(self, recipe_hash: str, body: bytes) -> bool:
        """Keep a body; False when it is there already."""
        if recipe_hash in self._bodies:
            return False
        self._bodies[recipe_hash] = body
        return True

    def get(self, recipe_hash: str, name: str) -> Recipe:
        """Return a recipe whose body is here; raises StepError when it can not be executed."""
        found = self._recipes.get(recipe_hash)
        if found is None:
            found = self._recipes[recipe_hash] = self._load(recipe_hash, name)
        if isinstance(found, StepError):
            raise found
        return found

    def plan(self, recipe_hash: str, name: str, step_timeouts_s: Mapping[str, float]) -> TaskPlan:
        """Return what a task of the recipe has to do; raises StepError as `get` does."""
        if step_timeouts_s:
            return self.get(recipe_hash, name).plan(step_timeouts_s)
        plan = self._plans.get(recipe_hash)
        if plan is None:
            plan = self._plans[recipe_hash] = self.get(recipe_hash, name).plan({})
        return plan

    def drop_all_but(self, needed: Iterable[str]) -> list[str]:
        """Forget what is not needed; return the hashes."""
        unneeded = sorted(self._bodies.keys() - set(needed))
        for recipe_hash in unneeded:
            del self._bodies[recipe_hash]
            self._recipes.pop(recipe_hash, None)
            self._plans.pop(recipe_hash, None)
        return unneeded

    def _load(self, recipe_hash: str, name: str) -> Recipe | StepError:
        try:
            missing = plugin_steps(from_stored(self._bodies[recipe_hash])) - self._step_types.keys()
            if missing:
                return _not_offered(sorted(missing))
            return Recipe.from_stored(self._bodies[recipe_hash], self._step_types)
        except WorkflowError as error:
            return StepError(
                Failure(
                    error_class=ErrorClass.USER,
                    code="recipe_not_executable",
                    message=f"This node can not execute {name}: {error}; a newer node may be needed.",
                )
            )


def _not_offered(missing: list[str]) -> StepError:
    message = f"No plug-in of this node has the step {missing[0]}: install the plug-in, or mend it."
    return StepError(Failure(error_class=ErrorClass.INFRASTRUCTURE, code=NOT_OFFERED, message=message))
