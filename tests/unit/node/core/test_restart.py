"""A node that dies after any commit, and comes back on what was committed."""

from __future__ import annotations

import random
from typing import Any

import pytest

from doai import topics
from doai.codec import Kind, decode
from doai.errors import ErrorClass
from doai.ids import Token
from doai.link.past import digest_of
from doai.messages.work import Holdings, Releases, TaskRef
from doai.states import Outcome
from doai.store.memory_outbox import MemoryOutboxFile

TWO = """
workflow: two
steps:
  - {id: a, use: app.stop, with: {package: com.x.y}, retry: {attempts: 2, backoff: 1s}}
  - {id: b, use: device.shell, with: {command: "echo hi"}}
  - {id: w, use: wait, with: {for: 1s}}
on_failure: [{id: f, use: device.bootstrap}]
always: [{id: z, use: device.bootstrap}]
"""


class DiedError(Exception):
    """The process ended at this commit."""


def drive(make_world: Any, *, die_at: int | None, lost: bool, seed: int) -> Any:
    """Two devices, four tasks, any results; dies at a commit (which is lost or not), then goes on to the end."""
    chance = random.Random(seed)
    world = make_world(slots=2, seed=seed)
    world.connect()
    world.device("A")
    world.device("B")
    recipe = world.recipe(TWO)
    commits = 0

    def before_commit(ops: Any) -> None:
        nonlocal commits
        if not ops:
            return
        commits += 1
        if commits == die_at:
            if not lost:
                world.outbox.commit(ops)
            raise DiedError

    world.before_commit = before_commit
    script = [lambda n=n: world.dispatch(f"T{n}", recipe, serial="AB"[n % 2], n=n) for n in range(1, 5)]
    world.died = False
    try:
        play(world, script, chance)
    except DiedError:
        world.died = True
        world.before_commit = lambda ops: None
        world.boot()
        world.connect()
        recipe = world.recipe(TWO)
        world.device("A")
        world.device("B")
        for n in range(1, 5):  # what the broker may say again: of what is known nothing new
            world.dispatch(f"T{n}", recipe, serial="AB"[n % 2], n=n)
        ended = {end.task_id for end in world.all_ends()}
        for n in range(1, 5):  # what HOLDINGS did not list is given anew
            if f"T{n}" not in ended and not any(key[0] == f"T{n}" for key in world.file.held):
                world.dispatch(f"T{n}", recipe, serial="AB"[n % 2], n=10 + n)
        while world.open:
            world.end(sorted(world.open)[0], stdout="", stderr="", exit_code=0)
    return world


def play(world: Any, script: list[Any], chance: random.Random) -> None:
    """Dispatch in order and end steps in any, until all is done."""
    while script or world.open:
        if script and (not world.open or chance.random() < 0.4):
            script.pop(0)()
            continue
        name = chance.choice(sorted(world.open))
        if chance.random() < 0.3:
            world.fail(name, chance.choice([ErrorClass.DEVICE, ErrorClass.APP]), unobserved=chance.random() < 0.5)
        else:
            world.end(name, stdout="", stderr="", exit_code=0)
        if not world.open:
            world.advance(1.0)


@pytest.mark.parametrize("lost", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_dies_at_every_commit(make_world: Any, seed: int, lost: bool) -> None:
    die_at = 1
    while True:
        world = drive(make_world, die_at=die_at, lost=lost, seed=seed)
        keys = [str(start.key) for start in world.starts]
        assert len(keys) == len(set(keys)), "each (task, token, step, try) begins once"
        assert list(world.file.facts) == list(range(world.file.trimmed_seq + 1, world.file.highest_seq + 1))
        if not world.died:
            break
        for task in ("T1", "T2", "T3", "T4"):
            ends = world.ends(task)
            # A dispatch whose commit was lost was repeated above, so every task ends; one end an attempt.
            assert len(ends) == 1, (die_at, task, ends)
        assert not world.file.held
        die_at += 1
    assert die_at > 20


def test_a_task_that_ran_ends_and_the_waiting_ones_go_back_to_the_broker(make_world: Any) -> None:
    world = make_world()
    world.connect()
    world.device("A")
    recipe = world.recipe(TWO)
    for n in (1, 2, 3):
        world.dispatch(f"T{n}", recipe)
    world.boot()
    [end] = world.ends("T1")
    assert (end.outcome, end.failure.code, end.repeatable) == (Outcome.FAILED, "node_restarted", True)
    assert end.failure.error_class is ErrorClass.INFRASTRUCTURE
    assert world.ends("T2") == [], "nothing is told: HOLDINGS does not list it"
    assert not world.file.held
    world.device("A")
    world.connect()
    assert [decode(body, Holdings).tasks for kind, body in world.frames if kind == Kind.HOLDINGS] == [[]]
    assert world.open == {}, "an old disk may have begun them before: they begin under a new token only"
    world.dispatch("T2", world.recipe(TWO), n=2)
    assert world.open == {}, "the old token begins nothing"
    world.dispatch("T2", world.recipe(TWO), n=12)
    assert set(world.open) == {"T2/a"}


def test_a_copy_of_the_outbox_is_told_to_an_operator(make_world: Any) -> None:
    world = make_world()
    world.connect()
    world.device("A")
    world.take(world.core.socket_lost(world.epoch, world.now, 0.0))
    world.device("B")
    world.connect(last_seq=2, digests=digest_of(world.file.facts[1].envelope) + b"another.")
    assert world.file.incarnation != "I1"
    [alert] = [told for event_type, told in world.facts() if event_type == topics.SYSTEM_ALERT]
    assert alert.code == "cloned_outbox"
    assert "number 2" in alert.message
    assert [t for t, _ in world.facts()].count(topics.DEVICE_ONLINE) == 3, "B, and both again"


def test_a_step_that_must_not_be_repeated_makes_it_unknown(make_world: Any) -> None:
    world = make_world()
    world.connect()
    world.device("A")
    world.dispatch("T1", world.recipe(TWO))
    world.end("T1/a")
    world.boot()
    [end] = world.ends("T1")
    assert (end.outcome, end.repeatable, end.failure.step) == (Outcome.UNKNOWN, False, "b")


def test_after_its_end_was_seen_it_is_no_longer_unknown(make_world: Any) -> None:
    world = make_world()
    world.connect()
    world.device("A")
    world.dispatch("T1", world.recipe(TWO))
    world.end("T1/a")
    world.end("T1/b", stdout="", stderr="", exit_code=0)
    world.boot()
    [end] = world.ends("T1")
    assert end.outcome is Outcome.FAILED


def test_what_waits_for_a_device_that_does_not_come_is_given_back(make_world: Any) -> None:
    world = make_world()
    world.boot()
    world.connect()
    world.dispatch("T2", world.recipe(TWO))
    world.advance(21)
    assert [end.released for end in world.ends("T2")] == [True]
    assert not world.file.held


def test_the_broker_lost_its_past(make_world: Any) -> None:
    world = make_world()
    world.connect()
    world.device("A")
    recipe = world.recipe(TWO)
    world.dispatch("T1", recipe)
    world.end("T1/a")
    world.acknowledge()
    world.end("T1/b", stdout="", stderr="", exit_code=0)
    world.take(world.core.socket_lost(world.epoch, world.now, 0.0))
    world.connect(last_seq=0, store_id="S2")
    assert world.file.incarnation != "I1"
    world.received.clear()
    world.connect(last_seq=0, store_id="S2")
    seqs = [seq for seq, _ in world.received]
    assert seqs == list(range(1, len(seqs) + 1))
    world.end("T1/w")
    world.end("T1/z")
    assert [end.outcome for end in world.ends()] == [Outcome.PASSED]


def test_facts_while_a_new_incarnation_is_written_keep_their_order(make_world: Any) -> None:
    world = make_world(file=MemoryOutboxFile("I1"))
    world.connect()
    world.device("A")
    recipe = world.recipe(TWO)
    world.dispatch("T1", recipe)
    world.take(world.core.socket_lost(world.epoch, world.now, 0.0))
    held: list[Any] = []
    perform = world.perform
    world.perform = lambda effect: (
        held.append(effect) if type(effect).__name__ == "ReloadOutbox" else perform(effect)
    )
    world.connect(last_seq=0, store_id="S2")
    assert len(held) == 1
    before = world.file.highest_seq
    world.end("T1/a")
    assert world.file.highest_seq == before, "no fact has a place yet"
    assert world.open == {}
    world.perform = perform
    world.perform(held[0])
    assert set(world.open) == {"T1/b"}
    assert world.file.highest_seq == before + 3
    assert [t for t, _ in world.facts()][-3:] == ["step.completed", "step.started", "device.online"], (
        "where its devices are is told again to a store that lost its past"
    )


def test_release_of_what_is_not_held_is_nothing(make_world: Any) -> None:
    world = make_world()
    world.connect()
    world.frame(23, Releases([TaskRef("T1", Token(1, 1))]))
    assert world.ends() == []
