"""The words of a message, in Korean and English, safe to show wherever it ends up (step 14)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

from doai.bots.notify.channels import About
from doai.bots.notify.notices import Notice, Phase
from doai.bots.notify.outlet import Message
from doai.incidents import RULES, IncidentType

TITLE_CHARS: Final = 150
_MENTION: Final = re.compile(
    r"@(?=everyone|here|channel|all)|(?<!\w)@(?=\w)|<(?=[!@#|a-zA-Z/])|\](?=\()|!(?=\[)|(?<=[a-z])://",
    re.IGNORECASE,
)
"""What services make a mention, a link, a picture or a tag of."""
_GAP: Final = "\u2060"  # word joiner: nothing is seen, and no markup is left


class Text(NamedTuple):
    """A message in words."""

    title: str
    body: str


class _Language(NamedTuple):
    incident: Mapping[Phase, str]
    severity: Mapping[str, str]
    types: Mapping[str, str]
    returned: str
    by: str
    to_do: str
    dead_letter: str
    campaign: str
    run: str
    outcome: Mapping[str, str]
    more: str
    several: str
    numbers: Mapping[str, str]
    test_title: str
    test_body: str


_EN: Final = _Language(
    incident={Phase.OPENED: "Incident", Phase.CLOSED: "Over"},
    severity={"low": "low", "medium": "medium", "high": "high", "critical": "critical"},
    types={},
    returned="it had come back {0} times",
    by="by {0}",
    to_do="To do: {0}",
    dead_letter="Dead letter ({0})",
    campaign="Campaign {0} has ended",
    run="Run {0}: {1}",
    outcome={state: state for state in ("passed", "failed", "cancelled", "expired", "unknown")},
    more="and {0} more",
    several="{0} notices: {1}",
    numbers={
        "incidents/opened": "{0} incident|{0} incidents",
        "incidents/closed": "{0} over",
        "dead_letters/happened": "{0} dead letter|{0} dead letters",
        "campaigns/happened": "{0} campaign ended|{0} campaigns ended",
        "runs/happened": "{0} run ended|{0} runs ended",
        "test/happened": "{0} test|{0} tests",
    },
    test_title="Test message",
    test_body="If you can read this, the channel {0} works.",
)  # fmt: skip
_KO: Final = _Language(
    incident={Phase.OPENED: "장애", Phase.CLOSED: "해소"},
    severity={"low": "낮음", "medium": "보통", "high": "높음", "critical": "심각"},
    types={
        "QUEUE_BACKLOG": "대기열이 밀림",
        "HIGH_FAILURE_RATE": "실패율이 높음",
        "SLOW_PROCESSING": "처리가 느려짐",
        "DEAD_LETTERS": "데드 레터가 많음",
        "TASK_LATE": "작업이 오래 대기함",
        "NO_PROGRESS": "대기열이 멈춤",
        "NODE_DOWN": "노드의 소식이 끊김",
        "PLUGIN_BROKEN": "노드의 플러그인을 쓸 수 없음",
        "BOT_DOWN": "봇의 소식이 끊김",
        "CURSOR_LAG": "봇이 이벤트에 뒤처짐",
        "UNKNOWN_KIND": "작업을 맡을 봇이 없음",
        "DEVICE_OFFLINE": "기기가 일하지 못함",
        "DEVICE_FLAPPING": "기기가 끊겼다 붙었다 함",
        "DUPLICATE_DEVICE": "한 기기가 두 노드에 보임",
        "BATTERY_HOT": "기기 배터리가 뜨거움",
        "BATTERY_LOW": "기기 배터리가 부족함",
        "STORAGE_LOW": "기기 저장 공간이 부족함",
        "MEMORY_LOW": "기기 메모리가 부족함",
        "THERMAL_SEVERE": "기기가 과열로 느려짐",
        "DEVICE_SILENT": "기기가 상태를 답하지 않음",
        "LOW_DISK": "디스크 공간이 부족함",
        "OUTBOX_FULL": "노드의 아웃박스가 가득 참",
        "CLOCK_SKEW": "호스트의 시계가 어긋남",
        "CLONED_OUTBOX": "노드 데이터의 복사본이 쓰임",
        "STORE_ROLLED_BACK": "저장소가 이전 상태로 돌아감",
        "MESSAGES_NOT_KEPT": "처리할 수 없는 메시지가 계속됨",
    },
    returned="그 사이 {0}번 다시 발생",
    by="처리: {0}",
    to_do="할 일: {0}",
    dead_letter="데드 레터({0})",
    campaign="캠페인 {0} 종료",
    run="실행 {0}: {1}",
    outcome={
        "passed": "성공", "failed": "실패", "cancelled": "취소됨", "expired": "기한 지남", "unknown": "알 수 없음",
    },
    more="외 {0}건",
    several="알림 {0}건: {1}",
    numbers={
        "incidents/opened": "장애 {0}건",
        "incidents/closed": "해소 {0}건",
        "dead_letters/happened": "데드 레터 {0}건",
        "campaigns/happened": "캠페인 종료 {0}건",
        "runs/happened": "실행 종료 {0}건",
        "test/happened": "시험 {0}건",
    },
    test_title="시험 메시지",
    test_body="이 글이 보이면 채널 {0}은(는) 잘 동작합니다.",
)  # fmt: skip
LANGUAGES: Final[Mapping[str, _Language]] = {"en": _EN, "ko": _KO}
_PAGES: Final = {
    About.INCIDENTS: "/incidents",
    About.DEAD_LETTERS: "/dead",
    About.CAMPAIGNS: "/schedules",
    About.RUNS: "/runs",
}


def text_of(message: Message, channel: str, language: str, dashboard_url: str = "") -> Text:
    """Return a message in words: one line as title, plain text as body."""
    words = LANGUAGES[language]
    first = message.notices[0]
    if first.about is About.TEST:
        return _text(words.test_title, words.test_body.format(channel))
    if message.count == 1:
        head, *details = _lines(first, words)
        link = _link(first, dashboard_url)
        return _text(head, "\n".join([plain(line) for line in (head, *details)] + [link] * bool(link)))
    numbers = ", ".join(_number(words.numbers[name], count) for name, count in message.numbers.items())
    lines = [plain(_lines(notice, words)[0]) for notice in message.notices]
    if message.count > len(lines):
        lines.append(words.more.format(message.count - len(lines)))
    if dashboard_url:
        lines.append(dashboard_url)
    return _text(words.several.format(message.count, numbers), "\n".join(lines))


def _number(forms: str, count: int) -> str:
    one, _, many = forms.partition("|")
    return (many if many and count != 1 else one).format(count)


def _text(title: str, body: str) -> Text:
    return Text(f"[doai] {plain(title)}"[:TITLE_CHARS], body)


def _lines(notice: Notice, words: _Language) -> list[str]:
    """One line that says it all, then what helps."""
    return _LINES[notice.about](notice, words)


def _incident(notice: Notice, words: _Language) -> list[str]:
    name = words.types.get(notice.kind, notice.kind)
    head = f"{words.incident[notice.phase]} ({words.severity[notice.severity.value]}) {name}, {notice.subject}"
    if notice.text:
        head += f": {notice.text}"
    if notice.phase is Phase.CLOSED:
        details = [words.returned.format(notice.returns)] * bool(notice.returns)
        return [head, *details, *([words.by.format(notice.actor)] * bool(notice.actor))]
    rule = RULES[IncidentType(notice.kind)] if notice.kind in IncidentType.__members__ else None
    return [head, _at(notice), *([words.to_do.format(rule.to_do)] if rule else [])]


def _dead_letter(notice: Notice, words: _Language) -> list[str]:
    command = words.to_do.format(f"`doai dead show {notice.id}`")
    return [f"{words.dead_letter.format(notice.kind)}: {notice.text}", _at(notice), command]


def _campaign(notice: Notice, words: _Language) -> list[str]:
    head = words.campaign.format(notice.id)
    return [f"{head}: {notice.text}" if notice.text else head, _at(notice)]


def _run(notice: Notice, words: _Language) -> list[str]:
    outcome = words.outcome.get(notice.kind, notice.kind)
    counts = ", ".join(f"{words.outcome.get(name, name)} {count}" for name, count in notice.counts.items())
    return [f"{words.run.format(notice.text, outcome)} ({counts})", _at(notice), f"`doai results {notice.id}`"]


_LINES: Final[Mapping[About, Callable[[Notice, _Language], list[str]]]] = {
    About.INCIDENTS: _incident,
    About.DEAD_LETTERS: _dead_letter,
    About.CAMPAIGNS: _campaign,
    About.RUNS: _run,
    About.TEST: lambda notice, words: [words.test_title],
}


def _at(notice: Notice) -> str:
    return datetime.fromtimestamp(notice.at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _link(notice: Notice, dashboard_url: str) -> str:
    if not dashboard_url or notice.about not in _PAGES:
        return ""
    page = f"/runs/{notice.id}" if notice.about is About.RUNS else _PAGES[notice.about]
    return dashboard_url.rstrip("/") + page


def plain(text: str) -> str:
    """Return one line in which nothing ends a header, calls anybody, or becomes a link or markup of a service.

    What a phone, an app or a stranger's error message says must not act where people read it.
    """
    shown = "".join(char if _is_shown(char) else " " for char in text)
    return _MENTION.sub(
        lambda found: found[0] + _GAP if len(found[0]) == 1 else f":{_GAP}//", " ".join(shown.split())
    )


def _is_shown(char: str) -> bool:
    # Control characters, directions that hide what is written, line and paragraph separators, surrogates.
    return unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn")
