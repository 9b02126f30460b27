"""`doai logs --follow`: every line that came between two looks is printed once, the oldest first."""

from __future__ import annotations

from typing import Any

import pytest

from doai.cli import logs
from doai.cli.main import make_parser


def line(n: int) -> dict[str, Any]:
    about = {"level": "info", "program": "node", "source": "node-1/i", "logger": "x", "exception": ""}
    return {**about, "n": n, "atMs": 0, "receivedAtMs": 0, "fields": {}, "message": f"line {n}"}


class Log:
    """Answers as the API does: the newest that fit first, with a cursor to the older ones."""

    def __init__(self) -> None:
        self.newest = 0

    def get(self, path: str, *, limit: int, after: int = 0, cursor: str | None = None, **query: object) -> Any:
        assert path == "/logs"
        high = self.newest if cursor is None else int(cursor) - 1
        numbers = list(range(high, after, -1))[:limit]
        following = str(numbers[-1]) if numbers and numbers[-1] > after + 1 else None
        return {"items": [line(n) for n in numbers], "next": following, "newest": self.newest}

    def first(self, count: int, path: str, **query: object) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get(path, limit=count)["items"]
        return found


def test_more_than_a_page_between_two_looks_is_printed_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log, come = Log(), iter([3, logs.PAGE * 2 + 7, logs.PAGE * 2 + 8])

    def sleep(_: float) -> None:
        log.newest = next(come, 0)
        if not log.newest:
            raise KeyboardInterrupt

    monkeypatch.setattr(logs.time, "sleep", sleep)
    log.newest = 2
    with pytest.raises(KeyboardInterrupt):
        logs.logs(log, make_parser().parse_args(["logs", "--follow"]))  # type: ignore[arg-type]
    printed = [int(each.rsplit(" ", 1)[1]) for each in capsys.readouterr().out.splitlines()]
    assert printed == list(range(1, logs.PAGE * 2 + 9))
