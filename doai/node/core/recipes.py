"""Recipes that the node was given, by hash; each is read once (step 6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from doai.errors import ErrorClass, Failure, StepError
from doai.workflow.mistakes import WorkflowError
from doai.workflow.resolve import TaskPlan
from doai.workflow.rules import Recipe


class Recipes:
    """Bodies as they are on disk, and what was read from them."""

    def __init__(self, bodies: dict[str, bytes]) -> None:
        self._bodies = dict(bodies)
        self._recipes: dict[str, Recipe | StepError] = {}
        self._plans: dict[str, TaskPlan] = {}

    def put(self, recipe_hash: str, body: bytes) -> bool:
        """Keep a body; False when it is there already."""
        if recipe_hash in self._bodies:
            return False
        self._bodies[recipe_hash] = body
        return True

    def get(self, recipe_hash: str, name: str) -> Recipe:
        """Return a recipe; raises StepError when there is none or it can not be executed here."""
        found = self._recipes.get(recipe_hash)
        if found is None:
            found = self._recipes[recipe_hash] = self._load(recipe_hash, name)
        if isinstance(found, StepError):
            if found.code == "recipe_missing":
                del self._recipes[recipe_hash]
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
        body = self._bodies.get(recipe_hash)
        if body is None:
            return StepError(
                Failure(
                    error_class=ErrorClass.INFRASTRUCTURE,
                    code="recipe_missing",
                    message=f"The recipe of {name} did not reach this node before its task: try the task again.",
                )
            )
        try:
            return Recipe.from_stored(body)
        except WorkflowError as error:
            return StepError(
                Failure(
                    error_class=ErrorClass.USER,
                    code="recipe_not_executable",
                    message=f"This node can not execute {name}: {error}; a newer node may be needed.",
                )
            )
