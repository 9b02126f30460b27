"""What is read of the log for a subscription that is behind the ring, or whose subjects are (step 14)."""

from __future__ import annotations

from collections.abc import Sequence

from doai.broker.core.event_tail import EventTail
from doai.broker.core.feed import Feed
from doai.changes.log import LoggedRow, LogRequest, LogSlice
from doai.limits import EVENTS_FRAME_BYTES, LOG_READ_ROWS, LOG_READ_SUBJECTS, SUBJECT_IN_FLIGHT_MAX


def rest_of_log(feed: Feed, up_to: int) -> LogRequest:
    """Return the question for what follows its place."""
    return LogRequest(
        topics=list(feed.filter.patterns),
        after=feed.next - 1,
        up_to=up_to,
        rows_max=LOG_READ_ROWS,
        bytes_max=EVENTS_FRAME_BYTES,
        since_ms=feed.since_ms,
    )


def of_open_subjects(feed: Feed) -> LogRequest | None:
    """Return the question for what a person gives again, or for subjects that nobody holds; None: nothing is."""
    subjects, again = feed.idle_subjects(LOG_READ_SUBJECTS), feed.idle_again(LOG_READ_SUBJECTS)
    if not subjects and not again:
        return None
    return LogRequest(
        topics=list(feed.filter.patterns),
        up_to=feed.next - 1,
        rows_max=SUBJECT_IN_FLIGHT_MAX,
        bytes_max=EVENTS_FRAME_BYTES,
        subjects=[] if again else subjects,
        positions=again,
    )


def with_newer(
    feed: Feed, tail: EventTail | None, request: LogRequest, found: LogSlice
) -> tuple[Sequence[LoggedRow], dict[str, int]]:
    """Add what was passed over since the store was asked, where the tail has it: else a busy log has no end."""
    newer = tail.since(request.up_to + 1) if tail is not None else None
    if not newer:
        return found.rows, found.subjects
    whole = {subject for subject, through in found.subjects.items() if through >= request.up_to}
    rows = [row for row in newer if row.position < feed.next and row.subject in whole]
    rows = [row for row in rows if feed.filter.takes(row.type)]
    looked = {name: feed.next - 1 if name in whole else to for name, to in found.subjects.items()}
    return [*found.rows, *rows], looked
