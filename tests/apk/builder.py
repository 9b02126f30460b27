"""Builds application packages as `aapt2` and `apksigner` do, as far as a phone looks at them."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
from dataclasses import dataclass, field

from tests.apk.keys import KEY, SigningKey

ANDROID = "http://schemas.android.com/apk/res/android"
RESOURCE_IDS = {
    "label": 0x01010001,
    "name": 0x01010003,
    "enabled": 0x0101000E,
    "targetPackage": 0x01010021,
    "minSdkVersion": 0x0101020C,
    "versionCode": 0x0101021B,
    "versionName": 0x0101021C,
    "targetSdkVersion": 0x01010270,
    "versionCodeMajor": 0x01010576,
    "testOnly": 0x01010272,
}
NO_STRING = 0xFFFFFFFF
RUNNER = "androidx.test.runner.AndroidJUnitRunner"
TESTS_ENTRY = "assets/doai-tests.txt"
"""What the simulated phone performs instead of the code of a test app (doai/phone/instrumentation.py)."""
SHA256_RSA = 0x0103
PAGE_BYTES = 4096


@dataclass(frozen=True)
class Reference:
    """A value that is a resource."""

    number: int


Value = str | int | bool | Reference


@dataclass
class Node:
    """An element; ``android`` are attributes of Android's namespace, ``plain`` those of none."""

    name: str
    android: dict[str, Value] = field(default_factory=dict)
    plain: dict[str, Value] = field(default_factory=dict)
    children: list[Node] = field(default_factory=list)


def make_apk(
    name: str,
    *,
    version_code: int = 1,
    version_name: str = "1.0",
    padding_bytes: int = 0,
    min_sdk: int = 21,
    target_sdk: int = 34,
    label: str = "",
    activity: str = ".MainActivity",
    permissions: tuple[str, ...] = (),
    instruments: str = "",
    tests: str = "",
    test_only: bool = False,
    abis: tuple[str, ...] = (),
    key: SigningKey | None = KEY,
) -> bytes:
    """A package that a phone installs; padding makes it as large as wanted, ``key`` None leaves it unsigned.

    It has native code for each of ``abis``, stored and aligned to pages as `zipalign -p` does.

    ``instruments`` makes it a test app for that package; ``tests`` are its tests (TESTS_ENTRY).
    """
    root = manifest(
        name,
        version_code=version_code,
        version_name=version_name,
        min_sdk=min_sdk,
        target_sdk=target_sdk,
        label=label,
        activity=activity,
        permissions=permissions,
        instruments=instruments,
        test_only=test_only,
    )
    entries = {"AndroidManifest.xml": compile_xml(root), "classes.dex": bytes(padding_bytes)}
    if tests:
        entries[TESTS_ENTRY] = tests.encode()
    entries |= {f"lib/{abi}/libapp.so": b"\x7fELF" + abi.encode() for abi in abis}
    data = pack(entries)
    return sign(data, key) if key is not None else data


def manifest(
    name: str,
    *,
    version_code: int = 1,
    version_name: Value = "1.0",
    min_sdk: Value = 21,
    target_sdk: int = 34,
    label: str = "",
    activity: str = ".MainActivity",
    permissions: tuple[str, ...] = (),
    instruments: str = "",
    test_only: bool = False,
) -> Node:
    """The elements of an app's manifest."""
    application = Node("application", {"label": label} if label else {})
    if test_only:
        application.android["testOnly"] = True
    if activity:
        launch = Node(
            "intent-filter",
            children=[
                Node("action", {"name": "android.intent.action.MAIN"}),
                Node("category", {"name": "android.intent.category.LAUNCHER"}),
            ],
        )
        application.children.append(Node("activity", {"name": activity}, children=[launch]))
    children = [Node("uses-sdk", {"minSdkVersion": min_sdk, "targetSdkVersion": target_sdk})]
    children += [Node("uses-permission", {"name": permission}) for permission in permissions]
    children.append(application)
    if instruments:
        children.append(Node("instrumentation", {"name": RUNNER, "targetPackage": instruments}))
    code: dict[str, Value] = {"versionCode": version_code & 0xFFFFFFFF, "versionName": version_name}
    if version_code >> 32:
        code["versionCodeMajor"] = version_code >> 32
    return Node(
        "manifest",
        code,
        {"package": name},
        children,
    )


def pack(entries: dict[str, bytes]) -> bytes:
    """A zip of these files, without times, so that the same input gives the same bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, data in entries.items():
            info = zipfile.ZipInfo(entry)
            info.compress_type = zipfile.ZIP_STORED if entry.endswith(".so") else zipfile.ZIP_DEFLATED
            if entry.endswith(".so"):
                info.extra = _alignment(out.tell() + 30 + len(entry.encode()))
            archive.writestr(info, data)
    return out.getvalue()


def _alignment(at: int) -> bytes:
    """The extra field with which `zipalign` moves data that would begin at ``at`` to the beginning of a page."""
    padding = -(at + 6) % PAGE_BYTES
    return struct.pack("<HHH", 0xD935, 2 + padding, PAGE_BYTES) + bytes(padding)


class _Strings:
    """The string pool: names of Android's attributes come first, as their resource ids are a list beside it."""

    def __init__(self, attributes: list[str]) -> None:
        self.texts = attributes[:]
        self._at = {text: index for index, text in enumerate(attributes)}

    def add(self, text: str) -> int:
        if text not in self._at:
            self._at[text] = len(self.texts)
            self.texts.append(text)
        return self._at[text]

    def chunk(self, *, utf8: bool) -> bytes:
        data, offsets = bytearray(), []
        for text in self.texts:
            offsets.append(len(data))
            data += _utf8(text) if utf8 else _utf16(text)
        data += bytes(-len(data) % 4)
        head = 28 + 4 * len(offsets)
        body = struct.pack("<IIIII", len(offsets), 0, 0x100 if utf8 else 0, head, 0)
        body += struct.pack(f"<{len(offsets)}I", *offsets) + data
        return _chunk(0x0001, 28, body)


def compile_xml(root: Node, *, utf8: bool = False) -> bytes:
    """The binary form of an XML document."""
    names = sorted(_android_names(root), key=lambda name: RESOURCE_IDS[name])
    strings = _Strings(names)
    prefix, uri = strings.add("android"), strings.add(ANDROID)
    body = b"".join(_node(root, strings, uri))
    namespace = struct.pack("<IIII", 1, NO_STRING, prefix, uri)
    body = _chunk(0x0100, 16, namespace) + body + _chunk(0x0101, 16, namespace)
    ids = _chunk(0x0180, 8, struct.pack(f"<{len(names)}I", *(RESOURCE_IDS[name] for name in names)))
    return _chunk(0x0003, 8, strings.chunk(utf8=utf8) + ids + body)


def _android_names(node: Node) -> set[str]:
    return set(node.android).union(*(_android_names(child) for child in node.children))


def _node(node: Node, strings: _Strings, uri: int) -> list[bytes]:
    attributes = [_attribute(uri, key, value, strings) for key, value in node.android.items()]
    attributes += [_attribute(NO_STRING, key, value, strings) for key, value in node.plain.items()]
    name = strings.add(node.name)
    begin = struct.pack("<IIIIHHHHHH", 1, NO_STRING, NO_STRING, name, 20, 20, len(attributes), 0, 0, 0)
    end = struct.pack("<IIII", 1, NO_STRING, NO_STRING, name)
    inner = [chunk for child in node.children for chunk in _node(child, strings, uri)]
    return [_chunk(0x0102, 16, begin + b"".join(attributes)), *inner, _chunk(0x0103, 16, end)]


def _attribute(namespace: int, key: str, value: Value, strings: _Strings) -> bytes:
    raw = NO_STRING
    if isinstance(value, bool):
        kind, data = 0x12, 0xFFFFFFFF if value else 0
    elif isinstance(value, int):
        kind, data = 0x10, value & 0xFFFFFFFF
    elif isinstance(value, Reference):
        kind, data = 0x01, value.number
    else:
        kind, data = 0x03, strings.add(value)
        raw = data
    return struct.pack("<IIIHBBI", namespace, strings.add(key), raw, 8, 0, kind, data)


def _chunk(kind: int, header_size: int, body: bytes) -> bytes:
    return struct.pack("<HHI", kind, header_size, 8 + len(body)) + body


def _utf8(text: str) -> bytes:
    data = text.encode()
    return _length8(len(text.encode("utf-16-le")) // 2) + _length8(len(data)) + data + b"\0"


def _length8(length: int) -> bytes:
    return bytes([length]) if length < 0x80 else bytes([0x80 | length >> 8, length & 0xFF])


def _utf16(text: str) -> bytes:
    data = text.encode("utf-16-le")
    units = len(data) // 2
    head = struct.pack("<H", units) if units < 0x8000 else struct.pack("<HH", 0x8000 | units >> 16, units & 0xFFFF)
    return head + data + b"\0\0"


def sign(data: bytes, key: SigningKey = KEY, *, block_id: int = 0x7109871A) -> bytes:
    """Put an APK signing block (scheme v2, RSA PKCS#1 v1.5 with SHA-256) before the zip's central directory."""
    end_at = data.rindex(b"PK\x05\x06")
    (directory_at,) = struct.unpack_from("<I", data, end_at + 16)
    digest = content_digest(data[:directory_at], data[directory_at:end_at], data[end_at:])
    signed = _prefixed(_prefixed(struct.pack("<I", SHA256_RSA) + _prefixed(digest)))
    signed += _prefixed(_prefixed(key.certificate)) + _prefixed(b"")
    signature = _rsa_signature(signed, key)
    signer = _prefixed(signed)
    signer += _prefixed(_prefixed(struct.pack("<I", SHA256_RSA) + _prefixed(signature)))
    signer += _prefixed(_public_key(key))
    pair_value = _prefixed(_prefixed(signer))
    pair = struct.pack("<QI", 4 + len(pair_value), block_id) + pair_value
    length = len(pair) + 24
    block = struct.pack("<Q", length) + pair + struct.pack("<Q", length) + b"APK Sig Block 42"
    end = bytearray(data[end_at:])
    struct.pack_into("<I", end, 16, directory_at + len(block))
    return data[:directory_at] + block + data[directory_at:end_at] + bytes(end)


def content_digest(*sections: bytes) -> bytes:
    """The digest of the scheme over entries, directory and end record."""
    size = 1024 * 1024
    pieces = [section[at : at + size] for section in sections for at in range(0, len(section), size)]
    chunks = [hashlib.sha256(b"\xa5" + struct.pack("<I", len(piece)) + piece).digest() for piece in pieces]
    return hashlib.sha256(b"\x5a" + struct.pack("<I", len(chunks)) + b"".join(chunks)).digest()


def _rsa_signature(message: bytes, key: SigningKey) -> bytes:
    digest = hashlib.sha256(message).digest()
    info = bytes.fromhex("3031300d060960864801650304020105000420") + digest  # DigestInfo of SHA-256 (RFC 8017)
    padded = b"\0\1" + b"\xff" * (256 - 3 - len(info)) + b"\0" + info
    return pow(int.from_bytes(padded), key.private_exponent, key.modulus).to_bytes(256)


def _public_key(key: SigningKey) -> bytes:
    """SubjectPublicKeyInfo: it lies in the certificate as it is."""
    begin = key.certificate.index(bytes.fromhex("30820122300d06092a864886f70d0101010500"))
    return key.certificate[begin : begin + 4 + 0x122]


def _prefixed(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data
