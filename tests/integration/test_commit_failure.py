"""A commit that fails in a real process: exit 74, one sentence; the next start reloads, and nothing is doubled."""

from __future__ import annotations

from pathlib import Path

import apsw
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


async def ask(folder: Path, broker: Child, body: bytes) -> c.Reply:
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
@pytest.mark.parametrize("writer", ["adaptive", "thread", "process"])
async def test_a_broker_whose_commit_fails_exits_with_74_and_starts_again(tmp_path: Path, writer: str) -> None:
    words = ["--data-dir", str(tmp_path / "data"), "--endpoint", "tcp://127.0.0.1:0", "--store-writer", writer]
    broker = child(tmp_path, "broker", *words)
    body = command("admin/test", c.STORE_WORKFLOW, c.StoreWorkflow(source=RECIPE))
    with trio.fail_after(180):
        await broker.start()
        try:
            (tmp_path / "broker.fails").touch()
            async with trio.open_nursery() as nursery:

                async def store_workflow() -> None:
                    reply = await ask(tmp_path, broker, body)
                    raise AssertionError(f"answered ahead of a commit that failed: {reply}")

                nursery.start_soon(store_workflow)
                assert await broker.wait() == exits.IO_ERROR
                nursery.cancel_scope.cancel()
            assert "outcome is unknown" in last_line(tmp_path / "broker.log")
            broker = child(tmp_path, "broker", *words)
            await broker.start()
            reply = await ask(tmp_path, broker, body)
            assert reply.problem is None
            again = await ask(tmp_path, broker, body)
            assert again.result["version"] == 1
        finally:
            await broker.stop()


@pytest.mark.slow
async def test_a_node_whose_commit_fails_exits_with_74_and_starts_again(tmp_path: Path) -> None:
    node_key = load_or_make_keypair(tmp_path / "n1" / "keys" / "node.key").public
    words = ["--data-dir", str(tmp_path / "data"), "--endpoint", "tcp://127.0.0.1:0"]
    broker, node = child(tmp_path, "broker", *words), None
    with trio.fail_after(180):
        await broker.start()
        try:
            endpoint, server_key = broker.ready["X_DOAI_ENDPOINT"], broker.ready["X_DOAI_PUBLIC_KEY"]
            add_key = command("admin/test", c.ADD_KEY, c.AddKey(name="n1", role="node", public_key=node_key))
            assert (await ask(tmp_path, broker, add_key)).problem is None
            node = child(
                tmp_path, "node", "--name", "n1", "--data-dir", str(tmp_path / "n1"), "--endpoint", endpoint,
                "--broker-public-key", server_key, "--drivers", "fake", "--fake-count", "1",
            )  # fmt: skip
            await node.start()
            await device_online(tmp_path / "data" / "broker.db")
            (tmp_path / "node.fails").touch()
            await broker.stop()  # the node opens a new connection, and commits its epoch before it greets
            assert await node.wait() == exits.IO_ERROR
            assert "outcome is unknown" in last_line(tmp_path / "node.log")
            await node.start()
        finally:
            if node is not None:
                await node.stop()
            await broker.stop()


async def device_online(store: Path) -> None:
    await wait_stored(store, "SELECT count(*) FROM devices WHERE state = 'online'")


async def wait_stored(store: Path, sql: str) -> None:
    connection = apsw.Connection(str(store), flags=apsw.SQLITE_OPEN_READONLY)
    connection.set_busy_timeout(5000)
    try:
        while not connection.execute(sql).get:  # noqa: ASYNC110 - another process
            await trio.sleep(0.02)
    finally:
        connection.close()


@pytest.mark.slow
async def test_a_node_whose_disk_fails_at_its_end_says_so_and_starts_again(tmp_path: Path) -> None:
    key = load_or_make_keypair(tmp_path / "any.key").public
    words = ["--name", "n1", "--data-dir", str(tmp_path / "n1"), "--broker-public-key", key]
    words += ["--endpoint", "tcp://127.0.0.1:9", "--drivers", "fake", "--fake-count", "0"]
    node = child(tmp_path, "node", *words)
    with trio.fail_after(180):
        await node.start()
        try:
            # Its last commit before the end: one that met the failure would end it by itself, and our SIGTERM
            # could come when nobody looks at signals any more.
            await wait_stored(tmp_path / "n1" / "node.db", "SELECT epoch FROM meta")
            (tmp_path / "node.fails").touch()
            await node.stop()
            assert await node.wait() == exits.IO_ERROR
            assert "could not be closed in order" in last_line(tmp_path / "node.log")
            await node.start()
        finally:
            await node.stop()
