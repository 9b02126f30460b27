"""The one report of an installation: what came of every phone, and counts that add up (step 14)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

import msgspec

from doai.bots.install.verdict import Result, Verdict
from doai.bots.stored_apps import StoredApp
from doai.limits import OUTPUTS_BYTES_MAX

BYTES_MAX: Final = OUTPUTS_BYTES_MAX * 3 // 4
"""Of the report as JSON: the frame that has it writes it in another form."""
GROUPS_MAX: Final = 100
REASON_CHARACTERS_MAX: Final = 240


class Group(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Phones of which the same came for the same reason."""

    result: Result
    code: str
    reason: str
    phones: int
    serials: list[str]
    """In order of the alphabet; of very many phones not all are named here: their tasks are."""


class Report(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What came of an installation: the outputs of its task."""

    file: str
    package: str
    version_code: int
    version_name: str
    summary: str
    """One sentence."""
    stopped: str
    """Why it went no further; empty = it did not stop."""
    phones: int
    counts: dict[str, int]
    """Phones by result; they add up to `phones`."""
    groups: list[Group]
    runs: dict[str, list[str]]
    """Ids of the runs that were made, by what for: look, install, look_again, roll_back."""


def make_report(
    app: StoredApp, verdicts: Mapping[str, Verdict], *, stopped: str, runs: Mapping[str, list[str]]
) -> Report:
    """Return the report of what came of each phone, by serial."""
    counts = Counter(verdict.result for verdict in verdicts.values())
    told = ", ".join(f"{counts[result]} {result.value.replace('_', ' ')}" for result in Result if counts[result])
    report = Report(
        file=app.file,
        package=app.package,
        version_code=app.version_code,
        version_name=app.version_name,
        summary=f"{app.package} {app.version_code} on {len(verdicts)} phones: {told or 'none'}"
        + (f"; stopped: {stopped}" if stopped else ""),
        stopped=stopped,
        phones=len(verdicts),
        counts={result.value: counts[result] for result in Result},
        groups=_groups(verdicts),
        runs={name: list(ids) for name, ids in runs.items()},
    )
    while len(msgspec.json.encode(report)) > BYTES_MAX:
        longest = max(range(len(report.groups)), key=lambda index: len(report.groups[index].serials))
        group = report.groups[longest]
        report.groups[longest] = msgspec.structs.replace(group, serials=group.serials[: len(group.serials) // 2])
    return report


def _groups(verdicts: Mapping[str, Verdict]) -> list[Group]:
    by_verdict: dict[tuple[Result, str, str], list[str]] = {}
    for serial in sorted(verdicts):
        verdict = verdicts[serial]
        reason = verdict.reason[:REASON_CHARACTERS_MAX]
        if len(by_verdict) >= GROUPS_MAX and (verdict.result, verdict.code, reason) not in by_verdict:
            reason = "for other reasons: see their tasks"
        by_verdict.setdefault((verdict.result, verdict.code, reason), []).append(serial)
    order = list(Result)
    return [
        Group(result=result, code=code, reason=reason, phones=len(serials), serials=serials)
        for (result, code, reason), serials in sorted(
            by_verdict.items(), key=lambda item: (order.index(item[0][0]), -len(item[1]), item[0][1:])
        )
    ]
