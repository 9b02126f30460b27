"""What the API shows of application packages that are stored as files (step 2)."""

from __future__ import annotations

from doai.admin.views import View
from doai.apk.package import Apk
from doai.changes.rows import FileRow


class AppJson(View, frozen=True, kw_only=True):
    """What is in an application package that is stored as a file; its bytes are those that were signed."""

    file: str
    """``name@version``."""
    sha256: str
    size_bytes: int
    package: str
    version_code: int
    version_name: str
    """Empty when the app's developers made it a resource."""
    min_sdk: int
    target_sdk: int
    abis: list[str]
    """Of which it has native code; empty = it runs on any processor."""
    permissions: list[str]
    """What it asks for."""
    test_only: bool
    signature_scheme: str
    certificate_sha256: str
    """Of the first signer, hexadecimal; empty when it has only JAR signatures."""
    certificate_hash: str
    """What phones call that certificate, 32 bits in hexadecimal; `app.inspect` tells a phone's."""


def app_json(row: FileRow, apk: Apk) -> AppJson:
    """Return what is in a package as the API shows it."""
    manifest = apk.manifest
    return AppJson(
        file=f"{row.name}@{row.version}",
        sha256=row.sha256,
        size_bytes=row.size_bytes,
        package=manifest.package,
        version_code=manifest.version_code,
        version_name=manifest.version_name,
        min_sdk=manifest.min_sdk,
        target_sdk=manifest.target_sdk,
        abis=list(apk.abis),
        permissions=list(manifest.permissions),
        test_only=manifest.test_only,
        signature_scheme=apk.signature.scheme,
        certificate_sha256=apk.signature.certificate_sha256,
        certificate_hash=apk.signature.certificate_hash,
    )
