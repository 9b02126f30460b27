"""Each reason for which a task waits or is held has its sentence, made of what is so now."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from doai.admin.waiting import (
    Place,
    Surroundings,
    device_now,
    node_now,
    out_of_service,
    position,
    run_now,
    service_of,
    told_now,
    waiting_because,
)
from doai.changes.queues import QueueRow
from doai.changes.rows import DeviceRow, Hold, NodeRow, Quarantine, RunRow, TaskRow
from doai.changes.runs import Bounds
from doai.errors import ErrorClass, Failure
from doai.ids import Token
from doai.messages.commands import Selector, TargetKind
from doai.states import TERMINAL, DeviceState, PeerState, QueueState, RunState, ServiceState, TaskState
from doai.store.views import DeviceView, RunView
from doai.workflow.language import Requires
from tests.unit.admin.task_rows import task_row

NOW_MS = 1_700_000_000_000
DEVICE = DeviceRow(
    serial="d1",
    node_id="n1",
    state=DeviceState.ONLINE,
    reason="",
    driver="fake",
    connection="d1",
    model="m",
    manufacturer="m",
    sdk=34,
    android="14",
    screen_width=1,
    screen_height=1,
    tags=["lab"],
    first_seen_at_ms=1,
    changed_at_ms=1,
)
NODE = NodeRow(
    node_id="n1",
    host="h",
    version="0",
    slots=4,
    capabilities=[],
    started_at_ms=1,
    first_seen_at_ms=1,
    connected_at_ms=1,
    state="online",
    state_reason="connected",
    changed_at_ms=1,
)
HELD = Hold(since_ms=1, until_ms=NOW_MS + 60_000, by="user/ann", reason="looked at")
TIMED = Quarantine(since_ms=1, until_ms=NOW_MS + 42_000, reason="5 failures in a row", by="broker/main", count=1)
BY_HAND = Quarantine(since_ms=1, until_ms=None, reason="cracked", by="user/ann", count=0)
OVER = msgspec.structs.replace(TIMED, until_ms=NOW_MS)
PLACE = Place(device=DEVICE, node=NODE)


def changed(row: Any, **about: Any) -> Any:
    return msgspec.structs.replace(row, **about)


def task(state: TaskState = TaskState.QUEUED, task_id: str = "t1", **about: Any) -> TaskRow:
    return task_row(state, task_id, **{"device_serial": "d1", "node_id": None, **about})


def around(**about: Any) -> Surroundings:
    fields: dict[str, Any] = {"now_ms": NOW_MS, "ahead": 0, "held": [], "node_held": 0, "place": PLACE, **about}
    return Surroundings(**fields)


def held(state: TaskState = TaskState.RUNNING, task_id: str = "t0", node: str = "n1") -> TaskRow:
    return task(state, task_id, node_id=node, token=Token(1, 1))


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"place": None}, "its device was not seen yet"),
        (
            {"place": changed(PLACE, node=changed(NODE, state="offline", state_reason="silent for 30 s"))},
            "node n1, which holds device d1, is offline (silent for 30 s)",
        ),
        (
            {"place": changed(PLACE, device=changed(DEVICE, state=DeviceState.UNAUTHORIZED, reason="accept it"))},
            "device d1 is unauthorized (accept it)",
        ),
        (
            {"place": changed(PLACE, intake_closed="its outbox is 80 % full")},
            "node n1 starts no tasks now: its outbox is 80 % full",
        ),
        (
            {"place": changed(PLACE, device=changed(DEVICE, quarantine=TIMED))},
            "device d1 is quarantined for another 42 s: 5 failures in a row",
        ),
        (
            {"place": changed(PLACE, device=changed(DEVICE, hold=HELD, quarantine=TIMED))},
            "device d1 is held by user/ann until 2023-11-14 22:14:20 UTC because looked at",
        ),
        (
            {"place": changed(PLACE, device=changed(DEVICE, hold=changed(HELD, reason="")))},
            "device d1 is held by user/ann until 2023-11-14 22:14:20 UTC",
        ),
        (
            {"place": changed(PLACE, node=changed(NODE, quarantine=BY_HAND))},
            "node n1 is quarantined by user/ann until it is released: cracked",
        ),
        (
            {"held": [held(TaskState.UNPROVEN)]},
            "node n1 may still act on device d1 for task t0: there is no second task before that is settled",
        ),
        (
            {"held": [held(node="n2")]},
            "node n2 may still act on device d1 for task t0: there is no second task before that is settled",
        ),
        ({"ahead": 3, "held": [held(), held(task_id="t9")]}, "3 tasks before it on device d1"),
        ({"ahead": 1}, "1 task before it on device d1"),
        (
            {"place": changed(PLACE, device=changed(DEVICE, quarantine=OVER)), "held": [held()]},
            "device d1 is tried with one task at a time after its quarantine",
        ),
        (
            {"place": changed(PLACE, node=changed(NODE, quarantine=OVER)), "node_held": 1},
            "node n1 is tried with one task at a time after its quarantine",
        ),
        ({"held": [held(), held(task_id="t9")]}, "device d1 has 2 tasks already, task t0 first"),
        ({"node_held": 104}, "all 4 slots of node n1 are busy, and 100 tasks it holds come before"),
        ({"node_held": 3}, "node n1 has 3 tasks and is given this one when it has room"),
    ],
)
def test_a_queued_task_says_what_it_waits_for(about: dict[str, Any], words: str) -> None:
    assert waiting_because(task(), around(**about)) == words


def any_device(**about: Any) -> str | None:
    fields: dict[str, Any] = {"place": None, "places": [PLACE], **about}
    return waiting_because(task(device_serial=None), around(**fields))


def test_a_task_for_any_device_says_why_none_takes_it() -> None:
    assert any_device(places=[]) == "no device matches: no device was seen yet"
    blue = any_device(selector=Selector(tags=["blue"]))
    assert blue is not None
    assert blue.startswith("no device matches: none of the 1 known devices has the tag 'blue'")
    offline = changed(PLACE, device=changed(DEVICE, state=DeviceState.OFFLINE, reason="unplugged"))
    assert any_device(places=[offline]) == (
        "none of the 1 devices that match can take it now: device d1 is offline (unplugged)"
    )
    assert any_device(requires=Requires(sdk=">=40")) == (
        "none of the 1 devices that match can take it now: device d1 can not run it: sdk 34 does not satisfy >=40"
    )
    many = any_device(places=[offline] * 5)
    assert many is not None
    assert many.endswith("; and 2 more")
    assert any_device(ahead=2, places=[PLACE, offline]) == (
        "the 1 devices that match and work are busy, and 2 tasks of its run before it"
    )
    assert any_device() == "the 1 devices that match and work are busy"


def test_a_delayed_task_says_when_and_after_what() -> None:
    failure = Failure(error_class=ErrorClass.DEVICE, code="x", message="the phone hung")
    row = task(TaskState.DELAYED, attempt=2, not_before_ms=NOW_MS + 7_000, failure=failure)
    assert waiting_because(row, around()) == (
        "attempt 2 follows in 7 s, because the one before failed: the phone hung"
    )


def test_a_dispatched_task_says_what_its_node_waits_for() -> None:
    row = held(TaskState.DISPATCHED, "t1")
    assert waiting_because(row, around(held=[held()])) == (
        "node n1 has it and begins it when device d1 ends task t0"
    )
    assert waiting_because(row, around()) == "node n1 has it and begins it as soon as it has a free slot"
    assert waiting_because(row, around(node_held=5)) == (
        "all 4 slots of node n1 are busy; it has the task and begins it in a free one"
    )
    quarantined = changed(PLACE, device=changed(DEVICE, quarantine=TIMED))
    assert waiting_because(row, around(place=quarantined)) == waiting_because(row, around()), "it goes on"
    closed = changed(PLACE, intake_closed="it drains")
    assert waiting_because(row, around(place=closed)) == "node n1 starts no tasks now: it drains"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (TaskState.UNPROVEN, "does not vouch for it"),
        (TaskState.CANCELLING, "has not confirmed that it is cancelled"),
    ],
)
def test_a_held_task_names_who_must_speak(state: TaskState, words: str) -> None:
    silent = changed(PLACE, node=changed(NODE, state="offline", state_reason="silent"))
    assert waiting_because(held(state), around(place=silent)) == (
        f"node n1, which is offline (silent) {words}; "
        "it is held until the node reports, or until it can no longer act on it"
    )
    assert waiting_because(held(state), around()) is not None


@pytest.mark.parametrize("state", [TaskState.RUNNING, *sorted(TERMINAL, key=lambda state: state.value)])
def test_what_runs_or_has_ended_waits_for_nothing(state: TaskState) -> None:
    assert waiting_because(held(state), around()) is None
    assert told_now(held(state), around()) is None
    assert position(held(state), around()) is None


def test_every_open_state_but_running_says_something() -> None:
    for state in set(TaskState) - TERMINAL - {TaskState.RUNNING}:
        assert waiting_because(task(state, node_id="n1"), around()), state


def test_the_story_ends_with_it_and_its_place() -> None:
    assert position(task(), around(ahead=3)) == 4
    assert told_now(task(), around(ahead=3)) == (
        "Queued, waiting because 3 tasks before it on device d1 (number 4 in line)"
    )


def test_a_task_of_a_paused_queue_waits_because_of_that() -> None:
    paused = QueueRow(name="slow", state=QueueState.PAUSED, reason="rewired", changed_by="user/ann")
    waiting = task(TaskState.QUEUED)
    assert told_now(waiting, around(queue=paused, ahead=2)) == (
        "Queued, waiting because queue slow is paused by user/ann: rewired (number 3 in line)"
    )
    running = msgspec.structs.replace(paused, state=QueueState.RUNNING)
    assert waiting_because(waiting, around(queue=running)) == waiting_because(waiting, around())


def bounded(counts: dict[str, int], **bounds: Any) -> RunView:
    body = msgspec.json.encode(Bounds(**bounds))
    row = RunRow(
        run_id="r1",
        workflow="w",
        version=1,
        recipe_hash="h",
        params_body=b"{}",
        targets_body=b"{}",
        step_timeouts_body=b"{}",
        queue="default",
        priority=0,
        attempts_max=1,
        tasks=4,
        created_at_ms=1,
        actor="user/ann",
        interface="cli",
        trace_id="t",
        bounds_body=body,
        stopped="2 tasks failed" if counts.get("failed") else "",
    )
    return RunView(row=row, counts=counts)


def test_a_task_of_a_bounded_run_says_what_its_run_waits_for() -> None:
    waiting = task(TaskState.QUEUED)
    run = bounded({"running": 1, "dispatched": 2, "queued": 1}, max_parallel=3)
    assert waiting_because(waiting, around(run=run)) == (
        "3 tasks of its run are with nodes, and it lets 3 go at once"
    )
    run = bounded({"running": 1, "passed": 1, "queued": 2}, canary=2)
    assert waiting_because(waiting, around(run=run)) == (
        "the canary of its run is not over: 1 of 2 tasks have ended"
    )
    again = task(TaskState.QUEUED, attempt=2)
    assert waiting_because(again, around(run=run)) == waiting_because(again, around())
    told = run_now(bounded({"failed": 2, "running": 1}, stop_after=2))
    assert told is not None
    assert told.startswith("Run is stopped, because 2 tasks failed: 2 of 4 tasks ended")


def test_a_task_of_a_queue_with_a_rate_says_how_fast_that_goes() -> None:
    slow = QueueRow(name="slow", rate_per_min=12)
    told = waiting_because(task(TaskState.QUEUED), around(queue=slow))
    assert told == f"queue slow gives out at most 12 tasks a minute; {waiting_because(task(), around())}"


def test_a_bots_own_task_waits_for_what_is_before_it_not_for_the_hold_of_its_bot() -> None:
    place = changed(PLACE, device=changed(DEVICE, hold=changed(HELD, by="robot/x1")))
    makers = {"robot/x2": "bot", "robot/x1": "cli", "user/ann": "cli", "other/x1": "bot"}
    told = {}
    for actor, interface in makers.items():
        made = RunView(row=changed(bounded({}).row, actor=actor, interface=interface), counts={})
        told[actor] = waiting_because(task(), around(place=place, ahead=2, run=made)) or ""
    assert told.pop("robot/x2") == "2 tasks before it on device d1"
    assert all("is held by robot/x1" in why for why in told.values())


def test_the_story_of_a_device_ends_with_its_quarantine() -> None:
    assert out_of_service("Device d1", None, NOW_MS) is None
    assert out_of_service("Device d1", TIMED, NOW_MS) == (
        "Device d1 is quarantined for another 42 s: 5 failures in a row"
    )
    assert out_of_service("Device d1", OVER, NOW_MS) == (
        "Device d1 is tried with one task at a time after its quarantine: 5 failures in a row"
    )
    assert [service_of(quarantine, NOW_MS) for quarantine in (None, TIMED, BY_HAND, OVER)] == [
        ServiceState.IN_SERVICE,
        ServiceState.QUARANTINED,
        ServiceState.QUARANTINED,
        ServiceState.PROBING,
    ]


def test_the_story_of_a_device_that_a_person_has_reserved() -> None:
    def now(tasks_held: int, row: DeviceRow) -> str | None:
        proven = {"node_state": PeerState.ONLINE, "proof_at_ms": None, "adb_age_s": None, "answer_age_s": None}
        return device_now(DeviceView(row=row, tasks_held=tasks_held, **proven), NOW_MS)  # type: ignore[arg-type]

    row = changed(DEVICE, hold=HELD)
    assert now(0, DEVICE) is None
    assert now(2, row) == "Device d1 is holding after 2 tasks for user/ann"
    assert now(1, row) == "Device d1 is holding after current task for user/ann"
    assert now(0, row) == "Device d1 is held by user/ann until 2023-11-14 22:14:20 UTC because looked at"
    assert now(0, changed(row, quarantine=TIMED)) == (
        "Device d1 is held by user/ann until 2023-11-14 22:14:20 UTC because looked at; "
        "Device d1 is quarantined for another 42 s: 5 failures in a row"
    )


def test_the_story_of_a_run_and_of_a_node_says_how_they_stand() -> None:
    row = RunRow(
        run_id="r1", workflow="look", version=1, recipe_hash="", params_body=b"", targets_body=b"",
        step_timeouts_body=b"", queue="default", priority=0, attempts_max=1, tasks=3, created_at_ms=0, actor="",
        interface="", trace_id="",
    )  # fmt: skip
    counts = {"queued": 1, "running": 1, "passed": 1}
    assert run_now(RunView(row=row, counts=counts)) == (
        "Run is active: 1 of 3 tasks ended (1 queued, 1 running, 1 passed)"
    )
    assert run_now(RunView(row=changed(row, state=RunState.COMPLETED), counts={})) is None
    assert node_now(NODE, NOW_MS) == f"Node n1 is {NODE.state} ({NODE.state_reason})"
    assert node_now(changed(NODE, quarantine=TIMED), NOW_MS).startswith("Node n1 is quarantined for another")


def test_a_task_of_a_bot_waits_for_no_device() -> None:
    of_bot = changed(task(device_serial=None), target_kind=TargetKind.BOT)
    assert waiting_because(of_bot, around()) == "no process of a bot has taken it yet"
    told = changed(of_bot, status=changed(of_bot.status, reason="no bot takes tasks of kind app.install"))
    assert waiting_because(told, around()) == "no bot takes tasks of kind app.install"
