"""A broker whose disk is below its reserve at the start: it serves, and takes nothing new in."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from doai.cli.child import Child
from doai.codec import Kind, decode, pack_header
from doai.messages import commands as c
from doai.messages.link import Role
from doai.wire.dealer import open_dealer
from doai.wire.keys import load_or_make_keypair
from tests.fuzz.site import RECIPE, command, hello, next_frame


@pytest.mark.slow
async def test_a_broker_without_room_starts_closed_and_says_what_to_do(tmp_path: Path) -> None:
    words = ["--data-dir", str(tmp_path / "data"), "--endpoint", "tcp://127.0.0.1:0"]
    broker = Child("broker", "doai.cli.broker", [*words, "--disk-reserve-mb", str(1 << 40)], tmp_path)
    with trio.fail_after(180):
        await broker.start()
        try:
            pair = load_or_make_keypair(tmp_path / "data" / "keys" / "admin.key")
            ready = broker.ready
            async with open_dealer(ready["X_DOAI_ENDPOINT"], pair, ready["X_DOAI_PUBLIC_KEY"]) as dealer:
                await dealer.send(pack_header(Kind.HELLO), hello("admin", Role.ADMIN))
                await next_frame(dealer, Kind.WELCOME)
                stored = command("admin/test", c.STORE_WORKFLOW, c.StoreWorkflow(source=RECIPE))
                await dealer.send(pack_header(Kind.COMMAND), stored)
                problem = decode(await next_frame(dealer, Kind.REPLY), c.Reply).problem
        finally:
            await broker.stop()
    assert problem is not None
    assert problem.code == "disk_low"
    assert "make space, or lower disk_reserve_mb" in problem.message
    assert "takes nothing new" in (tmp_path / "broker.log").read_text()
