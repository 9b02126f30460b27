"""What a seed draws before time begins: the fleet, the work, which faults and how often (steps 2-11)."""

from __future__ import annotations

from collections.abc import Iterator, Set
from contextlib import contextmanager
from random import Random
from typing import Any, Final
from unittest import mock

import msgspec

from doai.broker.core.settings import CoreSettings, RateLimit

FAULT_WEIGHTS: Final = {
    "cut": 3.0,
    "partition": 2.0,
    "partition_all": 0.7,
    "one_way_in": 1.5,
    "one_way_out": 1.5,
    "slow_peer": 1.0,
    "socket_lost": 1.0,
    "broker_kill": 1.5,
    "broker_freeze": 0.8,
    "broker_commit_fails": 0.8,
    "broker_restore": 0.5,
    "node_kill": 3.0,
    "node_freeze": 1.5,
    "node_drain": 1.0,
    "node_reboot": 0.7,
    "node_commit_fails": 1.0,
    "node_old_disk": 0.8,
    "node_clone": 0.5,
    "slow_disk": 1.0,
    "utc_jump_forward": 0.8,
    "utc_jump_back": 0.8,
    "phone_offline": 2.0,
    "phone_hangs": 1.5,
    "phone_moves": 1.0,
    "phone_on_two_nodes": 1.0,
    "phone_dies": 0.4,
    "phone_changes": 1.0,
    "admin_restart": 0.8,
    "strange_frame": 2.0,
    "key_revoked": 0.3,
    "driver_notice": 0.7,
    "quarantine": 1.0,
    "operator": 3.0,
    "disk_low": 0.7,
    "hold": 1.0,
    "incident": 0.5,
    "dead_letters": 1.0,
    "queue_changes": 3.0,
    "zones_gone": 0.4,
}
"""Faults at random times, and how often one is chosen when a seed has it."""
ALWAYS_ON: Final = [
    "handler_failed",
    "drop",
    "drop_records",
    "drop_ack",
    "drop_holdings",
    "drop_recipe",
    "duplicate",
    "late_on_old_link",
    "lost_in_flight",
    "crash_after_landing",
    "crash_loses_commit",
    "commit_failed_landed",
    "commit_failed_lost",
    "recipe_unreadable",
    "step_failed",
    "step_slow",
    "flood",
]
"""Faults that are counted where they happen."""
TIGHT_TARGETS: Final = 20
"""Targets of one run at most where bounds are small."""


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One world, before it begins."""

    nodes: int
    phones: int
    """Of each node."""
    slots: int
    runs: int
    """Asked for whether there is enough to do or not."""
    tasks: int
    """So many are to be open over the working time."""
    targets_max: int
    """Of one run."""
    work_s: float
    """Faults and new work come in this time."""
    fault_every_s: float
    faults: dict[str, float]
    drop_share: float
    repeat_share: float
    latency_s: float
    fail_share: float
    """Of commands of phones."""
    slow_share: float
    real_files: bool
    tight: bool
    """Small credit, frames and outboxes, so that their bounds are met."""
    settings: CoreSettings


def draw_scenario(
    random: Random, *, scale: float = 1.0, only: Set[str] | None = None, has_bots: bool = False
) -> Scenario:
    """Draw a world; ``only`` names the faults it may have.

    A larger world works for longer, and as many faults happen in it; one with bots is small, because each of its
    events goes to them.
    """
    calm = random.random() < 0.25
    faults = {
        kind: weight
        for kind, weight in FAULT_WEIGHTS.items()
        if (only is None and random.random() < 0.55) or (only is not None and kind in only)
    }
    nodes = random.choice((1, 2) if has_bots else (1, 2, 3, 4))
    phones = random.choice((4, 8, 16) if has_bots else (4, 8, 16, 20, 20, 24, 24, 24))
    slots = random.choice((3, 20, 20, 20, 20, 20, 20, 20))
    tight = random.random() < (0.4 if has_bots else 0.2)
    stretch = 0.2 + 1.5 * min(1.0, scale)
    work_s = random.choice((200.0, 300.0, 400.0)) * stretch
    return Scenario(
        nodes=nodes,
        phones=phones,
        slots=slots,
        runs=random.choice((3, 8, 15)),
        tasks=int(nodes * min(phones, slots) * random.choice((1.2, 1.5, 2.0)) * scale) + 2,
        targets_max=TIGHT_TARGETS if tight else 1_000,
        work_s=work_s,
        fault_every_s=1e9 if calm else random.choice((4.0, 8.0, 15.0, 30.0)) * stretch,
        faults=faults,
        drop_share=0.0 if calm else random.choice((0.0, 0.001, 0.005, 0.03)),
        repeat_share=0.0 if calm else random.choice((0.0, 0.0, 0.01, 0.05)),
        latency_s=random.choice((0.0005, 0.005, 0.05)),
        fail_share=0.0 if calm else random.choice((0.0, 0.01, 0.02, 0.1)),
        slow_share=0.0 if calm else random.choice((0.0, 0.005, 0.02)),
        real_files=random.random() < 0.04,
        tight=tight,
        settings=CoreSettings(
            queues={"default": 0, "urgent": 10},
            lease_s=random.choice((35.0, 60.0)),
            quarantine_after=random.choice((0, 2, 3, 5)),
            tokens_reserved=random.choice((5, 100, 10_000)),
            queue_ahead=random.choice((2, 100)),
            held_per_device_max=random.choice((1, 2, 2, 2)),
            notices=RateLimit(rate_per_s=1.0, burst=20.0),
            hellos=RateLimit(rate_per_s=2.0, burst=20.0),
            frames=RateLimit(rate_per_s=200.0, burst=600.0) if tight else RateLimit(rate_per_s=5e3, burst=1e4),
        ),
    )


@contextmanager
def bounds_of(scenario: Scenario) -> Iterator[None]:
    """Within it the bounds are those of the scenario."""
    if not scenario.tight:
        yield
        return
    small: dict[str, Any] = {
        "doai.link.incoming.CREDIT_RECORDS": 12,
        "doai.link.incoming.CREDIT_BYTES": 6_000,
        "doai.link.outgoing.CREDIT_BYTES": 3_000,
        "doai.link.outgoing.RECORDS_PER_FRAME_MAX": 3,
        "doai.node.core.session.OUTBOX_START_MAX": 60,
        "doai.node.core.tasks.RESULTS_KEPT": 40,
        "doai.broker.core.decision.FRAME_BYTES_MAX": 3_000,
        "doai.link.outgoing.TRIM_EVERY": 20,
        "doai.link.outgoing.FRAME_BYTES_MAX": 2_500,
        "doai.broker.core.runs.REPLY_TASK_IDS_MAX": 10,
        "doai.broker.core.runs.TARGETS_PER_RUN_MAX": TIGHT_TARGETS,
        "doai.broker.core.commands.FORGET_EVERY_S": 60.0,
        "doai.broker.core.ingress.KEYS_MAX": 4,
        "doai.broker.core.health.QUARANTINE_OF_RECENT": 2,
        "doai.broker.core.secrets.SECRETS_MAX": 2,
        "doai.broker.core.dead_letters.MESSAGE_LETTERS_PER_NODE": 3,
        "doai.broker.core.finished.RETRY_FAILED_AT_ONCE": 2,
        "doai.broker.core.stored_files.FILES_PINNED_MAX": 2,
        "doai.broker.core.campaigns.CAMPAIGNS_MAX": 1,
        "doai.broker.core.campaigns.CAMPAIGN_CATCH_UP_MAX": 3,
        "doai.broker.core.campaigns.CAMPAIGN_TIMES_AT_ONCE": 4,
        "doai.broker.core.firing.CAMPAIGN_WAITING_MAX": 1,
        "doai.broker.core.audit.JSON_CHARACTERS_MAX": 300,
        "doai.broker.core.confirmations.PENDING_MAX": 2,
        "doai.broker.core.confirmations.KEPT_S": 20.0,
        "doai.broker.core.discards.SLICE": 2,
        "doai.broker.core.discards.PAUSE_S": 2.0,
        "doai.broker.core.letter_decisions.DEAD_LETTERS_AT_ONCE": 3,
        "doai.broker.core.queues.QUEUES_MAX": 4,
        "doai.broker.core.event_tail.TAIL_EVENTS_MAX": 250,
        "doai.broker.core.event_tail.PARTS_BYTES_MAX": 4_000,
        "doai.broker.core.event_tail.TYPES_REMEMBERED_MAX": 6,
        "doai.broker.core.feed.EVENTS_AGAIN_MAX": 1,
        "doai.broker.core.feed.SUBJECTS_OPEN_MAX": 3,
        "doai.broker.core.people.USERS_MAX": 1,
        "doai.broker.core.people.SESSIONS_MAX": 1,
        "doai.broker.core.pins.PINS_KEPT": 1,
        "doai.broker.core.pins.WISH_BYTES_KEPT": 12,
        "doai.broker.core.samples.SAMPLE_BYTES_MAX": 700,
        "doai.broker.core.retention.PRUNE_IDS_MAX": 60,
        "doai.node.core.attempt.OUTPUTS_BYTES_MAX": 15,
        "doai.node.core.tracks.TRIES_PER_ATTEMPT_MAX": 11,
    }
    if "utc_jump_forward" not in scenario.faults:  # by UTC keys are forgotten, and a command may come again
        small["doai.broker.core.commands.IDEMPOTENCY_KEPT_S"] = 500.0
    patches = [mock.patch(name, value) for name, value in small.items()]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()
