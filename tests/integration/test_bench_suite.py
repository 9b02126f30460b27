"""The suite around the benchmarks: short forms, the history, two commits compared, the report. Nothing is timed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import apsw
import msgspec
import pytest
import zmq

from bench import admin, bots, broker, charts, codec, compare, history, hop_proxy, ops, start, store_events
from bench.frames_floor import Frames, measure_frames
from bench.report import Line, table
from doai.cli import bench, exits
from tests.browser.desk import CHROMIUM


def line(name: str, value: float, unit: str = "us/task", ratio: float | None = None) -> Line:
    return Line(name=name, value=value, unit=unit, ratio=ratio)


@pytest.mark.parametrize(("per_run", "per_frame"), [(20, 5), (1, 20)])
def test_the_broker_alone_ends_every_task_and_is_compared_with_its_own_rows(per_run: int, per_frame: int) -> None:
    measured = broker.measure(40, per_run, per_frame)
    assert measured.spent.tasks == measured.floor.tasks == 40
    assert measured.floor.rows_a_task == pytest.approx(11 + 4 / per_run)
    assert measured.spent.frames >= 40 // per_frame
    names = [each.name.rpartition(".")[2] for each in broker.lines(per_run, per_frame, [measured])]
    assert names == ["cpu", "decide", "commit"]


@pytest.mark.parametrize(("taken", "sent"), [(30, 90), (90, 30)])
def test_the_bare_loop_passes_as_many_frames_as_were_counted(taken: int, sent: int) -> None:
    counted = Frames(taken=taken, taken_bytes=taken * 100, sent=sent, sent_bytes=sent * 10)
    assert measure_frames(counted, rounds=1) > 0
    assert (counted + counted).since(counted) == counted


def test_an_envelope_is_measured_beside_its_floor_and_json() -> None:
    found = {each.name: each for each in codec.lines(codec.measure(50, 1))}
    assert list(found) == [
        "codec.header.out",
        "codec.header.in",
        "codec.envelope.out",
        "codec.envelope.out.to_json",
        "codec.envelope.in",
        "codec.envelope.in.to_json",
    ]


def test_the_proxy_in_c_forwards_and_ends() -> None:
    with hop_proxy.open_proxy(None) as proxy, zmq.Context() as context:
        with context.socket(zmq.DEALER) as sender, context.socket(zmq.DEALER) as receiver:
            for socket, endpoint in ((sender, proxy.front), (receiver, proxy.back)):
                socket.set(zmq.LINGER, 0)
                socket.set(zmq.RCVTIMEO, 30_000)
                socket.connect(endpoint)
            sender.send_multipart([b"header", b"body"])
            routing_id, *rest = receiver.recv_multipart()
            assert (len(rest) + 1, rest) == (hop_proxy.PARTS, [b"header", b"body"])
            assert len(routing_id) == 5
        assert proxy.cpu_s() > 0


def test_events_are_written_by_both_sides_into_one_file(tmp_path: Path) -> None:
    found = store_events.measure(tmp_path / "events.db", (1, 8), rounds=1, commits=2)
    assert [line.name for line in store_events.lines(found)] == [
        f"store.events_{batch}.{name}" for batch in (1, 8) for name in ("rows", "cpu")
    ]
    with apsw.Connection(str(tmp_path / "events.db")) as connection:
        [(rows, last)] = connection.execute("SELECT count(*), max(position) FROM events")
    connection.close()
    assert rows == last == 2 * 2 * (2 * 1 + 2 * 8)  # warm and measured, both sides, two commits of each


@pytest.mark.slow
async def test_a_start_ends_with_a_result() -> None:
    started = await start.measure(devices=2)
    assert 0 < started.welcome_s <= started.result_s
    online, result = start.lines([started])
    assert online.ratio is not None
    assert result.unit == "s"


@pytest.mark.slow
async def test_actions_of_operators_are_counted_and_seen_in_the_order_of_the_log() -> None:
    measured = await ops.measure(ops.SMALL)
    assert set(measured.stored_ms) == {"without", "retention", "backup"}
    assert measured.rows_removed > 0
    named = {each.name: each for each in ops.lines(measured, ops.SMALL)}
    for action in ("pause", "drain", "discard.do", "retry_failed", "clean.do"):
        assert named[f"ops.{action}.answer"].ratio is not None
    assert named["ops.retention.p99"].ratio is not None
    assert {"ops.discard.effect", "ops.clean.effect"} <= set(named)


@pytest.mark.slow
async def test_every_bot_is_given_every_event_while_one_stands_still() -> None:
    [measured] = await bots.measure(3, 1, 0.3, events_a_s=300)
    assert {window.events > 0 for window in (measured.one, measured.hung, measured.many)} == {True}
    assert measured.one.median_ms <= measured.one.p99_ms


def test_bots_are_compared_with_one_and_with_the_goals() -> None:
    one, hung, many = (
        bots.Window(events=1000, seconds=1.0, broker_us=used, median_ms=1.0, p99_ms=p99)
        for used, p99 in ((100.0, 10.0), (100.0, 11.0), (150.0, 40.0))
    )
    found = {each.name: each for each in bots.lines([bots.Round(one=one, hung=hung, many=many)])}
    assert (found["bots.one.p99"].ratio, found["bots.one.p99"].goal) == (2.0, 1.0)
    assert found["bots.with_50.p99"].ratio == 0.5
    assert (found["bots.with_50.cost"].value, found["bots.with_50.cost"].ratio) == (1.5, 1.333)
    assert (found["bots.hung.p99"].value, found["bots.hung.p99"].ratio) == (1.1, 1.0)
    core = bots.core_line([(10e-6, 30e-6), (10e-6, 40e-6), (10e-6, 40e-6)])
    assert (core.value, core.ratio) == (4.0, 0.5)


def test_the_core_alone_gives_every_bot_every_event() -> None:
    assert bots.measure_core(3, 120) > 0


def test_a_run_is_a_line_of_the_history_and_a_section_of_the_report(tmp_path: Path) -> None:
    path, report, folder = tmp_path / "history.jsonl", tmp_path / "report.md", tmp_path / "report"
    assert "no run" in charts.write(path, report, folder)
    machine = history.machine()
    for value in (100.0, 50.0):
        history.append(
            "broker", [line("broker.cpu", value, ratio=50 / value), line("broker.part", 1.0)], machine, path
        )
    first, second = history.load(path)
    assert [figure.value for figure in first.figures] == [100.0, 1.0]
    assert second.machine.cores >= 1
    assert "1 benchmarks, 2 runs" in charts.write(path, report, folder)
    text = report.read_text()
    assert "| broker.cpu | 50 | us/task | 1.00 |  |" in text
    assert {picture.name for picture in folder.iterdir()} == {"broker.png", "broker-runs.png"}
    assert (folder / "broker.png").read_bytes().startswith(b"\x89PNG")


def test_the_report_is_that_of_the_history_and_says_how_old_each_run_is(tmp_path: Path) -> None:
    report = tmp_path / "report.md"
    charts.write(report=report, folder=tmp_path / "report")
    assert report.read_text(encoding="utf-8") == charts.REPORT.read_text(encoding="utf-8"), "run bin/bench report"
    drawn = {path.name for path in (tmp_path / "report").iterdir()}
    assert drawn == {path.name for path in charts.FOLDER.iterdir()}
    early, late = "2026-11-20T22:00:00+00:00", "2026-11-22T00:00:00+00:00"
    run = msgspec.structs.replace(history.load()[-1], commit="abc", at=early)
    *_, old, new, _ = charts.ages({"a": run, "b": msgspec.structs.replace(run, at=late)})
    assert old == f"| [a](#a) | {early} | `abc` | {run.machine.load:g} | 26 h |"
    assert new == f"| [b](#b) | {late} | `abc` | {run.machine.load:g} |  |"


def test_a_goal_is_told_beside_its_figure(tmp_path: Path) -> None:
    lines = [
        Line(name="a.rate", value=5.0, unit="tasks/s", ratio=0.8, goal=0.5),
        Line(name="b.rate", value=5.0, unit="tasks/s", ratio=0.4, goal=0.5),
    ]
    assert [word in table(lines) for word in ("0.5 reached", "0.5 missed")] == [True, True]
    path, report = tmp_path / "history.jsonl", tmp_path / "report.md"
    history.append("a", lines, history.machine(), path)
    charts.write(path, report, tmp_path / "report")
    assert "| b.rate | 5 | tasks/s | 0.40 | 0.5 missed |" in report.read_text()


def test_a_difference_is_told_from_noise() -> None:
    noisy = [10.0, 11.0, 9.0, 10.5, 9.5]
    before = [[line("cpu", value), line("rate", 100 + value, "tasks/s"), line("same", value)] for value in noisy]
    after = [[line("cpu", value / 2), line("rate", 50 + value, "tasks/s"), line("same", value)] for value in noisy]
    found = {each.name: each for each in compare.differences(before, after)}
    assert found["cpu"].ratio == pytest.approx(2.0)
    assert [found[name].verdict for name in ("cpu", "rate", "same")] == ["better", "worse", "-"]
    assert "better" in compare.table(list(found.values()))
    assert {each.verdict for each in compare.differences(before[:3], after[:3])} == {"?"}


@pytest.mark.parametrize("rounds", [5, 12])
def test_a_difference_that_chance_makes_or_that_is_tiny_is_none(rounds: int) -> None:
    values = [100.0 + turn for turn in range(rounds)]
    assert compare.chance_of(values, [value + 50 for value in values]) <= 2 / 252
    assert compare.chance_of(values, values) == 1.0
    assert compare.chance_of(values, [*values[1:], 150.0]) > compare.CHANCE
    close = [[line("cpu", 100 + value / 1000)] for value in values]
    [tiny] = compare.differences(close, [[line("cpu", 101 + value / 1000)] for value in values])
    assert (tiny.high < 1, tiny.chance <= compare.CHANCE, tiny.verdict) == (True, True, "-")


def test_a_figure_of_nothing_or_of_one_side_is_left_out() -> None:
    before = [[line("nothing", 0.0), line("gone", 1.0)]]
    after = [[line("nothing", 0.0), line("new", 1.0)]]
    assert list(compare.differences(before, after)) == []


TINY = '''"""tiny: one figure."""
from bench.report import Line

def run():
    yield Line(name="tiny", value=1.0, unit="us")
'''


def test_a_checkout_of_its_own_is_measured(tmp_path: Path) -> None:
    folder = compare.check_out(".", tmp_path / "a")
    (folder / "bench" / "tiny.py").write_text(TINY)
    [measured] = compare.measure(folder, "tiny")
    assert (measured.name, measured.value) == ("tiny", 1.0)
    assert (
        not (folder / "bench" / "history.jsonl").exists()
        or "tiny" not in (folder / "bench" / "history.jsonl").read_text()
    )
    with pytest.raises(compare.NotComparable, match="no benchmark 'none'"):
        compare.measure(folder, "none")


def test_an_unknown_commit_is_told(tmp_path: Path) -> None:
    inside = subprocess.run(["git", "rev-parse"], cwd=compare.ROOT, capture_output=True, check=False)
    if inside.returncode:
        pytest.skip("this is no checkout")
    with pytest.raises(compare.NotComparable, match="no commit 'nothing-like-it'"):
        compare.check_out("nothing-like-it", tmp_path / "a")


def test_the_command_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--list"]) == exits.PASSED
    listed = capsys.readouterr().out.splitlines()
    assert any(each.startswith("broker: CPU of a task") for each in listed)
    assert bench.main(["brokers"]) == exits.USAGE
    assert "choose one of" in capsys.readouterr().err
    assert bench.main(["compare", "main"]) == exits.USAGE
    assert bench.main(["codec", "main", "main"]) == exits.USAGE
    assert bench.main(["codec", "--install"]) == exits.USAGE
    assert bench.main(["codec", "--long"]) == exits.USAGE


@pytest.mark.slow
def test_every_page_of_an_admin_is_asked_for_and_its_stream_reaches_every_viewer() -> None:
    named = {line.name: line for line in admin.measure(admin.SMALL)}
    assert {f"admin.page {path}" for path in admin.PAGES} <= set(named)
    assert named["admin.stream.rate"].value > 0
    assert named["admin.beside.events"].value > 0
    assert "with 95 %" in named["admin.beside.p99"].against
    assert "admin.map.frames" in named or CHROMIUM is None
    assert named["admin.rss"].ratio is not None
