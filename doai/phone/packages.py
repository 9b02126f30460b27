"""Installed packages: what is on the phone, and the package manager's rules (way of a task: 9)."""

import io
import zipfile
import zlib

import msgspec

from doai.apk.errors import ApkError
from doai.apk.manifest import Instrumentation
from doai.apk.package import Apk, read_apk
from doai.phone import apps
from doai.phone.faults import Fault, FaultBook
from doai.phone.files import FOLDERS_MODIFIED_AT_S
from doai.phone.instrumentation import TESTS_ENTRY, TestCase, read_tests
from doai.phone.permissions import RUNTIME
from doai.phone.profiles import ABIS

APK_BYTES_MAX = 32 * 1024 * 1024
"""Largest APK that is taken: a shelf keeps it in memory while it is read."""
_TESTS_BYTES_MAX = 1024 * 1024


class InstallError(Exception):
    """An installation was refused; the text is the reason in the package manager's words."""


class GrantError(Exception):
    """A permission can not be given or taken; the text is the exception that the package manager prints."""


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
    requested: frozenset[str] = frozenset()
    """Permissions that its manifest asks for."""
    activity: str = ""
    """What the home screen starts; "" for apps that are built in, which know it themselves."""
    certificate_sha256: str = ""
    """Who signed it; "" for what was on the phone when it was new."""
    certificate_hash: str = ""
    """The same as `dumpsys package` shows it."""
    min_sdk: int = 23
    instrumentations: tuple[Instrumentation, ...] = ()
    tests: tuple[TestCase, ...] = ()
    startable: bool = True
    """Whether it has an activity for the home screen."""

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
    Package(
        apps.LOGIN,
        "Demo Login",
        "1.0",
        1,
        False,
        FACTORY_AT_S,
        requested=frozenset(
            {
                "android.permission.CAMERA",
                "android.permission.INTERNET",
                "android.permission.POST_NOTIFICATIONS",
            }
        ),
    ),
)
"""What is on every phone when it is new."""

ICONS_NOT_SHOWN = frozenset({"android", "com.android.systemui", apps.LAUNCHER})
"""Packages that can not be started from the home screen."""


def open_apk(data: bytes) -> tuple[Apk, tuple[TestCase, ...]]:
    """Read an APK and the tests in it. Raises InstallError with the package manager's names for what is wrong."""
    try:
        apk = read_apk(io.BytesIO(data))
        tests = _tests(data) if apk.manifest.instrumentations else ()
    except ApkError as error:
        reason = _PARSE_FAILED.get(error.code, "INSTALL_PARSE_FAILED_NOT_APK")
        raise InstallError(f"{reason}: Failed to parse base.apk: {error}") from None
    return apk, tests


_PARSE_FAILED = {
    "not_an_apk": "INSTALL_PARSE_FAILED_NOT_APK",
    "bad_manifest": "INSTALL_PARSE_FAILED_BAD_MANIFEST",
    "apk_is_split": "INSTALL_FAILED_MISSING_SPLIT",
    "apk_not_signed": "INSTALL_PARSE_FAILED_NO_CERTIFICATES",
    "apk_damaged": "INSTALL_PARSE_FAILED_NO_CERTIFICATES",
}


def _tests(data: bytes) -> tuple[TestCase, ...]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if TESTS_ENTRY not in archive.namelist():
            return ()
        with archive.open(TESTS_ENTRY) as entry:
            return read_tests(entry.read(_TESTS_BYTES_MAX).decode("utf-8", "replace"))


class InstallFlags(msgspec.Struct, frozen=True):
    """The options of `pm install`: -r, -d, -g, -t."""

    replace: bool = True
    downgrade: bool = False
    grant_all: bool = False
    allow_test: bool = False


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
        return [
            (package.name, package.label_text)
            for package in self.all()
            if package.startable and package.name not in ICONS_NOT_SHOWN
        ]

    def install(self, apk: bytes, now_s: int, sdk: int, flags: InstallFlags) -> Package:
        """Installs an APK over what is there. Raises InstallError."""
        ordered = self._faults.take(Fault.INSTALL_FAILS)
        if ordered is not None:
            raise InstallError(ordered.text or "INSTALL_FAILED_INTERNAL_ERROR")
        if self._faults.take(Fault.STORAGE_FULL, "install"):
            raise InstallError("INSTALL_FAILED_INSUFFICIENT_STORAGE: Failed to override installation location")
        read, tests = open_apk(apk)
        manifest = read.manifest
        old = self._packages.get(manifest.package)
        refused = _refusal(read, old, sdk, flags)
        if refused:
            raise InstallError(refused)
        requested = frozenset(manifest.permissions)
        kept = (old.granted if old else frozenset()) & requested
        package = Package(
            name=manifest.package,
            label_text=manifest.label
            or (old.label_text if old else manifest.package.rpartition(".")[2].capitalize()),
            version_name=manifest.version_name,
            version_code=manifest.version_code,
            system=bool(old and old.system),
            installed_at_s=now_s,
            size_bytes=len(apk),
            granted=(requested & RUNTIME) if flags.grant_all else kept,
            requested=requested,
            activity=manifest.launch_activity,
            certificate_sha256=read.signature.certificate_sha256,
            certificate_hash=read.signature.certificate_hash,
            min_sdk=manifest.min_sdk,
            instrumentations=manifest.instrumentations,
            tests=tests,
            startable=bool(manifest.launch_activity),
        )
        self._packages[package.name] = package
        return package

    def uninstall(self, name: str) -> bool:
        """Removes a package that is no system package; false if that can not be done."""
        package = self._packages.get(name)
        if package is None or package.system:
            return False
        del self._packages[name]
        return True

    def grant(self, name: str, permission: str, *, granted: bool) -> None:
        """Gives or takes a runtime permission. Raises GrantError with what the package manager would throw."""
        package = self._packages.get(name)
        if package is None:
            raise GrantError(f"java.lang.IllegalArgumentException: Unknown package: {name}")
        if not permission.startswith("android.permission.") and permission not in package.requested:
            raise GrantError(f"java.lang.IllegalArgumentException: Unknown permission: {permission}")
        if permission not in package.requested:
            raise GrantError(
                f"java.lang.SecurityException: Package {name} has not requested permission {permission}"
            )
        if permission not in RUNTIME:
            raise GrantError(
                f"java.lang.SecurityException: Permission {permission} requested by {name} is not a changeable "
                "permission type"
            )
        wanted = package.granted | {permission} if granted else package.granted - {permission}
        self._packages[name] = msgspec.structs.replace(package, granted=wanted)

    def clear(self, name: str) -> bool:
        """Takes back every permission that was given; false if there is no such package."""
        package = self._packages.get(name)
        if package is not None:
            self._packages[name] = msgspec.structs.replace(package, granted=frozenset())
        return package is not None


def _refusal(read: Apk, old: Package | None, sdk: int, flags: InstallFlags) -> str:
    """Why the package manager would not install it; empty when it would."""
    manifest = read.manifest
    name, code = manifest.package, manifest.version_code
    if manifest.min_sdk > sdk:
        return (
            f"INSTALL_FAILED_OLDER_SDK: Requires newer sdk version #{manifest.min_sdk} (current version is #{sdk})"
        )
    if read.abis and not set(read.abis) & set(ABIS):
        return "INSTALL_FAILED_NO_MATCHING_ABIS: Failed to extract native libraries, res=-113"
    if manifest.test_only and not flags.allow_test:
        return f"INSTALL_FAILED_TEST_ONLY: Failed to install test-only apk {name}"
    if old is None:
        return ""
    if not flags.replace:
        return f"INSTALL_FAILED_ALREADY_EXISTS: Attempt to re-install {name} without first uninstalling."
    if old.certificate_sha256 not in ("", read.signature.certificate_sha256):
        return (
            f"INSTALL_FAILED_UPDATE_INCOMPATIBLE: Existing package {name} signatures do not match newer version; "
            "ignoring!"
        )
    if code < old.version_code and not flags.downgrade:
        return (
            f"INSTALL_FAILED_VERSION_DOWNGRADE: Update version code {code} is older than current {old.version_code}"
        )
    return ""
