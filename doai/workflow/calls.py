"""From a recipe that calls others by name to one that has them with it: what a run pins (step 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from doai.errors import NotFoundError
from doai.limits import CALL_DEPTH_MAX
from doai.workflow.flow_steps import called_by
from doai.workflow.language import Requires, Step, Workflow
from doai.workflow.mistakes import MistakeList, Path
from doai.workflow.nesting import every_step, with_steps


class Found(msgspec.Struct, frozen=True):
    """A stored version of a workflow."""

    title: str
    """``name@version``."""
    workflow: Workflow


Find = Callable[[str], Found]
"""Returns what ``name`` or ``name@version`` means now; raises NotFoundError with a sentence."""


def calls(workflow: Workflow) -> bool:
    """Whether the recipe calls another."""
    return any(called_by(step) is not None for _, step in every_step(workflow))


def link(workflow: Workflow, title: str, find: Find, mistakes: MistakeList) -> Workflow:
    """Return the recipe with every workflow that it calls, and those that they call, each named by its version.

    A device must fulfil what any of them requires. What can not be found, goes round or is too deep is noted at the
    step of this recipe that leads there; the recipe that is returned then is of no use.
    """
    linking = _Linking(find, mistakes)
    linked = linking.link(workflow, (title,), ())
    requires = _together((workflow, *linking.called.values()), mistakes)
    return msgspec.structs.replace(linked, called=linking.called, requires=requires)


class _Linking:
    def __init__(self, find: Find, mistakes: MistakeList) -> None:
        self._find = find
        self._mistakes = mistakes
        self.called: dict[str, Workflow] = {}

    def link(self, workflow: Workflow, chain: tuple[str, ...], at: Path) -> Workflow:
        """Return a recipe whose calls name versions; ``at`` is the step of the outermost that led to it."""
        titles: dict[str, str] = {}
        for path, step in every_step(workflow):
            reference = called_by(step)
            if reference is None or "${" in reference:
                continue
            place = at or (*path, "with", "workflow")
            found = self._look_up(reference, chain, place)
            if found is None:
                continue
            titles[reference] = found.title
            if found.title not in self.called:
                self.called[found.title] = found.workflow
                self.called[found.title] = self.link(found.workflow, (*chain, found.title), place)
            else:
                self._look_deeper(found, (*chain, found.title), place)

        def renamed(step: Step) -> Step:
            title = titles.get(called_by(step) or "")
            if title is None:
                return step
            return msgspec.structs.replace(step, with_={**step.with_, "workflow": title})

        return with_steps(workflow, renamed)

    def _look_up(self, reference: str, chain: tuple[str, ...], place: Path) -> Found | None:
        by = f"{chain[-1]} calls {reference}, and " if len(chain) > 1 else ""
        try:
            found = self._find(reference)
        except NotFoundError as error:
            self._mistakes.add(place, f"{by}{error}")
            return None
        way = " calls ".join((*chain, found.title))
        if found.title in chain:
            self._mistakes.add(place, f"the workflows call each other without end ({way}); remove a call")
            return None
        if len(chain) > CALL_DEPTH_MAX:
            self._mistakes.add(place, f"calls are {CALL_DEPTH_MAX} deep at most ({way}); call less deep")
            return None
        return found

    def _look_deeper(self, found: Found, chain: tuple[str, ...], place: Path) -> None:
        """A workflow that is called a second time, maybe deeper than the first time, is linked already."""
        for _, step in every_step(self.called[found.title]):
            reference = called_by(step)
            if reference is not None and (deeper := self._look_up(reference, chain, place)) is not None:
                self._look_deeper(deeper, (*chain, deeper.title), place)


def _together(workflows: Iterable[Workflow], mistakes: MistakeList) -> Requires:
    sdk: list[str] = []
    tags: list[str] = []
    models: list[str] | None = None
    for workflow in workflows:
        requires = workflow.requires
        if requires.sdk is not None:
            sdk.append(requires.sdk)
        tags += requires.tags
        if requires.models:
            models = [model for model in requires.models if models is None or model in models]
            if not models:
                message = f"no model is one that {workflow.name} and the workflows around it require; make one list"
                mistakes.add(("requires", "models"), message)
    return Requires(sdk=",".join(dict.fromkeys(sdk)) or None, tags=list(dict.fromkeys(tags)), models=models or [])
