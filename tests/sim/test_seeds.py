"""Seeds that once broke a rule, with what was wrong; they must keep every rule from then on."""

from __future__ import annotations

import pytest

from tests.sim.campaign import run_seed

ONCE_BROKEN = {
    11: "a node kept tasks for a phone that had moved to another node: they never ended, the phone was blocked",
    60: "the same, of a phone that never came back",
    144: "a lost heartbeat of a draining node: dispatch and release followed each other 4,000 times a second, and "
    "each left a due time in the broker's heap",
    202: "a restored broker had devices as they were in the backup, and no node told them again",
    285: "the same",
    6: "a broker that started again forgot which other node saw a phone: it stayed offline for ever",
    135: "the same",
    211: "facts were read to be sent again while their ack came late: the node took its own file for damaged",
    107: "a node that had stood still for minutes began a task of a frame from before, which was another's by then",
    610: "late facts of a node that a phone had left took it from the node that had it, for ever",
    2614: "a node that had stood still began a task that waited: another node had the device by then",
}


@pytest.mark.parametrize("seed", ONCE_BROKEN)
def test_a_seed_that_once_broke_a_rule(seed: int) -> None:
    verdict = run_seed(seed, 0.4)
    assert verdict.kind == "", f"{ONCE_BROKEN[seed]}: {verdict.message}"
