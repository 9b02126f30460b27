"""The APK signing block: who signed a package, and whether its bytes are those that were signed (steps 8 and 9).

Source: source.android.com, "APK Signature Scheme v2". The block lies before the zip's central directory. Its
digests cover everything but the block itself, in chunks of 1 MiB. That the digests were signed by the certificate's
key is left to the phone, which checks it at every installation and knows which key it trusts.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from typing import BinaryIO, Final

import msgspec

from doai.apk.errors import ApkError

MAGIC: Final = b"APK Sig Block 42"
V2_ID: Final = 0x7109871A
V3_ID: Final = 0xF05368C0
BLOCK_BYTES_MAX: Final = 16 * 1024 * 1024
"""A block has some kilobytes; stores put some more into it."""
CHUNK_BYTES: Final = 1024 * 1024

_END: Final = struct.Struct("<4sHHHHIIH")
_END_MAGIC: Final = b"PK\x05\x06"
_COMMENT_BYTES_MAX: Final = 65_535
_DIGESTS: Final = {
    0x0101: "sha256",
    0x0102: "sha512",
    0x0103: "sha256",
    0x0104: "sha512",
    0x0201: "sha256",
    0x0202: "sha512",
    0x0301: "sha256",
}
"""Signature algorithm -> hash of the content; those over an fs-verity tree are not read."""


class Signature(msgspec.Struct, frozen=True):
    """Who signed: the scheme (``v1``, ``v2``, ``v3``) and the first signer's certificate; empty = not read."""

    scheme: str
    certificate_sha256: str
    """Hexadecimal."""
    certificate_hash: str
    """What `dumpsys package` of a phone calls the certificate: android.content.pm.Signature.hashCode(), in hex. Its
    32 bits tell signers apart and prove nothing: whom it trusts, the phone decides."""


class _Layout(msgspec.Struct, frozen=True):
    """Where the parts of a zip lie, in bytes from its beginning."""

    block_at: int
    directory_at: int
    end_at: int
    size: int


class _Signer(msgspec.Struct, frozen=True):
    digests: dict[int, bytes]
    certificate: bytes


def read_signature(file: BinaryIO) -> Signature | None:
    """Find the signing block and compare its digest with the file's bytes; None when there is no block.

    Raises ApkError: ``apk_damaged``, or ``not_an_apk`` for what is no zip.
    """
    layout, pairs = _block(file)
    for scheme, number in (("v2", V2_ID), ("v3", V3_ID)):
        if number in pairs:
            signer = _signer(pairs[number])
            _check_digest(file, layout, signer)
            digest = hashlib.sha256(signer.certificate).hexdigest()
            return Signature(scheme, digest, java_hash(signer.certificate))
    return None


def java_hash(data: bytes) -> str:
    """Return java.util.Arrays.hashCode of bytes, as Integer.toHexString writes it."""
    value = 1
    for byte in data:
        value = (31 * value + (byte ^ 0x80) - 0x80) & 0xFFFFFFFF  # bytes of Java have a sign
    return f"{value:x}"


def _block(file: BinaryIO) -> tuple[_Layout, dict[int, bytes]]:
    size, end_at, directory_at = _end_of_zip(file)
    footer = _read(file, max(0, directory_at - 24), 24) if directory_at >= 32 else b""
    if footer[8:] != MAGIC:
        return _Layout(directory_at, directory_at, end_at, size), {}
    (length,) = struct.unpack_from("<Q", footer)
    block_at = directory_at - length - 8
    if not 24 <= length <= BLOCK_BYTES_MAX or block_at < 0:
        raise _damaged("its signing block states an impossible size")
    block = _read(file, block_at, length + 8)
    if struct.unpack_from("<Q", block)[0] != length:
        raise _damaged("the two sizes of its signing block differ")
    pairs: dict[int, bytes] = {}
    at, end = 8, len(block) - 24
    while at + 12 <= end:
        pair_length, number = struct.unpack_from("<QI", block, at)
        if pair_length < 4 or at + 8 + pair_length > end:
            raise _damaged("a part of its signing block is longer than the block")
        pairs.setdefault(number, block[at + 12 : at + 8 + pair_length])
        at += 8 + pair_length
    return _Layout(block_at, directory_at, end_at, size), pairs


def _end_of_zip(file: BinaryIO) -> tuple[int, int, int]:
    """Return the file's size, and where its end record and its central directory begin."""
    size = file.seek(0, 2)
    tail_at = max(0, size - _END.size - _COMMENT_BYTES_MAX)
    tail = _read(file, tail_at, size - tail_at)
    found = len(tail)
    while (found := tail.rfind(_END_MAGIC, 0, found)) >= 0:
        if found + _END.size <= len(tail):
            *_, directory_at, comment_size = _END.unpack_from(tail, found)
            end_at = tail_at + found
            if found + _END.size + comment_size == len(tail) and directory_at <= end_at:
                return size, end_at, directory_at
    raise ApkError("not_an_apk", "it is no zip file")


def _signer(value: bytes) -> _Signer:
    """Read the first signer: its digests by algorithm, and its certificate."""
    try:
        signed = _first(_first(_first(value)))
        digests_part, rest = _prefixed(signed)
        digests: dict[int, bytes] = {}
        for item in _items(digests_part):
            (algorithm,) = struct.unpack_from("<I", item)
            digests[algorithm] = _prefixed(item[4:])[0]
        return _Signer(digests, _first(_prefixed(rest)[0]))
    except struct.error:
        raise _damaged("its signing block is cut off") from None


def _check_digest(file: BinaryIO, layout: _Layout, signer: _Signer) -> None:
    algorithm = next((number for number in signer.digests if number in _DIGESTS), None)
    if algorithm is None:
        raise _damaged("its signing block has no digest of a kind that is known here")
    if _content_digest(file, layout, _DIGESTS[algorithm]) != signer.digests[algorithm]:
        raise _damaged("its bytes are not those that were signed; build or download it again")


def _content_digest(file: BinaryIO, layout: _Layout, name: str) -> bytes:
    chunks = [
        hashlib.new(name, b"\xa5" + struct.pack("<I", len(chunk)) + chunk).digest()
        for chunk in _chunks(file, layout)
    ]
    return hashlib.new(name, b"\x5a" + struct.pack("<I", len(chunks)) + b"".join(chunks)).digest()


def _chunks(file: BinaryIO, layout: _Layout) -> Iterator[bytes]:
    """Yield what is signed: the entries, the directory, and the end record as if there were no block."""
    for begin, end in ((0, layout.block_at), (layout.directory_at, layout.end_at)):
        for at in range(begin, end, CHUNK_BYTES):
            yield _read(file, at, min(CHUNK_BYTES, end - at))
    end_record = bytearray(_read(file, layout.end_at, layout.size - layout.end_at))
    struct.pack_into("<I", end_record, 16, layout.block_at)
    yield bytes(end_record)


def _prefixed(data: bytes) -> tuple[bytes, bytes]:
    """Split bytes that begin with their length off; returns them and the rest."""
    (length,) = struct.unpack_from("<I", data)
    if 4 + length > len(data):
        raise _damaged("a part of its signing block is longer than the block")
    return data[4 : 4 + length], data[4 + length :]


def _first(data: bytes) -> bytes:
    return _prefixed(data)[0]


def _items(data: bytes) -> Iterator[bytes]:
    while data:
        item, data = _prefixed(data)
        yield item


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    data = file.read(size)
    if len(data) != size:
        raise _damaged("it ends too early")
    return data


def _damaged(why: str) -> ApkError:
    return ApkError("apk_damaged", why)
