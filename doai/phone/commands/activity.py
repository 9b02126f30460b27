"""`am` and `monkey`: starting and ending apps (way of a task: 9)."""

from doai.phone import apps
from doai.phone.commands.call import Call, Program, operands, option
from doai.phone.effects import STDOUT as OUT
from doai.phone.effects import Output, Running, Wait
from doai.phone.instrumentation import chosen, report

START_S = 0.05
"""How long `am start` takes to come back; `-W` also waits for the app, as long again."""
_VALUED = ("-a", "-d", "-n", "-c", "-t", "-f", "-p", "--user", "--es", "--ei", "--ez", "-e", "--display")


def am(call: Call) -> int | Running:
    """`am start|start-activity|force-stop|kill|kill-all|broadcast|instrument|get-current-user`."""
    words = call.words
    verb = words[0] if words else ""
    if verb in ("start", "start-activity"):
        return _start(call)
    if verb in ("force-stop", "kill"):
        names = operands(words[1:], "--user")
        if not names:
            call.err("Exception occurred while executing: java.lang.IllegalArgumentException: Argument expected")
            return 255
        # `kill` ends only what is not in front (ActivityManager.killBackgroundProcesses).
        if verb == "force-stop" or call.device.window.front.package != names[0]:
            call.device.window.stop(names[0], call.now_s)
        return 0
    if verb == "instrument":
        return _instrument(call)
    if verb == "kill-all":
        return 0
    if verb == "get-current-user":
        call.out("0")
        return 0
    if verb == "broadcast":
        call.out(f"Broadcasting: Intent {{ act={option(words, '-a') or ''} flg=0x400000 }}")
        call.out("Broadcast completed: result=0")
        return 0
    call.err(f"Unknown command: {verb}")
    return 255


def _start(call: Call) -> Running:
    words = call.words[1:]
    component, url = option(words, "-n"), option(words, "-d") or ""
    package = option(words, "-p") or ""
    rest = operands(words, *_VALUED)
    if component is None and not url and rest:
        component, url = (rest[0], "") if "/" in rest[0] and "://" not in rest[0] else (None, rest[0])
    intent = _intent(option(words, "-a"), url, component, option(words, "-c"))
    call.out(f"Starting: Intent {{ {intent} }}")
    yield from call.take_output()
    yield Wait(START_S)
    if component is not None:
        package = component.partition("/")[0]
        if call.device.packages.get(package) is None:
            call.out("Error type 3")
            call.out(f"Error: Activity class {{{component}}} does not exist.")
            yield from call.take_output()
            return 1
    elif not package:
        package = _resolve(call, url)
    if "-S" in words:
        call.device.window.stop(package, call.now_s)
    was_front = call.device.window.front.package == package
    if not package or not call.device.start(package, call.now_s, url):
        call.err(f"Error: Activity not started, unable to resolve Intent {{ {intent} }}")
        yield from call.take_output()
        return 1
    if was_front and not url:
        call.out("Warning: Activity not started, its current task has been brought to the front")
    if "-W" in words:
        yield Wait(START_S)
        call.out("Status: ok")
        call.out(f"LaunchState: {'HOT' if was_front else 'COLD'}")
        call.out(f"Activity: {call.device.component(call.now_s)}")
        call.out(f"TotalTime: {round(START_S * 1000)}")
        call.out(f"WaitTime: {round(START_S * 2000)}")
        call.out("Complete")
    yield from call.take_output()
    return 0


def _instrument(call: Call) -> Running:
    """`am instrument -w -r [-e NAME VALUE]... PACKAGE/RUNNER`: the tests that the test app lists."""
    words = call.words[1:]
    values = {words[at + 1]: words[at + 2] for at in range(len(words) - 2) if words[at] == "-e"}
    names = [word for word in words if "/" in word and word not in values.values()]
    component = names[-1] if names else ""
    package, _, runner = component.partition("/")
    known = call.device.packages.get(package)
    found = next((one for one in known.instrumentations if one.runner == runner), None) if known else None
    yield Wait(START_S)
    if known is None or found is None:
        why = f"Unable to find instrumentation info for: ComponentInfo{{{component}}}"
    elif call.device.packages.get(found.target_package) is None:
        why = f"Unable to find instrumentation target package: {found.target_package}"
    else:
        call.device.window.stop(found.target_package, call.now_s)
        for duration_s, text in report(chosen(known.tests, values.get("class", ""))):
            yield Wait(duration_s)
            yield Output(OUT, text.encode())
        return 0
    call.out(f"INSTRUMENTATION_STATUS: Error={why}\nINSTRUMENTATION_STATUS: id=ActivityManagerService")
    call.out("INSTRUMENTATION_STATUS_CODE: -1")
    call.err(f"android.util.AndroidException: INSTRUMENTATION_FAILED: {component}")
    yield from call.take_output()
    return 1


def _resolve(call: Call, url: str) -> str:
    if apps.is_video_link(url) and call.device.packages.get(apps.YOUTUBE) is not None:
        return apps.YOUTUBE
    return apps.CHROME if url.startswith(("http://", "https://")) else ""


def _intent(action: str | None, url: str, component: str | None, category: str | None) -> str:
    parts = [f"act={action}" if action else "", f"cat=[{category}]" if category else ""]
    parts += [f"dat={url}" if url else "", f"cmp={component}" if component else ""]
    return " ".join(part for part in parts if part)


def monkey(call: Call) -> Running:
    """`monkey -p PACKAGE [-c CATEGORY] 1`: starts the package's app. Other uses are refused: no random input."""
    package = option(call.words, "-p") or ""
    known = call.device.packages.get(package)
    if known is None or not known.startable:
        yield Output(OUT, b"** No activities found to run, monkey aborted.\n")
        return 252
    yield Wait(START_S)
    if operands(call.words, "-p", "-c", "-s", "--throttle", "--pct-syskeys") != ["1"]:
        yield Output(OUT, b"** Error: this phone takes a count of 1 only\n")
        return 1
    call.device.start(package, call.now_s)
    call.out(f"  bash arg: -p\n  bash arg: {package}")
    call.out("Events injected: 1")
    call.out("## Network stats: elapsed time=12ms (0ms mobile, 0ms wifi, 12ms not connected)")
    yield from call.take_output()
    return 0


PROGRAMS: dict[str, Program] = {"am": am, "monkey": monkey}
