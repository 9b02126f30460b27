"""The drawer of the list of tasks is drawn with the list: for a task, for none, and for an id that is no task's."""

from __future__ import annotations

import asyncio
import html
import re
import types
from pathlib import Path
from typing import Any

import pytest

from doai.admin.access import Caller
from doai.admin.dashboard.tasks import list_page, task_page
from doai.admin.dashboard.visit import Visit
from doai.admin.dashboard.wording import Wording
from doai.changes import ops
from doai.changes.rows import RunRow
from doai.states import TaskState
from doai.store.process_writer import open_process_writer
from doai.store.reader import StoreReader
from tests.unit.admin.task_rows import task_row

RUN = RunRow(
    run_id="r1", workflow="", version=1, recipe_hash="h", params_body=b"{}", targets_body=b"{}",
    step_timeouts_body=b"{}", queue="default", priority=0, attempts_max=1, tasks=2, created_at_ms=1, actor="user/a",
    interface="cli", trace_id="",
)  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("drawer") / "broker.db"
    writer = open_process_writer(path, new_store_id="S", now_ms=1)
    tasks = [task_row(TaskState.PASSED, each, ended_at_ms=2) for each in ("t1", "t2")]
    writer.commit([ops.InsertRun(RUN), *map(ops.InsertTask, tasks)])
    writer.close()
    return path


def drawn(store: Path, handler: Any, language: str = "en", path: dict[str, str] | None = None, **query: str) -> str:
    """Return a page as a viewer's browser gets it."""

    async def never(_: str) -> None:
        return None

    async def ask() -> str:
        reader = StoreReader(store)
        removed = types.SimpleNamespace(reader=types.SimpleNamespace(removed_at_ms=never))
        services: Any = types.SimpleNamespace(
            reader=reader, mesh=types.SimpleNamespace(why_not_live=None), janitor=removed
        )
        visit = Visit(
            services=services, caller=Caller("ann", "viewer", "dashboard"), csrf="", words=Wording(language),
            theme="system", zone="UTC", path="/tasks", query=query, at_ms=1_700_000_000_000,
        )  # fmt: skip
        try:
            answer = await handler.fn(visit=visit, **(path or {}))
        finally:
            await reader.close()
        assert answer.status_code == 200
        return str(answer.content)

    return asyncio.run(ask())


def test_the_links_of_the_list_lead_to_pages_and_name_the_address_of_the_drawer(store: Path) -> None:
    text = drawn(store, list_page, state="passed", run="r1")
    assert 'id="drawer"' not in text
    assert 'href="/tasks/t1" data-drawer="/tasks?state=passed&amp;run=r1&amp;task=t1"' in text


def test_the_drawer_shows_what_the_page_of_the_task_shows(store: Path) -> None:
    beside = drawn(store, list_page, state="passed", task="t1")
    alone = drawn(store, task_page, path={"task_id": "t1"})
    [body] = re.findall(r'<p class="lead">.*?</ol>|<p class="lead">.*?(?=<footer)', alone, re.DOTALL)
    assert "Steps" in body
    assert body.strip() in beside
    assert 'data-task="t1"' in beside
    assert 'href="/tasks?state=passed" data-close' in beside
    assert '<input type="hidden" name="task" value="t1">' in beside, "other filters keep it open"
    assert beside.count("data-drawer") == 2, "the list is there, too"
    assert "doai tasks --state passed</code>" in beside, "the command of the list is that of its filters"
    assert "doai tasks t1</code>" in beside


@pytest.mark.parametrize("task_id", ["none", "작업\u202e", "<b>'\"&", "\0", "../t1", "x" * 5000])
@pytest.mark.parametrize(("language", "says"), [("en", "There is no such task."), ("ko", "이런 작업이 없습니다.")])
def test_an_id_of_no_task_is_said_and_the_list_is_shown(
    store: Path, task_id: str, language: str, says: str
) -> None:
    text = drawn(store, list_page, language, task=task_id)
    assert says in text
    assert text.count("data-drawer") == 2
    assert "<b>'" not in text
    assert f'data-task="{html.escape(task_id[:200]).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")}"' in text
