"""What a decision gathers, where it has two ways to the same end."""

from __future__ import annotations

import random

import msgspec
import pytest

from doai.broker.core.decision import Decision, Log
from doai.broker.core.event_tail import EventTail
from doai.clock import Now
from doai.codec import encode
from doai.envelope import Envelope
from doai.ids import RandomIds


def _fact(number: int) -> Envelope:
    return Envelope(
        event_id=f"id-{number}",
        type="step.completed",
        subject=f"task/{number}",
        source="node-1/main",
        trace_id="ab" * 16,
        occurred_at_ms=number,
        payload=msgspec.Raw(encode({})),
    )


@pytest.mark.parametrize("somebody_subscribes", [False, True])
def test_facts_of_a_frame_enter_the_log_as_one_by_one(somebody_subscribes: bool) -> None:
    envelopes = [_fact(number) for number in range(3)]
    bodies = [encode(envelope) for envelope in envelopes]
    ends = []
    for together in (False, True):
        log = Log(7, "broker/main", RandomIds(random.Random(1).getrandbits))
        log.tail = EventTail(8) if somebody_subscribes else None
        decision = Decision(log, Now(1.0, 1_000))
        if together:
            decision.facts(envelopes, bodies)
        else:
            for envelope, body in zip(envelopes, bodies, strict=True):
                decision.fact(envelope, body)
        ends.append((log.position, decision.ops, log.tail and log.tail.rows))
    assert ends[0] == ends[1]
    assert ends[1][0] == 10
