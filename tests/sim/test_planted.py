"""The simulator finds bugs: for each planted one the seed that catches it, which passes without it."""

from __future__ import annotations

import pytest

from tests.sim.planted import BUGS
from tests.sim.simulation import simulate

TWO_HOLDERS = frozenset({"phone_on_two_nodes", "node_freeze", "one_way_in"})
"""Faults of the worlds in which an early dispatch matters: a phone that two nodes reach, one of them silent."""
FORGETFUL = frozenset({"broker_restore", "node_freeze", "partition"})
"""Of the worlds in which old results come: a broker that has forgotten, nodes that come back late."""
CAUGHT_BY = {
    "ack_before_commit": (0, None, {"ack_before_commit"}),
    "gap_accepted": (1, None, {"fact_order", "ack_before_commit", "raised_StoreError"}),
    "stale_token_accepted": (3, FORGETFUL, {"stale_token"}),
    "token_reused": (0, None, {"token_reused"}),
    "slot_leak": (0, None, {"never_ends"}),
    "lost_wake_up": (0, None, {"never_ends"}),
    "dispatch_before_deadline": (0, TWO_HOLDERS, {"acts_after_next", "two_attempts"}),
    "fifo_broken": (1, None, {"acts_after_next"}),
    "retry_burns_no_attempt": (1, None, {"attempt_not_burned", "run_gate"}),
    "refusal_blocks_stream": (0, None, {"stream_stuck"}),
    "poison_forgotten": (0, frozenset({"strange_frame"}), {"dead_letter"}),
    "not_kept_uncounted": (1, frozenset({"strange_frame"}), {"dead_letter"}),
    "pause_ignored": (9, None, {"paused"}),
    "old_end_accepted": (164, None, {"ack_lost", "ended_by_nobody", "end_refused"}),
    "leased_to_all": (4, None, {"leased_twice"}),
    "hold_ignored": (0, frozenset({"hold"}), {"given_while_held"}),
    "overlap_ignored": (3, None, {"overlap"}),
    "time_decided_again": (
        4,
        frozenset({"broker_kill"}),
        {"raised_StoreError", "campaign_back", "fired_twice", "memory_differs"},
    ),
}
"""Bug -> (seed, its faults if not drawn, what the checkers say)."""
NEAR = 20
SCALE = 0.4
"""Of the work of a world: bugs show in small ones too."""


def test_every_planted_bug_has_its_seed() -> None:
    assert CAUGHT_BY.keys() == BUGS.keys()
    assert len(BUGS) == 18


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_caught_by_its_seed(name: str) -> None:
    first, faults, kinds = CAUGHT_BY[name]
    # A change of the product moves what a seed draws: then the next one that catches it counts, if it is near.
    for seed in range(first, first + NEAR):
        with BUGS[name]():
            caught = simulate(seed, only=faults, scale=SCALE)
        if caught.kind:
            break
    assert caught.kind in kinds, f"seed {seed}: {caught.kind} {caught.message}"
    assert caught.story, "a failure tells what happened"
    assert simulate(seed, only=faults, scale=SCALE).kind == ""
