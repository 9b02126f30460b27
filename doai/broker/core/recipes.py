"""Workflows as the core needs them: versions by name, and what of a recipe decides about tasks (steps 2, 5, 12)."""

from __future__ import annotations

from typing import Final

from doai.broker.core.pins import Pins
from doai.changes.rows import WorkflowRow
from doai.errors import ConflictError, NotFoundError
from doai.ids import is_name
from doai.states import WorkflowState
from doai.workflow.calls import Find, Found, calls
from doai.workflow.defaults import TASK_RETRY_ON
from doai.workflow.language import Requires, Retry, Workflow
from doai.workflow.mistakes import did_you_mean
from doai.workflow.model import content_hash, from_stored, link_workflow, plugin_steps, secret_names, to_stored
from doai.workflow.nesting import every_called_step
from doai.workflow.resolve import retry_rule
from doai.workflow.steps import BUILT_IN

_NO_REQUIREMENTS: Final = Requires()
LINKED: Final = "/"
"""In the name of a row: ``login-check/3`` keeps version 3 of ``login-check`` together with the workflows that it
calls, as runs pin them; each combination of versions is a version of that row. No workflow has such a name."""


class Recipe:
    """One version of a workflow, read."""

    __slots__ = (
        "name",
        "pins",
        "plugin_steps",
        "repeatable",
        "requires",
        "retry",
        "row",
        "secrets",
        "version",
        "workflow",
    )

    def __init__(self, row: WorkflowRow, workflow: Workflow) -> None:
        self.row = row
        self.workflow = workflow
        self.retry = retry_rule(workflow.retry or Retry(), TASK_RETRY_ON)
        self.requires = workflow.requires if workflow.requires != _NO_REQUIREMENTS else None
        self.secrets = secret_names(workflow)
        """Names of the secrets that its tasks are given."""
        self.repeatable = all(_idempotent(workflow))
        """Every step may be repeated: an attempt whose end nobody saw is no `unknown`."""
        self.pins = Pins(workflow)
        self.plugin_steps = plugin_steps(workflow)
        """Only a node that offers all of them can execute its tasks."""
        name, linked, version = row.name.partition(LINKED)
        self.name = name
        self.version = int(version) if linked else row.version

    @property
    def title(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"


def _idempotent(workflow: Workflow) -> list[bool]:
    answers = []
    for step in every_called_step(workflow):
        known = BUILT_IN.get(step.use)
        answers.append(step.idempotent if step.idempotent is not None else known is not None and known.idempotent)
    return answers


class Recipes:
    """All stored versions; each is read when it is first needed."""

    def __init__(self, rows: list[WorkflowRow]) -> None:
        self._rows: dict[str, dict[int, WorkflowRow]] = {}
        self._by_hash: dict[str, WorkflowRow] = {}
        self._read: dict[tuple[str, int], Recipe] = {}
        self._linked: dict[str, int] = {}
        """Last version of the linked forms of a version."""
        for row in rows:
            self.add(row)

    def add(self, row: WorkflowRow) -> None:
        """Take a stored version, or what it is now, or a linked one."""
        if LINKED in row.name:
            self._linked[row.name] = max(row.version, self._linked.get(row.name, 0))
            self._by_hash[row.content_hash] = row
            return
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

    def called_by(self, workflow: Workflow, *, activate: bool) -> Find:
        """Return what looks up the workflows that a new version calls, when it is active already."""
        newest = self.newest(workflow.name)
        version = newest.version + 1 if newest is not None else 1
        own = {f"{workflow.name}@{version}", workflow.name} if activate else {f"{workflow.name}@{version}"}

        def find(reference: str) -> Found:
            # The text's own calls go round when they lead back to its name.
            return Found(workflow.name, workflow) if reference in own else self._found(reference)

        return find

    def linked(self, recipe: Recipe, now_ms: int, actor: str) -> Recipe:
        """Return the recipe with the versions of the workflows that it calls now; itself when it calls none.

        A new combination is not among the stored ones yet: `add_linked`. Raises WorkflowError when a call leads
        nowhere now.
        """
        if not calls(recipe.workflow):
            return recipe
        workflow = link_workflow(recipe.workflow, recipe.title, self._found)
        body = to_stored(workflow)
        digest = content_hash(body)
        if digest in self._by_hash:
            return self.by_hash(digest)
        name = f"{recipe.row.name}{LINKED}{recipe.row.version}"
        row = WorkflowRow(
            name=name,
            version=self._linked.get(name, 0) + 1,
            content_hash=digest,
            body=body,
            created_at_ms=now_ms,
            created_by=actor,
            state=WorkflowState.DRAFT,
        )
        return Recipe(row, workflow)

    def add_linked(self, recipe: Recipe) -> bool:
        """Take a linked recipe; False when it is stored already, as a recipe that calls none is."""
        if recipe.row.content_hash in self._by_hash:
            return False
        self.add(recipe.row)
        self._read[recipe.row.name, recipe.row.version] = recipe
        return True

    def _found(self, reference: str) -> Found:
        recipe = self.find(reference)
        return Found(recipe.title, recipe.workflow)

    def of_row(self, row: WorkflowRow) -> Recipe:
        """Return the row read."""
        key = (row.name, row.version)
        recipe = self._read.get(key)
        if recipe is None:
            recipe = self._read[key] = Recipe(row, from_stored(row.body))
        return recipe
