"""`cat`, `ls`, `rm`, `mkdir`, `df` and other programs for files and text (way of a task: 9)."""

import base64
import hashlib
import re
import stat
from collections.abc import Generator
from datetime import datetime

from doai.phone.commands.call import Call, Program, operands, option
from doai.phone.device import ZONE
from doai.phone.effects import STDERR as ERR
from doai.phone.effects import STDOUT as OUT
from doai.phone.effects import Effect, Output, Read, Running
from doai.phone.files import Entry, FileError

INPUT_BYTES_MAX = 32 * 1024 * 1024
"""What a program collects of its input at most."""


def cat(call: Call) -> Running:
    """`cat [FILE...]`: files, or the input."""
    paths = operands(call.words)
    if not paths:
        while data := (yield Read()):
            yield Output(OUT, data)
        return 0
    code = 0
    for path in paths:
        try:
            yield Output(OUT, read_file(call, path))
        except FileError as error:
            yield Output(ERR, f"cat: {path}: {error}\n".encode())
            code = 1
    return code


def read_file(call: Call, path: str) -> bytes:
    """A file's bytes, those of /proc included. Raises FileError."""
    uptime_s = call.device.uptime_s(call.now_s)
    ram_kb = call.device.profile.ram_kb
    made = {
        "/proc/uptime": f"{uptime_s:.2f} {uptime_s * 7:.2f}\n",
        "/proc/loadavg": "1.20 1.10 1.00 2/2100 4321\n",
        "/proc/meminfo": f"MemTotal: {ram_kb} kB\nMemFree: {ram_kb // 8} kB\nMemAvailable: {ram_kb // 2} kB\n",
    }
    real = call.device.files.path(path)
    return made[real].encode() if real in made else call.device.files.read(path)


def ls(call: Call) -> int:
    """`ls [-l] [-a] [-d] [PATH...]`."""
    flags = "".join(word[1:] for word in call.words if word.startswith("-"))
    code = 0
    for path in operands(call.words) or ["/"]:
        entry = call.device.files.stat(path)
        if not entry.mode:
            call.err(f"ls: {path}: No such file or directory")
            code = 1
            continue
        folder = stat.S_ISDIR(entry.mode) and "d" not in flags
        for found in call.device.files.entries(path) if folder else [entry]:
            name = found.name if folder else path
            call.out(_long(found, name) if "l" in flags else name)
    return code


def _long(entry: Entry, name: str) -> str:
    when = datetime.fromtimestamp(entry.modified_at_s, ZONE).strftime("%Y-%m-%d %H:%M")
    return f"{stat.filemode(entry.mode)} 1 shell shell {entry.size_bytes:>8} {when} {name}"


def rm(call: Call) -> int:
    """`rm [-r] [-f] PATH...`."""
    flags = "".join(word[1:] for word in call.words if word.startswith("-")).lower()
    code = 0
    for path in operands(call.words):
        try:
            call.device.files.remove(path, recursive="r" in flags)
        except FileError as error:
            if "f" not in flags or "No such" not in str(error):
                call.err(f"rm: {path}: {error}")
                code = 1
    return code


def mkdir(call: Call) -> int:
    """`mkdir [-p] PATH...`."""
    code = 0
    for path in operands(call.words, "-m"):
        try:
            call.device.files.make_folder(path, parents="-p" in call.words)
        except FileError as error:
            call.err(f"mkdir: '{path}': {error}")
            code = 1
    return code


def touch(call: Call) -> int:
    """`touch PATH...`."""
    code = 0
    for path in operands(call.words):
        try:
            call.device.files.write(path, b"", int(call.device.wall_s(call.now_s)), append=True)
        except FileError as error:
            call.err(f"touch: '{path}': {error}")
            code = 1
    return code


def df(call: Call) -> int:
    """`df [PATH]`: 1K-blocks of the data partition; full while that fault is ordered."""
    total_kb, used_kb = storage_kb(call)
    call.out("Filesystem     1K-blocks     Used Available Use% Mounted on")
    percent = -(-100 * used_kb // total_kb)
    call.out(f"/dev/block/dm-5 {total_kb} {used_kb} {total_kb - used_kb} {percent}% /data")
    return 0


def storage_kb(call: Call) -> tuple[int, int]:
    """Size and use of the data partition."""
    device = call.device
    total_kb = device.profile.storage_kb
    apps_kb = sum(package.size_bytes for package in device.packages.all()) // 1024
    used_kb = min(total_kb, total_kb // 4 + apps_kb + device.files.used_bytes // 1024)
    return total_kb, total_kb if device.storage_full else used_kb


def grep(call: Call) -> Running:
    """`grep [-E] [-i] [-v] [-c] [-q] [-o] PATTERN [FILE...]`: a regular expression, line by line."""
    flags = "".join(word[1:] for word in call.words if word.startswith("-") and word != "-e")
    rest = operands(call.words)
    if not rest:
        yield Output(ERR, b"grep: no pattern\n")
        return 2
    try:
        pattern = re.compile(rest[0], re.IGNORECASE if "i" in flags else 0)
        text = b"".join(read_file(call, path) for path in rest[1:])
    except (re.error, FileError) as error:
        yield Output(ERR, f"grep: {error}\n".encode())
        return 2
    if len(rest) == 1:
        text = yield from _input()
    lines = text.decode("utf-8", "replace").splitlines()
    kept = [line for line in lines if bool(pattern.search(line)) != ("v" in flags)]
    if "c" in flags:
        call.out(str(len(kept)))
    elif "q" not in flags:
        for line in kept:
            for shown in pattern.findall(line) if "o" in flags and not pattern.groups else [line]:
                call.out(shown)
    yield from call.take_output()
    return 0 if kept else 1


def head(call: Call) -> Running:
    """`head [-n N]` and `tail [-n N]`: the first or last lines of the input or a file."""
    wanted = option(call.words, "-n") or next((word[1:] for word in call.words if word[1:].isdecimal()), "10")
    paths = operands(call.words, "-n")
    try:
        text = read_file(call, paths[0]) if paths else (yield from _input())
    except FileError as error:
        yield Output(ERR, f"{call.argv[0]}: {paths[0]}: {error}\n".encode())
        return 1
    lines = text.splitlines(keepends=True)
    count = int(wanted) if wanted.isdecimal() else 10
    kept = lines[:count] if call.argv[0] == "head" else lines[max(0, len(lines) - count) :]
    yield Output(OUT, b"".join(kept))
    return 0


def wc(call: Call) -> Running:
    """`wc [-l] [-c]`: lines, words and bytes of the input."""
    text = yield from _input()
    counts = {"-l": text.count(b"\n"), "-w": len(text.split()), "-c": len(text)}
    shown = [str(counts[flag]) for flag in counts if flag in call.words] or [
        str(count) for count in counts.values()
    ]
    yield Output(OUT, (" ".join(shown) + "\n").encode())
    return 0


def sha256sum(call: Call) -> int:
    """`sha256sum FILE...`."""
    code = 0
    for path in operands(call.words):
        try:
            call.out(f"{hashlib.sha256(read_file(call, path)).hexdigest()}  {path}")
        except FileError as error:
            call.err(f"sha256sum: {path}: {error}")
            code = 1
    return code


def base64_of(call: Call) -> Running:
    """`base64 [FILE]`: lines of 76 characters."""
    paths = operands(call.words, "-w")
    try:
        data = read_file(call, paths[0]) if paths else (yield from _input())
    except FileError as error:
        yield Output(ERR, f"base64: {paths[0]}: {error}\n".encode())
        return 1
    yield Output(OUT, base64.encodebytes(data))
    return 0


def chmod(call: Call) -> int:
    """`chmod OCTAL FILE...`."""
    mode, *paths = operands(call.words)
    for path in paths:
        try:
            data = call.device.files.read(path)
            call.device.files.write(path, data, int(call.device.wall_s(call.now_s)), mode=int(mode, 8))
        except FileError as error:
            call.err(f"chmod: {path}: {error}")
            return 1
    return 0


def mv(call: Call) -> int:
    """`mv [-f] FILE GOAL`: the goal is a file."""
    source, goal = operands(call.words)
    try:
        data = call.device.files.read(source)
        call.device.files.remove(source, recursive=False)
        call.device.files.write(goal, data, int(call.device.wall_s(call.now_s)))
    except FileError as error:
        call.err(f"mv: bad '{source}': {error}")
        return 1
    return 0


def _input() -> Generator[Effect, bytes, bytes]:
    collected = bytearray()
    while data := (yield Read()):
        collected += data
        if len(collected) > INPUT_BYTES_MAX:
            break
    return bytes(collected)


PROGRAMS: dict[str, Program] = {
    "base64": base64_of,
    "cat": cat,
    "chmod": chmod,
    "df": df,
    "grep": grep,
    "head": head,
    "ls": ls,
    "mkdir": mkdir,
    "mv": mv,
    "rm": rm,
    "sha256sum": sha256sum,
    "tail": head,
    "touch": touch,
    "wc": wc,
}
