"""The tables of states are whole: every state has a row, ends end, and nothing is out of reach."""

import enum
from collections.abc import Mapping

import pytest

from doai.errors import IllegalTransitionError
from doai.states import (
    CAMPAIGN_TABLE,
    PEER_TABLE,
    QUEUE_TABLE,
    RUN_TABLE,
    SERVICE_TABLE,
    TASK_TABLE,
    TERMINAL,
    CampaignState,
    Outcome,
    PeerState,
    QueueState,
    RunState,
    ServiceState,
    TaskState,
    TaskTrigger,
    move,
    outcome_of,
)

TABLES = [
    (TASK_TABLE, TaskState.QUEUED),
    (RUN_TABLE, RunState.ACTIVE),
    (PEER_TABLE, PeerState.OFFLINE),
    (QUEUE_TABLE, QueueState.RUNNING),
    (SERVICE_TABLE, ServiceState.IN_SERVICE),
    (CAMPAIGN_TABLE, CampaignState.ACTIVE),
]


@pytest.mark.parametrize(("table", "first"), TABLES)
def test_every_state_has_a_row_and_can_be_reached(
    table: Mapping[enum.Enum, Mapping[enum.Enum, enum.Enum]], first: enum.Enum
) -> None:
    assert set(table) == set(type(first))
    reached, frontier = {first}, [first]
    while frontier:
        for after in table[frontier.pop()].values():
            if after not in reached:
                reached.add(after)
                frontier.append(after)
    assert reached == set(table)


def test_terminal_states_end_and_are_named_like_outcomes() -> None:
    assert {state for state in TaskState if not TASK_TABLE[state]} == TERMINAL
    assert {outcome_of(state) for state in TERMINAL} == set(Outcome)
    assert outcome_of(TaskState.RUNNING) is None


def test_a_missing_entry_is_the_error() -> None:
    with pytest.raises(IllegalTransitionError, match="task T is passed and can not start"):
        move(TASK_TABLE, TaskState.PASSED, TaskTrigger.START, "task T")
