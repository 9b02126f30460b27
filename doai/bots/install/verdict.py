"""Which phones can take an app, decided from how they were found (step 14)."""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from doai.bots.stored_apps import StoredApp

ROOM_TIMES: Final = 3
"""The package while it is copied, the installed one, and what Android compiles of it."""
_MB: Final = 1024 * 1024


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """How a phone has an app, and what it is: the outputs of the workflow app-look."""

    installed: bool
    version_code: int | None
    version_name: str = ""
    signer: str = ""
    """Hashes of certificates joined by commas; empty = it does not tell."""
    system: bool = False
    sdk: int
    abis: list[str]
    storage_free_mb: int | None

    def same(self, other: Look) -> bool:
        """Whether the app is on the phone as it was at another look."""
        return (self.installed, self.version_code, self.signer) == (
            other.installed,
            other.version_code,
            other.signer,
        )

    def is_of(self, app: StoredApp) -> bool | None:
        """Whether what is installed was signed by the app's signer; None = nobody can know."""
        if not self.signer or not app.certificate_hash:
            return None
        return app.certificate_hash in self.signer.split(",")


class Result(enum.Enum):
    """What came of a phone."""

    INSTALLED = "installed"
    SKIPPED = "skipped"
    """It has that version of that signer."""
    REFUSED = "refused"
    """It can not take the app, and was not touched."""
    FAILED = "failed"
    NOT_TRIED = "not_tried"
    """It was stopped before its turn."""
    ROLLED_BACK = "rolled_back"
    NOT_ROLLED_BACK = "not_rolled_back"
    """It was changed, and is not as it was."""


class Verdict(msgspec.Struct, frozen=True):
    """What came of a phone, or will not be tried, and why."""

    result: Result
    code: str
    """Stable snake_case name of the reason."""
    reason: str
    """One sentence; the same words for phones with the same reason."""


def judge(look: Look, app: StoredApp, *, spare_mb: int) -> Verdict | None:
    """Return why a phone is left alone; None = it can take the app."""
    signed = look.is_of(app)
    if look.installed and look.version_code == app.version_code and signed:
        return Verdict(Result.SKIPPED, "has_it", "it has that version of that signer already")
    if look.sdk < app.min_sdk:
        return _refused("sdk_too_low", f"its Android has API level {look.sdk}, the app needs {app.min_sdk}")
    if app.abis and not set(app.abis) & set(look.abis):
        has, runs = ", ".join(app.abis), ", ".join(look.abis) or "none that it tells"
        return _refused("abi_missing", f"the app has native code for {has}, the phone runs {runs}")
    if look.installed and signed is False:
        return _refused("signature_differs", "another signer's app of that name is installed: remove it first")
    if look.installed and look.version_code is not None and look.version_code > app.version_code:
        return _refused("newer_installed", f"it has the newer version {look.version_code}")
    wanted_mb = ROOM_TIMES * app.size_bytes // _MB + spare_mb
    if look.storage_free_mb is not None and look.storage_free_mb < wanted_mb:
        return _refused("storage_low", f"less than {wanted_mb} MB of its storage are free")
    return None


def _refused(code: str, reason: str) -> Verdict:
    return Verdict(Result.REFUSED, code, reason)
