"""Why a task waits is told in Korean too, of the same things in the same order."""

from __future__ import annotations

from typing import Any

import pytest

from doai.admin.waiting import device_now, node_now, run_now, told_now, waiting_because
from doai.changes.queues import QueueRow
from doai.errors import ErrorClass, Failure
from doai.messages.commands import Selector, TargetKind
from doai.states import TERMINAL, DeviceState, PeerState, QueueState, TaskState
from doai.store.views import DeviceView
from doai.story.voice import KOREAN, VOICES
from tests.unit.admin.test_waiting import (
    BY_HAND,
    DEVICE,
    HELD,
    NODE,
    NOW_MS,
    OVER,
    PLACE,
    TIMED,
    around,
    bounded,
    changed,
    held,
    task,
)

KO = VOICES[KOREAN]
OPEN = [state for state in TaskState if state not in TERMINAL and state is not TaskState.RUNNING]


@pytest.mark.parametrize(
    ("about", "told"),
    [
        ({"place": None}, "그 기기가 아직 연결된 적이 없음"),
        (
            {"place": changed(PLACE, node=changed(NODE, state="offline", state_reason="silent for 30 s"))},
            "기기 d1의 노드 n1 오프라인 (silent for 30 s)",
        ),
        (
            {"place": changed(PLACE, device=changed(DEVICE, state=DeviceState.UNAUTHORIZED, reason="accept it"))},
            "기기 d1 승인 필요 (accept it)",
        ),
        (
            {"place": changed(PLACE, device=changed(DEVICE, quarantine=TIMED))},
            "기기 d1 격리됨, 42초 더: 연속 5번 실패",
        ),
        (
            {"place": changed(PLACE, device=changed(DEVICE, hold=HELD))},
            "기기 d1, 2023-11-14 22:14:20 UTC까지 user/ann 사용 (이유: looked at)",
        ),
        (
            {"place": changed(PLACE, node=changed(NODE, quarantine=BY_HAND))},
            "노드 n1 격리됨, 해제할 때까지 (user/ann): cracked",
        ),
        (
            {"held": [held(node="n2")]},
            "노드 n2에서 기기 d1의 작업 t0 계속하고 있을 수 있음: 확인되기 전에는 다른 작업을 주지 않음",
        ),
        ({"ahead": 1}, "기기 d1에 앞선 작업 1개 있음"),
        (
            {"place": changed(PLACE, device=changed(DEVICE, quarantine=OVER)), "held": [held()]},
            "기기 d1: 격리 뒤라 한 번에 작업 하나씩 시험 중",
        ),
        ({"held": [held(), held(task_id="t9")]}, "기기 d1에 이미 작업 2개 있음, 작업 t0 먼저"),
        ({"node_held": 3}, "노드 n1에 작업 3개 있고, 자리가 나면 이 작업을 줌"),
        (
            {"queue": QueueRow(name="slow", state=QueueState.PAUSED, reason="rewired", changed_by="user/ann")},
            "대기열 slow 일시정지 (user/ann): rewired",
        ),
        (
            {"queue": QueueRow(name="slow", rate_per_min=12)},
            "대기열 slow에서 분당 작업 12개까지만 내보냄; 노드 n1에 작업 0개 있고, 자리가 나면 이 작업을 줌",
        ),
        (
            {"run": bounded({"passed": 1, "queued": 2}, canary=2)},
            "이 실행의 카나리가 끝나지 않음: 작업 2개 중 1개 끝남",
        ),
    ],
)
def test_a_queued_task_says_what_it_waits_for(about: dict[str, Any], told: str) -> None:
    assert waiting_because(task(), around(**about), KO) == told


def test_a_task_for_any_device() -> None:
    row = task(device_serial=None)
    assert waiting_because(row, around(place=None), KO) == "조건에 맞는 기기 없음: 아직 연결된 기기가 없음"
    offline = changed(PLACE, device=changed(DEVICE, state=DeviceState.OFFLINE, reason="unplugged"))
    assert waiting_because(row, around(places=[offline] * 5), KO) == (
        f"조건에 맞는 기기 5대 모두 지금은 받을 수 없음: {'기기 d1 오프라인 (unplugged); ' * 3}그 밖에 2대"
    )
    other = waiting_because(row, around(places=[PLACE], selector=Selector(tags=["blue"])), KO)
    assert other is not None
    assert other.startswith("조건에 맞는 기기 없음: ")


def test_a_delayed_task_says_what_its_failure_means() -> None:
    failure = Failure(error_class=ErrorClass.DEVICE, code="device_unresponsive", message="the phone hung")
    row = task(TaskState.DELAYED, attempt=2, not_before_ms=NOW_MS + 7_000, failure=failure)
    assert waiting_because(row, around(), KO) == (
        "시도 2: 7초 뒤에 시작, 앞의 시도가 실패했기 때문: 기기가 응답하지 않습니다 (the phone hung)"
    )


@pytest.mark.parametrize("state", OPEN)
def test_every_open_state_but_running_says_something(state: TaskState) -> None:
    told = told_now(task(state, node_id="n1"), around(), KO)
    assert told is not None
    assert told.startswith(f"{KO.state(state.value)}, 기다리는 이유: ")


def test_how_things_stand_now() -> None:
    assert told_now(task(), around(ahead=3), KO) == "대기, 기다리는 이유: 기기 d1에 앞선 작업 3개 있음 (순서 4)"
    assert run_now(bounded({"failed": 2, "running": 1}), KO) == (
        "실행 중지됨, 2 tasks failed: 작업 4개 중 2개 끝남 (실행 중 1, 실패 2)"
    )
    assert node_now(NODE, NOW_MS, KO) == "노드 n1 온라인 (연결됨)"
    assert node_now(changed(NODE, quarantine=OVER), NOW_MS, KO) == (
        "노드 n1: 격리 뒤라 한 번에 작업 하나씩 시험 중: 연속 5번 실패"
    )
    row = changed(DEVICE, hold=HELD, quarantine=TIMED)
    view = DeviceView(
        row=row,
        tasks_held=2,
        node_state=PeerState.ONLINE,
        proof_at_ms=None,
        adb_age_s=None,
        answer_age_s=None,
    )
    assert device_now(view, NOW_MS, KO) == (
        "기기 d1, 작업 2개가 끝난 뒤 user/ann 사용; 기기 d1 격리됨, 42초 더: 연속 5번 실패"
    )


def test_a_task_of_a_bot_waits_for_no_device() -> None:
    of_bot = changed(task(device_serial=None), target_kind=TargetKind.BOT)
    told = waiting_because(of_bot, around(), KO)
    assert told == "아직 맡은 봇 프로세스가 없음"
