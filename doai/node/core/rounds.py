"""The rounds of flow.repeat and flow.until: the same steps again, within bounds (step 8).

    a round --passed--> `until` holds? --yes--> passed
       |                 no: bound reached? --yes--> flow.repeat: passed, flow.until: failed
       +--failed--> failed                    no: pause, then the next round

A bound of time ends no round: it is looked at between two. Their own timeouts end steps, and the loop's its rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from doai.errors import ErrorClass, Failure, StepError
from doai.node.core.acts import Act, Cause
from doai.node.core.rules import Rules
from doai.node.core.tracks import Inside
from doai.node.core.verdict import cut_short
from doai.workflow.duration import parse_duration
from doai.workflow.resolve import Block, PlannedStep

IDLE_ROUND_S: Final = 0.01
"""After a round that took no time, because its steps were skipped: the others of the node have their turn."""


class Round(Inside, Protocol):
    """One round."""

    @property
    def outputs(self) -> dict[str, dict[str, Any]]:
        """Of its steps that passed and of the steps around the loop, by id."""
        ...


class Rounds:
    """One try of a loop; see `Inside` for its calls."""

    def __init__(
        self,
        path: str,
        step: PlannedStep,
        block: Block,
        arguments: Mapping[str, Any],
        rules: Rules,
        make_round: Callable[[int], Round],
        *,
        began_s: float,
        timeout: Failure,
    ) -> None:
        self._path = path
        self._step = step
        self._block = block
        self._rules = rules
        self._make_round = make_round
        self._timeout = timeout
        self._timeout_at_s = began_s + step.timeout_s
        self._times = arguments.get("times")
        within = arguments.get("within")
        self._last_start_s = began_s + parse_duration(within) if within is not None else None
        self._pause_s = parse_duration(arguments.get("pause", "0s"))
        self._number = 0
        self._round_began_s = began_s
        self._next_s = began_s
        self._round: Round | None = None
        self.result: dict[str, Any] | Failure | None = None

    def begin(self, now_s: float) -> list[Act]:
        return self._go_on(now_s)

    def ended(
        self,
        step_id: str,
        try_number: int,
        result: dict[str, Any] | Failure,
        *,
        unobserved: bool,
        now_s: float,
        random01: float,
    ) -> list[Act]:
        if self._round is None:
            return []
        acts = self._round.ended(step_id, try_number, result, unobserved=unobserved, now_s=now_s, random01=random01)
        return acts + self._go_on(now_s)

    def stop(self, cause: Cause, now_s: float) -> list[Act]:
        if self.result is not None:
            return []
        if self._round is not None:
            return self._round.stop(cause, now_s) + self._go_on(now_s)
        self.result = self._timeout if cause is Cause.TIMEOUT else cut_short(self._path)
        return []

    def tick(self, now_s: float) -> list[Act]:
        acts: list[Act] = []
        if self._round is not None:
            acts = self._round.tick(now_s)
        elif self.result is None and now_s >= self._timeout_at_s:
            self.result = self._timeout
        return acts + self._go_on(now_s)

    def due_s(self) -> float | None:
        if self.result is not None:
            return None
        return self._round.due_s() if self._round is not None else min(self._next_s, self._timeout_at_s)

    def _go_on(self, now_s: float) -> list[Act]:
        """Begin rounds that are due and look at those that have ended."""
        acts: list[Act] = []
        while self.result is None:
            if self._round is None:
                if now_s < self._next_s:
                    break
                self._number += 1
                self._round_began_s = now_s
                self._round = self._make_round(self._number)
                acts += self._round.begin(now_s)
            if self._round.result is None:
                break
            self._after_round(self._round, now_s)
        return acts

    def _after_round(self, ended: Round, now_s: float) -> None:
        self._round = None
        if isinstance(ended.result, Failure):
            self.result = ended.result
            return
        met = False
        if self._block.until is not None:
            try:
                met = self._rules.round(self._number).met(self._step.id, ended.outputs)
            except StepError as error:
                self.result = error.failure
                return
        # Rounds that do nothing must not be the only thing that the node does.
        self._next_s = now_s + max(self._pause_s, IDLE_ROUND_S if now_s == self._round_began_s else 0.0)
        late = self._last_start_s is not None and self._next_s >= self._last_start_s
        if met or (self._block.until is None and (self._number == self._times or late)):
            inner = (step.id for step in self._block.plan.steps)
            last = {step_id: ended.outputs[step_id] for step_id in inner if step_id in ended.outputs}
            self.result = {"rounds": self._number, "met": met, "last": last}
        elif self._number == self._times or late:
            self.result = Failure(
                error_class=ErrorClass.APP,
                code="condition_not_met",
                message=f"The condition of step {self._path} ({self._block.until}) did not hold after "
                f"{self._number} rounds.",
                step=self._path,
            )
