"""A commit that fails in a real process: exit 74, one sentence; the next start reloads, and nothing is doubled."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from doai.cli import exits
from doai.cli.child import Child
from doai.codec import Kind, decode, pack_header
from doai.messages import commands as c
from doai.messages.link import Role
from doai.wire.dealer import open_dealer
from doai.wire.keys import load_or_make_keypair
from tests.fuzz.site import RECIPE, command, hello, next_frame


def child(folder: Path, program: str, *words: str) -> Child:
    arguments = [str(folder / f"{program}.fails"), f"doai.cli.{program}", *words]
    return Child(program, "tests.integration.failing_disk", arguments, folder)


async def store_workflow(folder: Path, broker: Child, body: bytes) -> c.Reply:
    pair = load_or_make_keypair(folder / "data" / "keys" / "admin.key")
    async with open_dealer(broker.ready["X_DOAI_ENDPOINT"], pair, broker.ready["X_DOAI_PUBLIC_KEY"]) as dealer:
        await dealer.send(pack_header(Kind.HELLO), hello("admin", Role.ADMIN))
        await next_frame(dealer, Kind.WELCOME)
        await dealer.send(pack_header(Kind.COMMAND), body)
        return decode(await next_frame(dealer, Kind.REPLY), c.Reply)


def last_line(log: Path) -> str:
    text = log.read_text()
    assert "Traceback" not in text
    return text.strip().splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("writer", ["adaptive", "thread"])
async def test_a_broker_whose_commit_fails_exits_with_74_and_starts_again(tmp_path: Path, writer: str) -> None:
    words = ["--data-dir", str(tmp_path / "data"), "--endpoint", "tcp://127.0.0.1:0", "--store-writer", writer]
    broker = child(tmp_path, "broker", *words)
    body = command("admin/test", c.STORE_WORKFLOW, c.StoreWorkflow(source=RECIPE))
    with trio.fail_after(60):
        await broker.start()
        try:
            (tmp_path / "broker.fails").touch()
            async with trio.open_nursery() as nursery:

                async def ask() -> None:
                    reply = await store_workflow(tmp_path, broker, body)
                    raise AssertionError(f"answered ahead of a commit that failed: {reply}")

                nursery.start_soon(ask)
                assert await broker.wait() == exits.IO_ERROR
                nursery.cancel_scope.cancel()
            assert "outcome is unknown" in last_line(tmp_path / "broker.log")
            broker = child(tmp_path, "broker", *words)
            await broker.start()
            reply = await store_workflow(tmp_path, broker, body)
            assert reply.problem is None
            again = await store_workflow(tmp_path, broker, body)
            assert again.result["version"] == 1
        finally:
            await broker.stop()


@pytest.mark.slow
async def test_a_node_whose_commit_fails_exits_with_74_and_starts_again(tmp_path: Path) -> None:
    key = load_or_make_keypair(tmp_path / "any.key").public
    words = ["--name", "n1", "--data-dir", str(tmp_path / "n1"), "--broker-public-key", key]
    words += ["--endpoint", "tcp://127.0.0.1:9", "--drivers", "fake", "--fake-count", "1"]
    node = child(tmp_path, "node", *words)
    with trio.fail_after(60):
        await node.start()
        try:
            # A node commits before it greets again; its device coming online was one already.
            (tmp_path / "node.fails").touch()
            node_ended = await stop_or_end(node)
            assert node_ended == exits.IO_ERROR
            assert "outcome is unknown" in last_line(tmp_path / "node.log")
            node = child(tmp_path, "node", *words)
            await node.start()
        finally:
            await node.stop()


async def stop_or_end(node: Child) -> int:
    await node.stop()  # what it tells at its end is a commit too
    return await node.wait()
