"""A scripted stand-in for the vendor's screen-casting program over a shelf's phones (way of a task: 9).

It speaks the program's WebSocket protocol on loopback: requests without an id, answers `{code, message, data}`, and
"success" that proves nothing. It can be ordered to answer late, wrong, never, and to hang up. Other actions than
`list`, `adb_shell` and `adb push` are refused with 10001, as the program refuses what it does not know.

Written apart from the driver's own reading of the protocol, so that a mistake in one is seen by the other.
"""

import enum
import json
import re
import shlex
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, WebSocketServer

from doai.phone.files import FileError
from doai.phone.phone import BACKLOG, Phone, bound_socket

SERVICE = "vendor:"
"""What the journal calls commands that came this way."""
MESSAGE_BYTES_MAX = 96 * 1024 * 1024
"""As large as an answer with a screenshot or a file can be."""


class VendorFault(enum.Enum):
    """What can be ordered of an answer. All but REFUSED, CLAIMED and DROPPED_BEFORE perform the request."""

    LATE = "late"
    """Comes when `Vendor.let_late_go` is called."""
    NEVER = "never"
    """Does not come."""
    ANOTHERS = "anothers"
    """The answer to another client's command comes instead."""
    ANOTHERS_FIRST = "anothers_first"
    """The answer to another client's command comes before it."""
    WRONG_CODE = "wrong_code"
    """A code that has no meaning, and nothing else."""
    GARBAGE = "garbage"
    """No JSON."""
    TRUNCATED = "truncated"
    """The phone's output ends in the middle; the JSON is whole."""
    REFUSED = "refused"
    """10001, and nothing is done."""
    CLAIMED = "claimed"
    """10000 without data, and nothing is done."""
    DROPPED_BEFORE = "dropped_before"
    """The connection ends, nothing is done."""
    DROPPED_AFTER = "dropped_after"
    """It is done, and the connection ends instead of the answer."""


class VendorOrder(msgspec.Struct):
    """A fault strikes the next `count` requests with this action whose text holds `match`; None = all."""

    fault: VendorFault
    action: str = ""
    match: str = ""
    count: int | None = 1


class Vendor:
    """The program: what it was asked, and what is ordered of it."""

    def __init__(self, phones: Sequence[Phone]) -> None:
        self.phones = list(phones)
        self.port = 0
        self.requests: list[dict[str, Any]] = []
        """All of them, oldest first."""
        self.overlaps = 0
        """Requests that came while the connection's one before was still to be answered: the client errs."""
        self.struck: list[VendorFault] = []
        self._orders: list[VendorOrder] = []
        self._late = trio.Event()
        self._connections = 0
        self._sockets: set[WebSocketConnection] = set()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"ws://127.0.0.1:{self.port}"

    def order(
        self,
        fault: VendorFault,
        *,
        action: str = "adb_shell",
        match: str = "",
        count: int | None = 1,
    ) -> None:
        """Orders a fault."""
        self._orders.append(VendorOrder(fault, action, match, count))

    def clear(self) -> None:
        """Withdraws all orders."""
        self._orders.clear()

    def let_late_go(self) -> None:
        """Late answers go now."""
        self._late.set()
        self._late = trio.Event()

    async def say_anothers(self) -> int:
        """Sends every client the answer to another's command, unasked; returns how many there are."""
        sockets = list(self._sockets)
        for socket in sockets:
            await socket.send_message(_anothers())
        return len(sockets)

    async def serve(self, request: WebSocketRequest) -> None:
        """Serves one client."""
        socket = await request.accept()
        self._connections += 1
        number, open_requests = self._connections, [0]
        self._sockets.add(socket)
        try:
            async with trio.open_nursery() as nursery:
                while True:
                    text = await socket.get_message()
                    self.overlaps += open_requests[0] > 0
                    open_requests[0] += 1
                    nursery.start_soon(self._answer, socket, number, text, open_requests)
        except* ConnectionClosed:
            pass  # the client went, or the connection was dropped as ordered
        finally:
            self._sockets.discard(socket)

    async def _answer(
        self, socket: WebSocketConnection, number: int, text: str | bytes, open_requests: list[int]
    ) -> None:
        asked = json.loads(text)
        self.requests.append(asked)
        order = self._take(asked, str(text))
        fault = order.fault if order is not None else None
        if fault is VendorFault.DROPPED_BEFORE:
            await socket.aclose()
            return
        if fault is VendorFault.ANOTHERS_FIRST:
            await socket.send_message(_anothers())
        if fault in _NOTHING_DONE:
            answer = _NOTHING_DONE[fault]
        else:
            answer = await self._perform(asked, number)
        if fault is VendorFault.NEVER:
            return
        if fault is VendorFault.DROPPED_AFTER:
            await socket.aclose()
            return
        if fault is VendorFault.LATE:
            await self._late.wait()
        open_requests[0] -= 1
        await socket.send_message(_spoilt(answer, fault))

    def _take(self, asked: dict[str, Any], text: str) -> VendorOrder | None:
        for order in self._orders:
            if order.action in ("", asked.get("action")) and order.match in text:
                if order.count is not None:
                    order.count -= 1
                    if order.count <= 0:
                        self._orders.remove(order)
                self.struck.append(order.fault)
                return order
        return None

    async def _perform(self, asked: dict[str, Any], number: int) -> dict[str, Any]:
        action, data = str(asked.get("action")).lower(), asked.get("data") or {}
        if action == "list":
            return {"code": 10000, "message": "SUCCESS", "data": [_listed(phone) for phone in self._there()]}
        wanted = str(asked.get("devices", "")).split(",")
        phones = [
            phone
            for phone in self._there()
            if "all" in wanted or phone.serial in wanted or _address(phone) in wanted
        ]
        command = data.get("command")
        if action not in ("adb_shell", "adb") or not isinstance(command, str) or not phones:
            return {"code": 10001, "message": "unknown action, parameter or device", "data": None}
        work = _shell if action == "adb_shell" else _adb
        outputs = {_address(phone): await work(phone, command, number) for phone in phones}
        return {"code": 10000, "message": f"{action} done", "data": outputs}

    def _there(self) -> list[Phone]:
        return [phone for phone in self.phones if phone.powered]


def _address(phone: Phone) -> str:
    return f"127.0.0.1:{phone.port}"


def _listed(phone: Phone) -> dict[str, object]:
    profile = phone.device.profile
    return {
        "serial": _address(phone),
        "onlySerial": phone.serial,
        "name": phone.serial.lower(),
        "model": profile.model,
        "mode": 1,
        "status": "online",
        "hide": False,
        "width": profile.width_px // 3,
        "height": profile.height_px // 3,
        "sourceWidth": profile.width_px,
        "sourceHeight": profile.height_px,
        "intranetIp": "127.0.0.1",
    }


async def _shell(phone: Phone, command: str, number: int) -> str:
    finished = await phone.run(SERVICE, command, number)
    return "" if finished is None else (finished.stdout + finished.stderr).decode("utf-8", "replace")


async def _adb(phone: Phone, command: str, number: int) -> str:
    words = shlex.split(command)
    if words[:2] != ["adb", "push"] or len(words) != 4:
        return f"adb: unknown command {' '.join(words[:2])}"
    try:
        data = await trio.Path(words[2]).read_bytes()
        phone.receive(words[3], data, SERVICE, number)
    except FileError as error:
        return f"adb: error: failed to copy '{words[2]}' to '{words[3]}': remote {error}"
    except OSError as error:
        return f"adb: error: cannot stat '{words[2]}': {error.strerror}"
    return f"{words[2]}: 1 file pushed, 0 skipped. ({len(data)} bytes)"


def _anothers() -> str:
    mark = "0123456789abcdef"
    output = f"xw-{mark}-exit 0\nb3RoZXIK\nxw-{mark}-out\nxw-{mark}-err\n"
    return json.dumps({"code": 10000, "message": "adb_shell done", "data": {"192.0.2.1:5555": output}})


def _spoilt(answer: dict[str, Any], fault: VendorFault | None) -> str:
    text = json.dumps(answer)
    if fault is VendorFault.ANOTHERS:
        return _anothers()
    if fault is VendorFault.WRONG_CODE:
        return json.dumps({"code": 31337, "message": "?", "data": None})
    if fault is VendorFault.GARBAGE:
        return "\x00\x01 no answer of anybody {"
    if fault is VendorFault.TRUNCATED:
        data = answer["data"]
        cut = {serial: re.sub(r"-out\b.*", "", output, flags=re.DOTALL) for serial, output in data.items()}
        return json.dumps({**answer, "data": cut})
    return text


_NOTHING_DONE: dict[VendorFault | None, dict[str, Any]] = {
    VendorFault.REFUSED: {"code": 10001, "message": "ordered to fail", "data": None},
    VendorFault.CLAIMED: {"code": 10000, "message": "SUCCESS", "data": None},
}


@asynccontextmanager
async def open_vendor(phones: Sequence[Phone], *, port: int = 0) -> AsyncIterator[Vendor]:
    """Opens the program over some phones; `port` 0 = any. Raises OSError."""
    vendor = Vendor(phones)
    bound = bound_socket("127.0.0.1", port)
    bound.listen(BACKLOG)
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(bound))
    vendor.port = bound.getsockname()[1]
    server = WebSocketServer(
        vendor.serve, [listener], max_message_size=MESSAGE_BYTES_MAX, connect_timeout=5, disconnect_timeout=1
    )
    async with listener, trio.open_nursery() as nursery:
        await nursery.start(server.run)
        try:
            yield vendor
        finally:
            nursery.cancel_scope.cancel()
