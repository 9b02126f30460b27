"""Names of events: their form, and patterns over them."""

import pytest

from doai.messages.catalogue import COMMANDS, EVENTS
from doai.topics import is_type, matches


@pytest.mark.parametrize(
    ("pattern", "event_type", "wanted"),
    [
        ("task.failed", "task.failed", True),
        ("task.*", "task.failed", True),
        ("task.*", "bot.status.changed", False),
        ("*.*.changed", "bot.status.changed", True),
        ("**", "bot.status.changed", True),
        ("bot.**", "bot.status.changed", True),
        ("task.**", "bot.status.changed", False),
        ("task", "task.failed", False),
    ],
)
def test_patterns(pattern: str, event_type: str, wanted: bool) -> None:
    assert matches(pattern, event_type) is wanted


def test_every_type_of_the_catalogue_has_the_form() -> None:
    assert all(is_type(name) for name in [*EVENTS, *COMMANDS])
    assert not any(is_type(name) for name in ("task", "Task.failed", "task.failed.now.really", "task..failed"))
