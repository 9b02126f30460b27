"""The campaign that every change must pass: short worlds, all faults, every rule."""

from __future__ import annotations

import pytest

from tests.sim.campaign import run_campaign, run_seed
from tests.sim.simulation import Simulation, simulate

SEEDS = 200


@pytest.mark.slow
def test_two_hundred_seeds_keep_every_rule_and_meet_every_fault() -> None:
    report = run_campaign(range(SEEDS), jobs=2, scale=0.4)
    failures = [f"bin/sim --seed {failure.seed}: {failure.kind}: {failure.message}" for failure in report.failures]
    assert failures == []
    assert report.never_fired() == []
    assert sum(verdict.tasks for verdict in report.verdicts) > 10_000


def test_any_frame_of_a_live_link_may_be_lost() -> None:
    def lose_often(simulation: Simulation) -> None:
        simulation.network.drop_share = 0.1

    lost: set[str] = set()
    for seed in range(4):
        verdict = simulate(seed, only=frozenset(), scale=0.4, change=lose_often)
        assert verdict.kind == "", f"seed {seed}: {verdict.message}"
        lost |= {kind for kind in verdict.faults if kind.startswith("drop_")}
    assert lost >= {"drop_records", "drop_ack"}


def test_a_seed_always_comes_to_the_same() -> None:
    assert run_seed(7) == run_seed(7)
