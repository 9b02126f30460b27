"""The adb key that all nodes share, so that a phone which trusted one host trusts every host (before step 9).

An adb key is RSA with 2,048 bits: the private key in PEM (PKCS #8), the public key in the form of Android's
``adb_auth``: words of 32 bits, the Montgomery constants and the modulus, all little-endian, in base64
(libcrypto_utils/android_pubkey.cpp of the Android Open Source Project).
"""

from __future__ import annotations

import base64
import hashlib
import struct
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from doai.errors import UserError

SECRET_NAME: Final = "doai.adb-key"  # noqa: S105 - the dot keeps recipes from naming it
BITS: Final = 2048
EXPONENT: Final = 65_537
_BYTES: Final = BITS // 8


class AdbKey(msgspec.Struct, frozen=True):
    """A key as files of adb hold it; never shown as a whole."""

    private_pem: str
    public_line: str
    """One line: base64 and whose it is."""
    fingerprint: str
    """MD5 of the public key, as the phone's question *Allow USB debugging?* shows it."""

    def __repr__(self) -> str:
        return f"AdbKey(fingerprint={self.fingerprint!r})"


def make_adb_key() -> AdbKey:
    """Return a new random key."""
    key = rsa.generate_private_key(public_exponent=EXPONENT, key_size=BITS)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")
    return read_adb_key(pem)


def read_adb_key(private_pem: str) -> AdbKey:
    """Return the key in the text of an ``adbkey`` file; raises UserError when it is none."""
    try:
        key = load_pem_private_key(private_pem.encode("ascii", "replace"), password=None)
    except (ValueError, TypeError):
        raise UserError(
            "this is no adb key: give the file adbkey of ~/.android, not adbkey.pub", code="bad_key"
        ) from None
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size != BITS:
        raise UserError(f"an adb key is RSA with {BITS} bits: this one is another", code="bad_key")
    public = _android_public_key(key.public_key().public_numbers())
    digest = hashlib.md5(public, usedforsecurity=False).hexdigest().upper()
    return AdbKey(
        private_pem=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii"),
        public_line=base64.b64encode(public).decode("ascii") + " doai@fleet",
        fingerprint=":".join(digest[i : i + 2] for i in range(0, 32, 2)),
    )


def _android_public_key(numbers: rsa.RSAPublicNumbers) -> bytes:
    n0_inverse = -pow(numbers.n, -1, 2**32) % 2**32
    rr = pow(2, 2 * BITS, numbers.n)
    modulus, square = (value.to_bytes(_BYTES, "little") for value in (numbers.n, rr))
    return struct.pack("<II", _BYTES // 4, n0_inverse) + modulus + square + struct.pack("<I", numbers.e)
