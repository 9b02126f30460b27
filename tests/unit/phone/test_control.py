"""The control port."""

from typing import Any

import pytest
import trio

from doai.phone.control import ControlError, answer, request_control
from doai.phone.faults import Fault
from doai.phone.shelf import open_shelf


async def test_every_operation() -> None:
    with trio.fail_after(90):
        async with open_shelf(count=2, control_port=0) as shelf:
            port = shelf.control_port
            assert port is not None

            async def ask(**fields: object) -> Any:
                return (await request_control(port, **fields))["phones"]

            listed = await ask(op="list")
            assert [(phone["serial"], phone["port"]) for phone in listed] == [
                (phone.serial, phone.port) for phone in shelf.phones
            ]
            await ask(op="fault", serial="SIM0001", fault="dribble", count=2, match="x")
            assert shelf.phones[0].device.faults.active(Fault.DRIBBLE)
            state = (await ask(op="state", serial="SIM0001"))["SIM0001"]
            assert state["orders"][0]["fault"] == "dribble"
            assert state["device"]["package"] == "com.android.launcher3"
            assert await ask(op="clear", serial="SIM0001") == {"SIM0001": ["dribble"]}
            assert (await ask(op="set", serial="*", battery_percent=12))["SIM0002"]["battery_percent"] == 12
            assert await ask(op="power", serial="SIM0002", to="off") == {"SIM0002": False}
            assert await ask(op="power", serial="SIM0002", to="on") == {"SIM0002": True}
            assert await ask(op="journal", serial="SIM0001") == {"SIM0001": []}
            with pytest.raises(ControlError, match="no phone 'NONE'"):
                await request_control(port, op="state", serial="NONE")


@pytest.mark.parametrize(
    "line", [b"", b"{", b'{"op":"dance"}', b'{"op":"fault","serial":"*","fault":"nope"}', b"[]"]
)
def test_bad_requests_are_refused_with_a_reason(line: bytes) -> None:
    found = answer([], line)
    assert found["ok"] is False
    assert found["error"]


async def test_a_read_only_property() -> None:
    async with open_shelf(count=1) as shelf:
        found = answer(shelf.phones, b'{"op":"set","serial":"*","properties":{"ro.x":"1"}}')
        assert "read-only" in str(found["error"])
