"""`cmd notification`, `cmd statusbar`, `service call notification`: the notification shade (way of a task: 9)."""

from doai.phone.commands.call import Call, Program, operands, option

POST_FROM_SDK = 29
"""`cmd notification post` came with Android 10."""


def notification(call: Call) -> int:
    """`cmd notification post [-S STYLE] [-t TITLE] TAG TEXT`."""
    words = call.words
    if words[:2] != ["notification", "post"] or call.device.profile.sdk < POST_FROM_SDK:
        call.err(f"Unknown command: {words[1] if len(words) > 1 else ''}")
        return 255
    rest = operands(words[2:], "-S", "--style", "-t", "--title", "-i", "-I")
    if len(rest) < 2:
        call.err("post [flags] <tag> <text>")
        return 255
    call.device.window.notifications[rest[0]] = (option(words, "-t", "--title") or "", rest[1])
    call.out("posting:\n  Notification(channel=shell_cmd)")
    return 0


def statusbar(call: Call) -> int:
    """`cmd statusbar expand-notifications|collapse`."""
    verb = (call.words[1:] or [""])[0]
    if verb in ("expand-notifications", "collapse"):
        call.device.window.shade_open = verb == "expand-notifications"
    return 0


def service(call: Call) -> int:
    """`service call notification 1 s16 PACKAGE i32 USER`: cancelAllNotifications, its interface's first call."""
    if call.words[:3] == ["call", "notification", "1"]:
        call.device.window.notifications.clear()
        call.out("Result: Parcel(00000000    '....')")
        return 0
    call.err(f"service: Service {(call.words[1:] or [''])[0]} does not exist")
    return 10


PROGRAMS: dict[str, Program] = {"service": service}
