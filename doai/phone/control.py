"""The control port of a shelf: one JSON object a line, each answered by one (way of a task: 9).

Requests: {"op": "list"}, {"op": "state"|"journal"|"clear"|"power"|"set"|"fault", "serial": "SIM0001", ...};
a serial of "*" means every phone. Answers: {"ok": true, ...} or {"ok": false, "error": "..."}.
It listens on loopback only and asks for no key: it exists for tests and demonstrations.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec
import trio

from doai.phone.faults import Fault, FaultOrder
from doai.phone.phone import Phone

LINE_BYTES_MAX = 64 * 1024
"""Longest request."""
JOURNAL_ENTRIES_MAX = 1000
"""Entries in one answer; ask again with `after` for more."""
ANSWER_BYTES_MAX = 64 * 1024 * 1024
"""Longest answer that a client takes: the journals of some hundred phones."""


class ControlError(Exception):
    """The request was refused; the text is for its sender."""


class _List(msgspec.Struct, tag="list", tag_field="op", forbid_unknown_fields=True):
    pass


class _State(msgspec.Struct, tag="state", tag_field="op", forbid_unknown_fields=True):
    serial: str


class _Journal(msgspec.Struct, tag="journal", tag_field="op", forbid_unknown_fields=True):
    serial: str
    after: int = 0


class _Clear(msgspec.Struct, tag="clear", tag_field="op", forbid_unknown_fields=True):
    serial: str
    fault: Fault | None = None


class _Power(msgspec.Struct, tag="power", tag_field="op", forbid_unknown_fields=True):
    serial: str
    to: Literal["on", "off", "reboot"]


class _Set(msgspec.Struct, tag="set", tag_field="op", forbid_unknown_fields=True):
    serial: str
    battery_percent: float | None = None
    charging: bool | None = None
    screen_on: bool | None = None
    properties: dict[str, str] = {}


class _Fault(msgspec.Struct, tag="fault", tag_field="op", forbid_unknown_fields=True):
    serial: str
    fault: Fault
    count: int | None = 1
    match: str = ""
    after_bytes: int = 8
    delay_s: float = 0.05
    duration_s: float | None = None
    text: str = ""
    at_media_s: float | None = None


_Request = _List | _State | _Journal | _Clear | _Power | _Set | _Fault
_Answer = dict[str, object]


async def serve_control(phones: Sequence[Phone], listener: trio.SocketListener) -> None:
    """Answers requests until cancelled."""
    async with listener, trio.open_nursery() as nursery:
        while True:
            stream = await listener.accept()
            nursery.start_soon(_serve_client, phones, stream)


async def _serve_client(phones: Sequence[Phone], stream: trio.SocketStream) -> None:
    buffer = bytearray()
    async with stream:
        try:
            while data := await stream.receive_some():
                buffer += data
                while b"\n" in buffer:
                    line, _, rest = bytes(buffer).partition(b"\n")
                    buffer = bytearray(rest)
                    await stream.send_all(msgspec.json.encode(answer(phones, line)) + b"\n")
                if len(buffer) > LINE_BYTES_MAX:
                    return
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # the client hung up


def answer(phones: Sequence[Phone], line: bytes) -> _Answer:
    """The answer to one request line."""
    try:
        request = msgspec.json.decode(line, type=_Request)
        if isinstance(request, _List):
            return {"ok": True, "phones": [_listed(phone) for phone in phones]}
        chosen = [phone for phone in phones if request.serial in ("*", phone.serial)]
        if not chosen:
            raise ControlError(f"no phone {request.serial!r} on this shelf: `list` names them")
        act = _ACTS[type(request)]
        return {"ok": True, "phones": {phone.serial: act(phone, request) for phone in chosen}}
    except (msgspec.DecodeError, ControlError) as error:
        return {"ok": False, "error": str(error)}


def _listed(phone: Phone) -> _Answer:
    profile = phone.device.profile
    return {
        "serial": phone.serial,
        "port": phone.port,
        "model": profile.model,
        "sdk": profile.sdk,
        "powered": phone.powered,
        "online": phone.online_connections,
    }


def _state(phone: Phone, request: _State) -> object:
    faults = phone.device.faults
    return {
        **_listed(phone),
        "device": phone.snapshot(),
        "orders": faults.waiting(),
        "struck": faults.struck,
    }


def _journal(phone: Phone, request: _Journal) -> object:
    later = [entry for entry in phone.journal.entries() if entry.number > request.after]
    return later[:JOURNAL_ENTRIES_MAX]


def _clear(phone: Phone, request: _Clear) -> object:
    return phone.clear(request.fault)


def _power(phone: Phone, request: _Power) -> object:
    {"on": phone.power_on, "off": phone.power_off, "reboot": phone.reboot}[request.to]()
    return phone.powered


def _set(phone: Phone, request: _Set) -> object:
    phone.adjust(request.battery_percent, request.charging, request.screen_on)
    for name, text in request.properties.items():
        if not phone.device.set_property(name, text):
            raise ControlError(f"property {name!r} is read-only: choose one that does not begin with `ro.`")
    return phone.snapshot()


def _fault(phone: Phone, request: _Fault) -> object:
    fields = {name: getattr(request, name) for name in FaultOrder.__struct_fields__}
    phone.place(FaultOrder(**fields))
    return phone.device.faults.waiting()


_ACTS: dict[type, Callable[..., object]] = {
    _State: _state,
    _Journal: _journal,
    _Clear: _clear,
    _Power: _power,
    _Set: _set,
    _Fault: _fault,
}


async def request_control(port: int, **fields: object) -> dict[str, object]:
    """Sends one request to a shelf's control port and returns its answer without `ok`. Raises ControlError."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(msgspec.json.encode(fields) + b"\n")
        buffer = bytearray()
        while not buffer.endswith(b"\n"):
            data = await stream.receive_some()
            if not data or len(buffer) > ANSWER_BYTES_MAX:
                raise ControlError("the shelf hung up before its answer was whole: does it still run?")
            buffer += data
    found = msgspec.json.decode(bytes(buffer), type=dict[str, object])
    if not found.pop("ok", False):
        raise ControlError(str(found.get("error", "refused without a reason")))
    return found
