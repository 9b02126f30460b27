"""Workflows as the core needs them: versions by name, and what of a recipe decides about tasks (steps 2, 5, 12)."""

from __future__ import annotations

from typing import Final

from doai.changes.rows import WorkflowRow
from doai.errors import ConflictError, NotFoundError
from doai.ids import is_name
from doai.states import WorkflowState
from doai.workflow.defaults import TASK_RETRY_ON
from doai.workflow.language import Requires, Retry, Workflow
from doai.workflow.mistakes import did_you_mean
from doai.workflow.model import from_stored
from doai.workflow.resolve import retry_rule
from doai.workflow.steps import BUILT_IN

_NO_REQUIREMENTS: Final = Requires()


class Recipe:
    """One version of a workflow, read."""

    __slots__ = ("repeatable", "requires", "retry", "row", "workflow")

    def __init__(self, row: WorkflowRow, workflow: Workflow) -> None:
        self.row = row
        self.workflow = workflow
        self.retry = retry_rule(workflow.retry or Retry(), TASK_RETRY_ON)
        self.requires = workflow.requires if workflow.requires != _NO_REQUIREMENTS else None
        self.repeatable = all(_idempotent(workflow))
        """Every step may be repeated: an attempt whose end nobody saw is no `unknown`."""

    @property
    def title(self) -> str:
        """``name@version``."""
        return f"{self.row.name}@{self.row.version}"


def _idempotent(workflow: Workflow) -> list[bool]:
    answers = []
    for step in (*workflow.steps, *workflow.on_failure, *workflow.always):
        known = BUILT_IN.get(step.use)
        answers.append(step.idempotent if step.idempotent is not None else known is not None and known.idempotent)
    return answers


class Recipes:
    """All stored versions; each is read when it is first needed."""

    def __init__(self, rows: list[WorkflowRow]) -> None:
        self._rows: dict[str, dict[int, WorkflowRow]] = {}
        self._by_hash: dict[str, WorkflowRow] = {}
        self._read: dict[tuple[str, int], Recipe] = {}
        for row in rows:
            self.add(row)

    def add(self, row: WorkflowRow) -> None:
        """Take a stored version, or what it is now."""
        self._rows.setdefault(row.name, {})[row.version] = row
        self._by_hash[row.content_hash] = row

    def newest(self, name: str) -> WorkflowRow | None:
        """Return the version stored last, active or not."""
        versions = self._rows.get(name)
        return versions[max(versions)] if versions else None

    def active_version(self, name: str) -> int | None:
        """Return the version that a bare name means: the newest active one."""
        rows = self._rows.get(name, {}).values()
        return max((row.version for row in rows if row.state is WorkflowState.ACTIVE), default=None)

    def row(self, name: str, version: int) -> WorkflowRow:
        """Return a stored version; raises NotFoundError naming what is near."""
        versions = self._versions(name)
        if version not in versions:
            known = ", ".join(f"{name}@{known}" for known in sorted(versions)[-5:])
            raise NotFoundError(
                f"there is no workflow {name}@{version}: known are {known}", code="workflow_not_found"
            )
        return versions[version]

    def find(self, reference: str) -> Recipe:
        """Return what ``name`` or ``name@version`` means for a run that is made now.

        Raises NotFoundError naming what is near, and ConflictError for an archived version.
        """
        name, at, version_text = reference.partition("@")
        versions = self._versions(name)
        if not at:
            active = self.active_version(name)
            if active is None:
                raise NotFoundError(
                    f"workflow {name} has no active version: activate one (`doai workflows activate {name}@1`)"
                )
            return self.of_row(versions[active])
        row = versions.get(int(version_text)) if version_text.isdecimal() and len(version_text) < 10 else None
        if row is None:
            known = ", ".join(f"{name}@{version}" for version in sorted(versions)[-5:])
            raise NotFoundError(
                f"there is no workflow {name}@{version_text[:20]}: known are {known}", code="workflow_not_found"
            )
        if row.state is WorkflowState.ARCHIVED:
            raise ConflictError(
                f"workflow {name}@{row.version} is archived and can not be run anew: activate it, or run another",
                code="workflow_archived",
            )
        return self.of_row(row)

    def _versions(self, name: str) -> dict[int, WorkflowRow]:
        versions = self._rows.get(name)
        if not is_name(name) or versions is None:
            raise NotFoundError(
                f"there is no workflow {name[:63]!r}: {did_you_mean(name, self._rows)}", code="workflow_not_found"
            )
        return versions

    def by_hash(self, recipe_hash: str) -> Recipe:
        """Return the recipe of an open run; every run names one that is stored."""
        return self.of_row(self._by_hash[recipe_hash])

    def of_row(self, row: WorkflowRow) -> Recipe:
        """Return the row read."""
        key = (row.name, row.version)
        recipe = self._read.get(key)
        if recipe is None:
            recipe = self._read[key] = Recipe(row, from_stored(row.body))
        return recipe
