"""Tells what happened to what broke a rule: its events and the faults, in order (step 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tests.sim.world import UTC_START_MS

if TYPE_CHECKING:
    from tests.sim.simulation import Simulation

LINES_MAX = 400


def tell(simulation: Simulation, subject: str) -> list[str]:
    """Return lines ``seconds: what``; events carry the broker's clock, so lines may be a little out of place."""
    lines = [(seconds, f"        {note}") for seconds, note in simulation.world.notes]
    offset_ms = simulation.broker.clock.utc_offset_ms
    for event in simulation.broker.disk.tables.events:
        envelope = event.envelope
        if subject and envelope.subject.partition("/")[2] != subject:
            continue
        if not subject and not envelope.type.startswith("system."):
            continue
        told = msgspec.msgpack.decode(envelope.payload)
        said = {name: value for name, value in told.items() if name not in ("taskId", "runId", "outputs")}
        text = f"{event.position:>7} {envelope.type} {said} from {envelope.source}"
        lines.append(((event.recorded_at_ms - UTC_START_MS - offset_ms) / 1000, text[:240]))
    lines.sort(key=lambda line: line[0])
    return [f"{seconds:9.2f} {text}" for seconds, text in lines][-LINES_MAX:]
