"""Generates `proto/`: the grammar, every message, JSON Schemas and golden bytes, from the code (all steps).

`bin/proto --write` writes the files, `bin/proto` says whether they are current; a test does too.
"""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

import msgspec

from doai import limits
from doai.codec import HEADER_BYTES, Kind, encode, pack_header, raw
from doai.envelope import Envelope, JsonEnvelope, to_json
from doai.messages.catalogue import BODIES, COMMANDS, EVENTS
from doai.wire_versions import GREETING, SPOKEN

_FIRST_FROM_BROKER = 16
"""Kinds above this number go from the broker to a peer, those below to the broker."""


def contract() -> dict[str, str]:
    """Return every generated file of `proto/`: path relative to it -> content."""
    files = {"GRAMMAR.md": _grammar(), "MESSAGES.md": _messages(), "vectors/header.json": _header_vectors()}
    for name, body in _bodies():
        files[f"vectors/{name}.json"] = _vector(body)
    files["schema/envelope.json"] = _schema(JsonEnvelope, "The JSON form of an envelope.")
    for name, payload in EVENTS.items():
        files[f"schema/event/{name}.json"] = _schema(payload, f"Payload of the event {name}.")
    for name, (payload, answer) in COMMANDS.items():
        files[f"schema/command/{name}.json"] = _schema(payload, f"Payload of the command {name}.")
        files[f"schema/command/{name}.answer.json"] = _schema(answer, f"Answer to the command {name}.")
    return files


def _bodies() -> Iterator[tuple[str, Any]]:
    for kind, body in BODIES.items():
        if body is not None:
            yield f"body/{kind.name.lower()}", body
    for name, payload in EVENTS.items():
        yield f"event/{name}", payload
    for name, (payload, answer) in COMMANDS.items():
        yield f"command/{name}", payload
        yield f"command/{name}.answer", answer


def _as_json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _schema(payload: type, title: str) -> str:
    schema = msgspec.json.schema(payload)
    described = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **schema}
    return _as_json(described)


def example(body: Any, name: str = "value") -> Any:
    """Return a value of a type with every field set, the same every time."""
    return _example(msgspec.inspect.type_info(body), name)


def _example(info: msgspec.inspect.Type, name: str) -> Any:
    made: Any
    if isinstance(info, msgspec.inspect.StructType):
        if info.cls is Envelope:
            return _example_envelope()
        made = info.cls(**{field.name: _example(field.type, field.name) for field in info.fields})
    elif isinstance(info, msgspec.inspect.UnionType):
        made = _example(next(t for t in info.types if not isinstance(t, msgspec.inspect.NoneType)), name)
    elif isinstance(info, msgspec.inspect.EnumType):
        made = next(iter(info.cls))
    elif isinstance(info, msgspec.inspect.ListType):
        made = [_example(info.item_type, name)]
    elif isinstance(info, msgspec.inspect.TupleType):
        made = tuple(_example(item, name) for item in info.item_types)
    elif isinstance(info, msgspec.inspect.DictType):
        made = {name: _example(info.value_type, name)}
    elif isinstance(info, msgspec.inspect.RawType):
        made = encode(_example_envelope()) if name == "envelope" else encode({"example": name})
        made = msgspec.Raw(made)
    else:
        made = _PLAIN[type(info)](name)
    return made


_PLAIN: Mapping[type, Any] = {
    msgspec.inspect.StrType: lambda name: name,
    msgspec.inspect.IntType: lambda name: 7,
    msgspec.inspect.FloatType: lambda name: 2.5,
    msgspec.inspect.BoolType: lambda name: True,
    msgspec.inspect.BytesType: lambda name: name.encode(),
    msgspec.inspect.AnyType: lambda name: name,
}


def _example_envelope() -> Envelope:
    return Envelope(
        event_id="01KAJD8B00ZZZZZZZZZZZZZZZZ",
        type="task.started",
        subject="task/01KAJD8B00AAAAAAAAAAAAAAAA",
        source="node-1/main",
        trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
        occurred_at_ms=1_763_712_000_123,
        payload=raw({"taskId": "01KAJD8B00AAAAAAAAAAAAAAAA"}),
    )


def _vector(body: Any) -> str:
    value = example(body)
    shown = to_json(value) if isinstance(value, Envelope) else value
    meaning = json.loads(msgspec.json.encode(_readable(shown)))
    return _as_json({"type": body.__name__, "meaning": meaning, "msgpack": encode(value).hex()})


def _readable(value: Any) -> Any:
    """Raw parts of a value as what they mean, so that a vector can be read."""
    if isinstance(value, msgspec.Raw):
        return msgspec.msgpack.decode(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list | tuple):
        return [_readable(item) for item in value]
    if isinstance(value, dict):
        return {key: _readable(item) for key, item in value.items()}
    if isinstance(value, msgspec.Struct):
        names = {field.name: field.encode_name for field in msgspec.structs.fields(value)}
        parts = {names[key]: _readable(item) for key, item in msgspec.structs.asdict(value).items()}
        return list(parts.values()) if value.__struct_config__.array_like else parts
    return value


def _header_vectors() -> str:
    examples = [
        {"kind": Kind.HELLO, "channel": 0, "ack": 0, "credit_seq": 0, "credit_bytes": 0},
        {"kind": Kind.FORWARD, "channel": 4_294_967_295, "ack": 0, "credit_seq": 0, "credit_bytes": 0},
        {"kind": Kind.ACK, "channel": 0, "ack": 2**40, "credit_seq": 2**40 + 4096, "credit_bytes": 2**64 - 1},
    ]
    vectors = [{"meaning": {**e, "kind": Kind(e["kind"]).name}, "bytes": pack_header(**e).hex()} for e in examples]
    return _as_json(vectors)


def _grammar() -> str:
    kinds = "\n".join(
        f"| {kind.value} | {kind.name} | {'broker to peer' if kind > _FIRST_FROM_BROKER else 'peer to broker'} | "
        f"{f'`{body.__name__}`' if body else 'not looked at'} |"
        for kind, body in BODIES.items()
    )
    return f"""# Frames

Generated from the code by `bin/proto --write`; do not edit.

A peer's socket is a ZeroMQ DEALER, the broker's a ROUTER, over TCP with CURVE; the ZAP domain is `doai`. A
message has exactly two parts. What a peer may say depends on the role of its key; its name is what the key proves.

```abnf
message       = header body              ; two ZeroMQ parts, a ROUTER sees the routing id before them
header        = version kind flags channel ack credit-seq credit-bytes   ; {HEADER_BYTES} octets, network byte order
version       = OCTET                    ; the one that WELCOME chose; of the greeting always %x{GREETING:02X}
kind          = OCTET                    ; table below
flags         = 2OCTET                   ; zero, ignored
channel       = 4OCTET                   ; FORWARD: handle of the other peer; EVENTS, SAMPLES: the
                                         ; bot's number of the subscription; else zero
ack           = 8OCTET                   ; highest sequence number on disk at the sender of this frame
credit-seq    = 8OCTET                   ; records up to this number may be sent (absolute)
credit-bytes  = 8OCTET                   ; this many record bytes may have been sent since WELCOME (absolute)
body          = *OCTET                   ; msgpack by kind, at most {limits.FRAME_BYTES_MAX} octets

connection    = HELLO (WELCOME session / FENCED)
session       = *(HEARTBEAT / BEAT / RECORDS / ACK / HOLDINGS / RECIPE / DISPATCH / CANCEL / RELEASE /
                  COMMAND / REPLY / FORWARD / SUBSCRIBE / SUBSCRIBED / EVENTS / CURSOR / SAMPLES /
                  TASKS / SETTINGS / SAMPLE-ORDER / DEVICE-SAMPLES / LOG-LINES / RELAYED-LINES)
                  [BYE / FENCED / HELLO-REQUIRED]
```

A frame of an unknown connection is answered HELLO_REQUIRED. A DISPATCH follows a RECIPE of the same connection
that it names. A number once given to a kind is never given to another.

HELLO tells the lowest and the highest wire version that the peer speaks, WELCOME the one that both speak from then
on: the highest they share. Where they share none, FENCED says which side is to be upgraded. This release speaks
{SPOKEN}. The header's layout and the frames of the greeting (HELLO, WELCOME, HELLO_REQUIRED, FENCED) are the same
in all versions. Unknown fields are ignored, and so are frames of an unknown kind, which are counted.

| kind | name | direction | body |
|---|---|---|---|
{kinds}
"""


def _messages() -> str:
    head = (
        "# Messages\n\nGenerated from the code by `bin/proto --write`; do not edit.\n\n"
        "Bodies and payloads are msgpack maps with camelCase keys unless marked *array*, whose fields come in "
        "this order. Fields with a default may be missing; unknown keys are ignored. Schemas are in `schema/`, "
        "bytes to test against in `vectors/`.\n"
    )
    parts = [head]
    seen: dict[type, None] = {}
    for title, rows in (
        ("Frames", [(kind.name, body) for kind, body in BODIES.items() if body]),
        ("Events", list(EVENTS.items())),
        ("Commands", [(name, payload) for name, (payload, _) in COMMANDS.items()]),
        ("Answers", [(name, answer) for name, (_, answer) in COMMANDS.items()]),
    ):
        lines = "\n".join(f"| `{name}` | [{body.__name__}](#{body.__name__.lower()}) |" for name, body in rows)
        parts.append(f"## {title}\n\n| name | body |\n|---|---|\n{lines}\n")
        for _, body in rows:
            _collect(body, seen)
    parts.append("## Types\n")
    parts += [_describe(struct) for struct in sorted(seen, key=lambda cls: cls.__name__)]
    return "\n".join(parts)


def _collect(struct: type, seen: dict[type, None]) -> None:
    if struct in seen:
        return
    seen[struct] = None
    pending: list[Any] = [field.type for field in msgspec.structs.fields(struct)]
    while pending:
        found = pending.pop()
        if isinstance(found, type) and issubclass(found, msgspec.Struct):
            _collect(found, seen)
        pending += getattr(found, "__args__", ())


def _describe(struct: type[msgspec.Struct]) -> str:
    documents = field_documents(struct)
    rows = []
    for field in msgspec.structs.fields(struct):
        optional = "" if field.required else " (optional)"
        rows.append(
            f"| `{field.encode_name}` | {_type_name(field.type)}{optional} | {documents.get(field.name, '')} |"
        )
    array = " *array*" if struct.__struct_config__.array_like else ""
    text = inspect.cleandoc(struct.__doc__ or "").replace("\n", " ")
    head = f"### {struct.__name__}\n\n{text}{array}\n"
    return head + (("\n| field | type | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n") if rows else "")


def _type_name(found: Any) -> str:
    name = found.__name__ if isinstance(found, type) and not hasattr(found, "__args__") else str(found)
    for prefix in (
        "doai.messages.link.",
        "doai.messages.work.",
        "doai.messages.bots.",
        "doai.messages.commands.",
        "doai.messages.enrolment.",
        "doai.messages.queues.",
        "doai.errors.",
        "typing.",
    ):
        name = name.replace(prefix, "")
    return name.replace("doai.ids.", "").replace("doai.states.", "").replace("|", "or")


def field_documents(struct: type[msgspec.Struct]) -> dict[str, str]:
    """The text under each field of a Struct's source; Python does not keep it at run time."""
    documents: dict[str, str] = {}
    for cls in reversed(struct.__mro__):
        if not (issubclass(cls, msgspec.Struct) and cls.__module__.startswith("doai")):
            continue
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
        assert isinstance(tree, ast.ClassDef)
        for field, text in zip(tree.body, tree.body[1:], strict=False):
            if not (isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)):
                continue
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                documents[field.target.id] = inspect.cleandoc(str(text.value.value)).replace("\n", " ")
    return documents
