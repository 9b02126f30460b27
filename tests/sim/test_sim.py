"""The campaign that every change must pass: short worlds, all faults, every rule."""

from __future__ import annotations

import pytest

from tests.sim.campaign import run_campaign, run_seed

SEEDS = 200


@pytest.mark.slow
def test_two_hundred_seeds_keep_every_rule_and_meet_every_fault() -> None:
    report = run_campaign(range(SEEDS), jobs=2)
    failures = [f"bin/sim --seed {failure.seed}: {failure.kind}: {failure.message}" for failure in report.failures]
    assert failures == []
    assert report.never_fired() == []
    assert sum(verdict.tasks for verdict in report.verdicts) > 10_000


def test_a_seed_always_comes_to_the_same() -> None:
    assert run_seed(7) == run_seed(7)
