"""Installed packages and the reading of an APK (way of a task: 9).

The phone reads an APK's identity from one line of text in the form of `aapt dump badging`
(`package: name='com.x' versionCode='3' versionName='1.2'`), in AndroidManifest.xml of the zip or anywhere in
a plain file; it does not parse compiled manifests, because nothing here compiles one.
"""

import io
import re
import zipfile
import zlib

import msgspec

from doai.phone import apps
from doai.phone.faults import Fault, FaultBook
from doai.phone.files import FOLDERS_MODIFIED_AT_S

MANIFEST = "AndroidManifest.xml"
_BADGING = re.compile(
    rb"package: name='(?P<name>[A-Za-z][\w.]*)' versionCode='(?P<code>\d+)' versionName='(?P<version>[^']*)'"
)
APK_BYTES_MAX = 32 * 1024 * 1024
"""Largest APK that is taken: a shelf keeps it in memory while it is read."""


class InstallError(Exception):
    """An installation was refused; the text is the reason in the package manager's words."""


class Package(msgspec.Struct, frozen=True):
    """One installed package. Times are Unix seconds."""

    name: str
    label_text: str
    version_name: str
    version_code: int
    system: bool
    installed_at_s: int
    size_bytes: int = 0
    granted: frozenset[str] = frozenset()

    @property
    def path(self) -> str:
        """Where its APK lies."""
        if self.system:
            return f"/system/app/{self.label_text.replace(' ', '')}/{self.label_text.replace(' ', '')}.apk"
        mark = zlib.crc32(self.name.encode())
        return f"/data/app/~~{mark:08x}==/{self.name}-{mark ^ 0xFFFFFFFF:08x}==/base.apk"

    @property
    def user_id(self) -> int:
        """Its Linux user; apps count from 10000 (android.os.Process.FIRST_APPLICATION_UID)."""
        return 10_000 + zlib.crc32(self.name.encode()) % 9_000


FACTORY_AT_S = FOLDERS_MODIFIED_AT_S
"""When what is on a new phone was installed."""
FACTORY: tuple[Package, ...] = (
    Package("android", "Android System", "13", 33, True, FACTORY_AT_S),
    Package("com.android.systemui", "System UI", "13", 33, True, FACTORY_AT_S),
    Package(apps.LAUNCHER, "Home", "13", 33, True, FACTORY_AT_S),
    Package(apps.SETTINGS, "Settings", "13", 33, True, FACTORY_AT_S),
    Package(apps.CHROME, "Chrome", "126.0.6478.72", 647807233, True, FACTORY_AT_S),
    Package(apps.YOUTUBE, "YouTube", "19.25.37", 1547538880, True, FACTORY_AT_S),
    Package(apps.LOGIN, "Demo Login", "1.0", 1, False, FACTORY_AT_S),
)
"""What is on every phone when it is new."""

ICONS_NOT_SHOWN = frozenset({"android", "com.android.systemui", apps.LAUNCHER})
"""Packages that can not be started from the home screen."""


def make_apk(name: str, *, version_code: int = 1, version_name: str = "1.0", padding_bytes: int = 0) -> bytes:
    """An APK that the phone takes, for tests and demonstrations; padding makes it as large as wanted."""
    line = f"package: name='{name}' versionCode='{version_code}' versionName='{version_name}'\n"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo(MANIFEST), line)
        archive.writestr(zipfile.ZipInfo("classes.dex"), bytes(padding_bytes))
    return out.getvalue()


def read_apk(data: bytes) -> tuple[str, int, str]:
    """An APK's package name, version code and version name. Raises InstallError."""
    text = data
    if data.startswith(b"PK"):
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                text = archive.read(MANIFEST)[:65536]
        except (zipfile.BadZipFile, KeyError) as error:
            raise InstallError(f"INSTALL_PARSE_FAILED_NOT_APK: Failed to parse base.apk: {error}") from None
    found = _BADGING.search(text)
    if found is None:
        raise InstallError("INSTALL_PARSE_FAILED_NOT_APK: Failed to parse base.apk: no package name in it")
    return found["name"].decode(), int(found["code"]), found["version"].decode("utf-8", "replace")


class PackageBook:
    """The packages of one phone; iteration is by name."""

    def __init__(self, faults: FaultBook) -> None:
        self._faults = faults
        self._packages: dict[str, Package] = {package.name: package for package in FACTORY}

    def get(self, name: str) -> Package | None:
        """The package, or None when it is not installed."""
        return self._packages.get(name)

    def all(self) -> list[Package]:
        """All packages by name."""
        return [self._packages[name] for name in sorted(self._packages)]

    def icons(self) -> list[tuple[str, str]]:
        """What the home screen shows: (package, label)."""
        return [(package.name, package.label_text) for package in self.all() if package.name not in ICONS_NOT_SHOWN]

    def install(self, apk: bytes, now_s: int, *, replace: bool, downgrade: bool, grant_all: bool) -> Package:
        """Installs an APK over what is there. Raises InstallError."""
        ordered = self._faults.take(Fault.INSTALL_FAILS)
        if ordered is not None:
            raise InstallError(ordered.text or "INSTALL_FAILED_INTERNAL_ERROR")
        if self._faults.take(Fault.STORAGE_FULL, "install"):
            raise InstallError("INSTALL_FAILED_INSUFFICIENT_STORAGE: Failed to override installation location")
        name, code, version = read_apk(apk)
        old = self._packages.get(name)
        if old is not None and not replace:
            raise InstallError(
                f"INSTALL_FAILED_ALREADY_EXISTS: Attempt to re-install {name} without first uninstalling."
            )
        if old is not None and code < old.version_code and not downgrade:
            raise InstallError(
                f"INSTALL_FAILED_VERSION_DOWNGRADE: Update version code {code} is older than "
                f"current {old.version_code}"
            )
        label_text = old.label_text if old else name.rpartition(".")[2].capitalize()
        granted = frozenset({"*"}) if grant_all else (old.granted if old else frozenset())
        package = Package(name, label_text, version, code, bool(old and old.system), now_s, len(apk), granted)
        self._packages[name] = package
        return package

    def uninstall(self, name: str) -> bool:
        """Removes a package that is no system package; false if that can not be done."""
        package = self._packages.get(name)
        if package is None or package.system:
            return False
        del self._packages[name]
        return True

    def grant(self, name: str, permission: str, *, granted: bool) -> bool:
        """Gives or takes a permission; false if there is no such package."""
        package = self._packages.get(name)
        if package is None:
            return False
        wanted = package.granted | {permission} if granted else package.granted - {permission}
        self._packages[name] = msgspec.structs.replace(package, granted=wanted)
        return True
