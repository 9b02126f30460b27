"""`pm` and `cmd`: packages (way of a task: 9)."""

from collections.abc import Generator

from doai.phone.commands import shade
from doai.phone.commands.call import Call, Program, operands, option
from doai.phone.commands.dumpsys import package_text
from doai.phone.commands.settings import CMD_SERVICES
from doai.phone.effects import STDOUT as OUT
from doai.phone.effects import Effect, Output, Read, Running
from doai.phone.files import FileError
from doai.phone.packages import APK_BYTES_MAX, GrantError, InstallError, InstallFlags

_INSTALL_VALUED = ("-S", "-i", "--user", "--abi", "--install-location", "--originating-uri", "--pkg", "-p")


def cmd(call: Call) -> int | Running:
    """`cmd package|activity|statusbar|...`: what goes to the same code as `pm` and `am`, and a few services."""
    words = call.words
    if words[:1] == ["package"]:
        call.argv = ["pm", *words[1:]]
        return pm(call)
    if words[:1] in (["statusbar"], ["notification"]):
        return (shade.statusbar if words[0] == "statusbar" else shade.notification)(call)
    if words and words[0] in CMD_SERVICES:
        return CMD_SERVICES[words[0]](call)
    if words[:1] == ["device_config"]:
        return 0
    call.err(f"cmd: Can't find service: {words[0] if words else ''}")
    return 20


def pm(call: Call) -> int | Running:
    """`pm list|path|install|install-create|install-write|install-commit|uninstall|clear|grant|revoke|dump`."""
    verb = call.words[0] if call.words else ""
    found = _VERBS.get(verb)
    if found is None:
        call.err(f"Unknown command: {verb}")
        return 255
    return found(call)


def _list(call: Call) -> int:
    words = call.words[1:]
    if words[:1] == ["features"]:
        call.out("feature:android.hardware.touchscreen")
        return 0
    if words[:1] == ["users"]:
        call.out("Users:\n\tUserInfo{0:Owner:c13} running")
        return 0
    if words[:1] == ["instrumentation"]:
        for package in call.device.packages.all():
            for found in package.instrumentations:
                call.out(f"instrumentation:{package.name}/{found.runner} (target={found.target_package})")
        return 0
    if words[:1] not in (["packages"], ["package"]):
        call.err(f"Error: unknown list type '{words[0] if words else ''}'")
        return 255
    wanted = operands(words[1:], "--user", "-i")
    for package in call.device.packages.all():
        if (package.system and "-3" in words) or (not package.system and "-s" in words):
            continue
        if wanted and wanted[0] not in package.name:
            continue
        shown = f"{package.path}={package.name}" if "-f" in words else package.name
        code = f" versionCode:{package.version_code}" if "--show-versioncode" in words else ""
        uid = f" uid:{package.user_id}" if "-U" in words else ""
        call.out(f"package:{shown}{code}{uid}")
    return 0


def _path(call: Call) -> int:
    names = operands(call.words[1:], "--user")
    package = call.device.packages.get(names[0]) if names else None
    if package is None:
        return 1
    call.out(f"package:{package.path}")
    return 0


def _install(call: Call) -> Running:
    words = call.words[1:]
    size = option(words, "-S")
    paths = operands(words, *_INSTALL_VALUED)
    if size is None and paths and paths[-1] != "-":
        try:
            apk = call.device.files.read(paths[-1])
        except FileError as error:
            return (yield from _answer(call, f"Error: failed to open {paths[-1]}: {error}", 1))
    else:
        apk = yield from _streamed(size or "0")
    return (yield from _answer(call, *_installed(call, words, apk)))


def _streamed(size: str) -> Generator[Effect, bytes, bytes]:
    wanted = int(size) if size.isdecimal() else 0
    collected = bytearray()
    while len(collected) < min(wanted, APK_BYTES_MAX):
        data = yield Read()
        if not data:
            break
        collected += data
    return bytes(collected)


def _installed(call: Call, words: list[str], apk: bytes) -> tuple[str, int]:
    flags = [word for word in words if word.startswith("-")]
    sdk = call.device.profile.sdk
    try:
        package = call.device.packages.install(
            apk,
            int(call.device.wall_s(call.now_s)),
            sdk,
            InstallFlags(
                # Since Android 8.0 `pm install` replaces what is there unless -R is given.
                replace="-R" not in flags and sdk >= 26,
                downgrade="-d" in flags,
                grant_all="-g" in flags,
                allow_test="-t" in flags,
            ),
        )
    except InstallError as error:
        return f"Failure [{error}]", 1
    call.device.window.stop(package.name, call.now_s)
    call.device.log("PackageManager", f"installed {package.name} {package.version_name}", call.now_s)
    return "Success", 0


def _answer(call: Call, text: str, code: int) -> Running:
    call.out(text)
    yield from call.take_output()
    return code


def _create(call: Call) -> int:
    number = max(call.device.install_sessions, default=1000) + 1
    call.device.install_sessions[number] = b""
    call.out(f"Success: created install session [{number}]")
    return 0


def _write(call: Call) -> Running:
    words = call.words[1:]
    rest = operands(words, "-S")
    number = int(rest[0]) if rest and rest[0].isdecimal() else -1
    if number not in call.device.install_sessions:
        return (yield from _answer(call, f"Error: java.lang.SecurityException: no session {number}", 1))
    if len(rest) > 2 and rest[2] != "-":
        try:
            apk = call.device.files.read(rest[2])
        except FileError as error:
            return (yield from _answer(call, f"Error: failed to open {rest[2]}: {error}", 1))
    else:
        apk = yield from _streamed(option(words, "-S") or "0")
    # The first file is the base APK, which names the package; splits after it only add to its size.
    call.device.install_sessions[number] = call.device.install_sessions[number] or apk
    return (yield from _answer(call, f"Success: streamed {len(apk)} bytes", 0))


def _commit(call: Call) -> int:
    rest = operands(call.words[1:])
    apk = call.device.install_sessions.pop(int(rest[0]), None) if rest and rest[0].isdecimal() else None
    if apk is None:
        call.out("Error: java.lang.SecurityException: no such session")
        return 1
    text, code = _installed(call, call.words[1:], apk)
    call.out(text)
    return code


def _abandon(call: Call) -> int:
    rest = operands(call.words[1:])
    if rest and rest[0].isdecimal():
        call.device.install_sessions.pop(int(rest[0]), None)
    call.out("Success")
    return 0


def _uninstall(call: Call) -> int:
    names = operands(call.words[1:], "--user", "--versionCode")
    package = call.device.packages.get(names[0]) if names else None
    if package is None:
        call.out("Failure [DELETE_FAILED_INTERNAL_ERROR]")
        return 1
    if not call.device.uninstall(package.name, call.now_s):
        call.out("Failure [DELETE_FAILED_DEVICE_POLICY_MANAGER]")
        return 1
    call.out("Success")
    return 0


def _clear(call: Call) -> int:
    names = operands(call.words[1:], "--user")
    if not names or call.device.packages.get(names[0]) is None:
        call.out("Failed")
        return 1
    call.device.window.stop(names[0], call.now_s)
    call.device.packages.clear(names[0])
    call.out("Success")
    return 0


def _grant(call: Call) -> int:
    rest = operands(call.words[1:], "--user")
    try:
        if len(rest) != 2:
            raise GrantError("java.lang.IllegalArgumentException: Argument expected")
        call.device.packages.grant(rest[0], rest[1], granted=call.words[0] == "grant")
    except GrantError as error:
        call.err(f"Exception occurred while executing '{call.words[0]}':")
        call.err(str(error))
        return 255
    return 0


def _dump(call: Call) -> Running:
    names = operands(call.words[1:])
    yield Output(OUT, package_text(call, names[0] if names else "").encode())
    return 0


_VERBS: dict[str, Program] = {
    "list": _list,
    "path": _path,
    "install": _install,
    "install-create": _create,
    "install-write": _write,
    "install-commit": _commit,
    "install-abandon": _abandon,
    "uninstall": _uninstall,
    "clear": _clear,
    "grant": _grant,
    "revoke": _grant,
    "dump": _dump,
}

PROGRAMS: dict[str, Program] = {"pm": pm, "cmd": cmd}
