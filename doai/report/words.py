"""The words of the HTML page, in English and Korean (step 14)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from doai import moments

_ENGLISH: Final = {
    "passed": "passed",
    "failed": "failed",
    "cancelled": "cancelled",
    "expired": "expired",
    "unknown": "unknown",
    "skipped": "skipped",
    "started": "end not seen",
    "optional": "failed, optional",
    "none": "not run",
    "queued": "queued",
    "delayed": "delayed",
    "dispatched": "dispatched",
    "running": "running",
    "unproven": "unproven",
    "cancelling": "cancelling",
    "active": "going on",
    "completed": "completed",
    "workflow": "Workflow",
    "run": "Run",
    "made": "Made",
    "took": "Took",
    "by": "By",
    "queue": "Queue",
    "tasks": "tasks",
    "devices": "Devices and steps",
    "device": "Device",
    "outcome": "Outcome",
    "causes": "What did not pass, by cause",
    "no_causes": "Every task passed.",
    "in_step": "in step",
    "screenshots": "Screenshots",
    "no_screenshots": "This run left no pictures.",
    "too_much": "not in this page, for its size",
    "not_stored": "not stored any more",
    "smaller": "made smaller for this page",
    "parameters": "Parameters",
    "no_parameters": "None.",
    "story": "Story",
    "lines": "lines",
    "left_out": "lines in between are left out",
    "still": "This run had not ended when the page was made: what is here is how it stood then.",
    "attempt": "attempt",
    "tries": "tries",
    "wide": "Steps from left to right, in the order of the workflow.",
    "made_by": "Made by doai. Nothing in this page is fetched from elsewhere.",
}
_KOREAN: Final = {
    "passed": "통과",
    "failed": "실패",
    "cancelled": "취소됨",
    "expired": "만료됨",
    "unknown": "알 수 없음",
    "skipped": "건너뜀",
    "started": "끝을 확인 못 함",
    "optional": "실패(선택 단계)",
    "none": "실행 안 함",
    "queued": "대기 중",
    "delayed": "재시도 대기",
    "dispatched": "전달됨",
    "running": "실행 중",
    "unproven": "확인 안 됨",
    "cancelling": "취소 중",
    "active": "진행 중",
    "completed": "완료",
    "workflow": "워크플로",
    "run": "실행",
    "made": "시작",
    "took": "걸린 시간",
    "by": "요청자",
    "queue": "대기열",
    "tasks": "개 작업",
    "devices": "기기별 단계",
    "device": "기기",
    "outcome": "결과",
    "causes": "통과하지 못한 원인",
    "no_causes": "모든 작업이 통과했습니다.",
    "in_step": "단계:",
    "screenshots": "스크린샷",
    "no_screenshots": "이 실행이 남긴 사진이 없습니다.",
    "too_much": "크기 때문에 이 페이지에 넣지 않음",
    "not_stored": "더 이상 저장되어 있지 않음",
    "smaller": "이 페이지에 맞게 줄임",
    "parameters": "매개변수",
    "no_parameters": "없음",
    "story": "기록",
    "lines": "줄",
    "left_out": "줄은 생략했습니다",
    "still": "이 페이지를 만들 때 실행이 끝나지 않았습니다. 그 시점의 상태입니다.",
    "attempt": "시도",
    "tries": "회 시도",
    "wide": "왼쪽에서 오른쪽으로 워크플로의 단계 순서입니다.",
    "made_by": "doai가 만들었습니다. 이 페이지는 외부에서 아무것도 불러오지 않습니다.",
}
LANGUAGES: Final[Mapping[str, Mapping[str, str]]] = {"en": _ENGLISH, "ko": _KOREAN}
"""By language: the same keys in each."""


def duration(seconds: float | None, language: str) -> str:
    """Return a duration as a person says it; empty when there is none."""
    if seconds is None:
        return ""
    if seconds < 0.1:
        return f"{seconds * 1000:.0f} ms"
    return moments.duration(seconds * 1000, moments.KOREAN if language == "ko" else moments.ENGLISH)
