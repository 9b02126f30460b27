"""Hostile peers, all at once: the broker answers or closes, serves the others, and stays what it was."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import trio

from doai.incidents import IncidentType
from doai.messages.link import Role
from tests.fuzz.attacks import ATTACKS, Attack, Outcomes
from tests.fuzz.site import EVIL_KEYS, Served, Site, ask_on_and_on, beat_on_and_on, open_site

RSS_GROWTH_MAX_BYTES = 96 * 1024 * 1024
"""Buffers of some hundred connections, and what Python keeps; a leak of one frame a message would be more."""
NOTICES = {"system.error", "system.alert"}


@pytest.mark.slow
async def test_hostile_peers_change_nothing_and_the_others_are_served(tmp_path: Path) -> None:
    found: dict[str, Outcomes] = {}

    async def attack(one: Attack, site: Site) -> None:
        found[one.__name__] = await one(site, random.Random(one.__name__))

    with trio.fail_after(400):
        async with open_site(tmp_path) as site:
            rows, position, rss_bytes = site.rows(), site.last_position(), site.rss_bytes()
            served = Served()
            async with trio.open_nursery() as polite:
                polite.start_soon(ask_on_and_on, site, served)
                polite.start_soon(beat_on_and_on, site, served)
                async with trio.open_nursery() as hostile:
                    for one in ATTACKS:
                        hostile.start_soon(attack, one, site)
                answers, beats = len(served.answers_s), served.beats
                while len(served.answers_s) < answers + 20 or served.beats < beats + 3:  # noqa: ASYNC110
                    await trio.sleep(0.01)
                polite.cancel_scope.cancel()
            events, grown = site.events_after(position), site.rss_bytes() - rss_bytes
            assert site.rows() == rows
            incidents = site.incidents()
    assert answers > 50
    assert beats > 5
    assert grown < RSS_GROWTH_MAX_BYTES
    # A registered node is heard: what it tells is kept as told by it and changes nothing; of that, what can not be
    # read is a dead letter, other bytes are noted at a bounded rate. The broker itself says who came and went, and
    # nothing else but reports, which any bot may publish; incidents are of what a hostile peer says of itself, and
    # of its many dead letters.
    by_broker = {kind for kind, source in events if source == "broker/main"}
    assert by_broker <= NOTICES | {
        "bot.report.published",
        "deadletter.created",
        "incident.opened",
        "node.registered",
        "node.online",
        "node.late",
        "node.offline",
    }
    of_others = {(kind, subject) for kind, subject in incidents if not subject.startswith("node/evil-")}
    assert of_others <= {(IncidentType.DEAD_LETTERS.value, "broker/main")}
    assert {source.partition("-")[0] for _, source in events if source != "broker/main"} <= {"evil"}
    assert len(events) < 7 * len(Role) * EVIL_KEYS
    assert "Traceback" not in (tmp_path / "broker.log").read_text()
    assert "left open" not in found["bytes_over_tcp"]
    assert set(found["other_mechanisms"]) == {"not let in"}
    assert found["wrong_roles"]["FENCED"] > 0
    assert found["mutated_vectors"]["REPLY"] > 0
    assert found["mutated_vectors"]["ACK"] > 5
    assert found["messages_that_are_none"]["HELLO_REQUIRED"] > 0
