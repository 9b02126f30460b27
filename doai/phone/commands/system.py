"""`echo`, `sleep`, `date`, `logcat`, `reboot` and other small programs (way of a task: 9)."""

from datetime import datetime

from doai.phone.commands.call import Call, Program, operands, option
from doai.phone.device import ZONE, LogLine
from doai.phone.effects import Reboot, Running, Wait

_LEVELS = "VDIWEFS"
SLEEP_S_MAX = 3600.0
"""A longer sleep is cut: a phone's commands end."""
FOLLOW_EVERY_S = 0.1
"""Between two looks of a logcat that follows for lines that are new."""


def echo(call: Call) -> int:
    """`echo [-n] WORD...`."""
    words = call.words
    if words[:1] == ["-n"]:
        call.out_bytes(" ".join(words[1:]).encode())
    else:
        call.out(" ".join(words))
    return 0


def sleep(call: Call) -> Running:
    """`sleep SECONDS`, with a fraction."""
    try:
        duration_s = float(call.words[0])
    except (IndexError, ValueError):
        call.err("sleep: bad time")
        yield from call.take_output()
        return 1
    yield Wait(min(max(0.0, duration_s), SLEEP_S_MAX))
    return 0


def date(call: Call) -> int:
    """`date [+FORMAT]`: the time in Seoul; `%s` is Unix time."""
    now = call.device.local_time(call.now_s)
    formats = [word[1:] for word in call.words if word.startswith("+")]
    if formats:
        text = formats[0].replace("%s", str(int(now.timestamp()))).replace("%N", f"{now.microsecond * 1000:09d}")
        call.out(now.strftime(text))
    else:
        call.out(now.strftime("%a %b %e %H:%M:%S KST %Y"))
    return 0


def uptime(call: Call) -> int:
    """`uptime`."""
    now = call.device.local_time(call.now_s)
    minutes = int(call.device.uptime_s(call.now_s)) // 60
    days, rest = divmod(minutes, 24 * 60)
    days_text = f"{days} days, " if days else ""
    load = "load average: 1.20, 1.10, 1.00"
    call.out(f" {now:%H:%M:%S} up {days_text}{rest // 60:2d}:{rest % 60:02d},  0 users,  {load}")
    return 0


def identity(call: Call) -> int:
    """`id` and `whoami`: adb's shell user."""
    call.out(
        "shell" if call.argv[0] == "whoami" else "uid=2000(shell) gid=2000(shell) groups=2000(shell),1004(input)"
    )
    return 0


def uname(call: Call) -> int:
    """`uname [-a|-r|-m]`."""
    parts = {"-r": "5.10.0-sim", "-m": "aarch64", "-a": "Linux localhost 5.10.0-sim #1 SMP PREEMPT aarch64 Toybox"}
    call.out(parts.get(call.words[0] if call.words else "", "Linux"))
    return 0


def ps(call: Call) -> int:
    """`ps [-A]`: the apps that run."""
    call.out("USER           PID  PPID     VSZ    RSS WCHAN            ADDR S NAME")
    for package, pid in call.device.window.pids.items():
        call.out(f"u0_a{pid % 1000:<9} {pid:>5}   612 1523456  98304 0                   0 S {package}")
    return 0


def pidof(call: Call) -> int:
    """`pidof PACKAGE`."""
    pid = call.device.window.pids.get(call.words[0]) if call.words else None
    if pid is None:
        return 1
    call.out(str(pid))
    return 0


def logcat(call: Call) -> int | Running:
    """`logcat [-d] [-t N] [-T N|MOMENT] [--pid=N] [TAG:LEVEL]...` and `logcat -c`; without -d and -t it follows."""
    if "-c" in call.words:
        call.device.clear_log()
        return 0
    lines = call.device.log_lines()
    since, count = option(call.words, "-T"), option(call.words, "-t")
    if since is not None and since.isdecimal():
        lines = lines[-int(since) :]
    elif since is not None:
        lines = [line for line in lines if line.at_s >= _moment(call, since)]
    call.out("--------- beginning of main")
    if "-d" not in call.words and count is None:
        return _follow_log(call, lines)
    lines = _wanted_lines(call, lines)
    for line in lines[-int(count) :] if count and count.isdecimal() else lines:
        call.out(_log_text(line))
    return 0


def _follow_log(call: Call, lines: list[LogLine]) -> Running:
    """The lines, and then every one that is logged, until the command is ended."""
    logged = call.device.logged
    while True:
        for line in _wanted_lines(call, lines):
            call.out(_log_text(line))
        yield from call.take_output()
        yield Wait(FOLLOW_EVERY_S)
        new, logged = call.device.logged - logged, call.device.logged
        lines = call.device.log_lines()[-new:] if new else []


def _wanted_lines(call: Call, lines: list[LogLine]) -> list[LogLine]:
    pids = {word.partition("=")[2] for word in call.words if word.startswith("--pid=")}
    filters = [word.split(":") for word in operands(call.words, "-t", "-v", "-b", "-T") if ":" in word]
    levels = {words[0]: words[-1][:1] for words in filters}
    rest = "S" if "-s" in call.words else levels.get("*", "V")
    return [
        line
        for line in lines
        if (not pids or str(line.pid) in pids)
        and _LEVELS.index(line.level) >= _LEVELS.index(levels.get(line.tag, rest))
    ]


def _moment(call: Call, text: str) -> float:
    """What `-T` means: Unix seconds with a fraction, or `MM-DD hh:mm:ss.mmm` of this year."""
    try:
        return float(text)
    except ValueError:
        year = call.device.local_time(call.now_s).year
        try:
            return datetime.strptime(f"{year}-{text}", "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=ZONE).timestamp()
        except ValueError:
            return 0.0


def _log_text(line: LogLine) -> str:
    when = datetime.fromtimestamp(line.at_s, ZONE)
    stamp = f"{when:%m-%d %H:%M:%S}.{when.microsecond // 1000:03d}"
    return f"{stamp} {line.pid:>5} {line.pid:>5} {line.level} {line.tag}: {line.text}"


def ip(call: Call) -> int:
    """`ip [-6] route get ADDRESS`: over Wi-Fi, else over the mobile network, else not at all."""
    if operands(call.words)[:2] != ["route", "get"]:
        call.err("ip: this phone knows `ip route get ADDRESS` only")
        return 1
    settings = call.device.settings
    airplane = settings.get(("global", "airplane_mode_on"), "0") == "1"
    wifi = settings.get(("global", "wifi_on"), "1") != "0" and not airplane
    mobile = settings.get(("global", "mobile_data"), "1") != "0" and not airplane
    if "-6" in call.words or not (wifi or mobile):
        call.err("RTNETLINK answers: Network is unreachable")
        return 2
    device, source = ("wlan0", "192.168.0.23") if wifi else ("rmnet_data0", "10.71.3.4")
    call.out(f"{operands(call.words)[-1]} via 192.168.0.1 dev {device} table 1021 src {source} uid 2000 ")
    return 0


def reboot(call: Call) -> Running:
    """`reboot [REASON]`."""
    yield Reboot(call.words[0] if call.words else "")
    return 0


def succeed(call: Call) -> int:
    """`true`, `:`, `sync`, `exit` (which the shell itself handles)."""
    return 0


def fail(call: Call) -> int:
    """`false`."""
    return 1


PROGRAMS: dict[str, Program] = {
    ":": succeed,
    "date": date,
    "echo": echo,
    "exit": succeed,
    "false": fail,
    "id": identity,
    "ip": ip,
    "logcat": logcat,
    "pidof": pidof,
    "ps": ps,
    "reboot": reboot,
    "sleep": sleep,
    "sync": succeed,
    "true": succeed,
    "uname": uname,
    "uptime": uptime,
    "whoami": identity,
}
