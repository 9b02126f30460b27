"""A whole application package: its manifest and its signature, read from a file (steps 8 and 9)."""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from doai.apk.errors import ApkError
from doai.apk.manifest import Manifest, read_manifest
from doai.apk.signature import Signature, read_signature

MANIFEST: Final = "AndroidManifest.xml"
MANIFEST_BYTES_MAX: Final = 8 * 1024 * 1024
"""A large app's has some hundred kilobytes; what unpacks to more is no manifest."""
ENTRIES_MAX: Final = 200_000
"""Files in a package; large games have some ten thousand."""
V1_SCHEME: Final = "v1"

_NATIVE: Final = re.compile(r"lib/([^/]+)/[^/]+\.so")
"""Code of a processor: the system loads it from the folder of the first ABI of its own that the package has."""
_SIGNED_V1: Final = (".RSA", ".DSA", ".EC")


class Apk(msgspec.Struct, frozen=True):
    """What is known of a package file."""

    manifest: Manifest
    signature: Signature
    abis: tuple[str, ...]
    """Of which it has native code, such as ``arm64-v8a``, in order of the alphabet; empty = it runs on any."""


def read_apk(file: BinaryIO) -> Apk:
    """Read a package and compare its bytes with its signature; raises ApkError, OSError.

    Memory stays small whatever the size. A package that has only JAR signatures (``v1``, before Android 7) is taken
    without a look at them, its certificate is unknown: ``""``.
    """
    signature = read_signature(file)
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            if len(names) > ENTRIES_MAX:
                raise ApkError("not_an_apk", f"it has {len(names)} files in it, more than {ENTRIES_MAX}")
            manifest = read_manifest(_manifest_bytes(archive))
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        # RuntimeError is how zipfile says that an entry is encrypted, ValueError that a field makes no sense.
        raise ApkError("not_an_apk", f"it is no zip file that can be read ({error})") from None
    if signature is None:
        signed = any(name.startswith("META-INF/") and name.upper().endswith(_SIGNED_V1) for name in names)
        if not signed:
            raise ApkError("apk_not_signed", "nobody has signed it; sign it with apksigner")
        signature = Signature(V1_SCHEME, "", "")
    abis = {found[1] for name in names if (found := _NATIVE.fullmatch(name))}
    return Apk(manifest, signature, tuple(sorted(abis)))


def read_apk_file(path: Path) -> Apk:
    """Read a package of this host; raises ApkError, OSError."""
    with path.open("rb") as file:
        return read_apk(file)


def _manifest_bytes(archive: zipfile.ZipFile) -> bytes:
    try:
        with archive.open(MANIFEST) as entry:
            data = entry.read(MANIFEST_BYTES_MAX + 1)
    except KeyError:
        raise ApkError("not_an_apk", f"it has no {MANIFEST} in it") from None
    if len(data) > MANIFEST_BYTES_MAX:
        raise ApkError("bad_manifest", f"its {MANIFEST} has more than {MANIFEST_BYTES_MAX} bytes")
    return data
