"""`dumpsys SERVICE`: the reports that drivers read, in the form that Android writes them (way of a task: 9)."""

from collections.abc import Callable
from datetime import datetime

from doai.phone.apps import YOUTUBE
from doai.phone.commands.call import Call
from doai.phone.commands.files import storage_kb
from doai.phone.device import ZONE
from doai.phone.permissions import RUNTIME


def dumpsys(call: Call) -> int:
    """`dumpsys [-l] SERVICE [ARGUMENT...]`."""
    words = [word for word in call.words if word not in ("-t", "--proto")]
    if not words or words[0] == "-l":
        call.out("Currently running services:")
        for name in sorted(_SERVICES):
            call.out(f"  {name}")
        return 0
    report = _SERVICES.get(words[0])
    if report is None:
        call.err(f"Can't find service: {words[0]}")
        return 0  # as the real one: a driver must look at the text
    call.out_bytes(report(call, words[1:]).encode())
    return 0


def package_text(call: Call, name: str) -> str:
    """What `dumpsys package NAME` says."""
    package = call.device.packages.get(name)
    if package is None:
        return f"Unable to find package: {name}\n" if name else "Packages:\n"
    installed = datetime.fromtimestamp(package.installed_at_s, ZONE).strftime("%Y-%m-%d %H:%M:%S")
    asked = "".join(f"      {permission}\n" for permission in sorted(package.requested))
    given = "".join(
        f"        {permission}: granted={str(permission in package.granted).lower()}, flags=[ USER_SET ]\n"
        for permission in sorted(package.requested & RUNTIME)
    )
    # Since Android 9 the numbers are hashes of the certificates; before, they are made anew at every start.
    hashes = f"signatures:[{package.certificate_hash}], past signatures:[]"
    signed = f"    signatures=PackageSignatures{{5e2b1c version:2, {hashes}}}\n" if package.certificate_hash else ""
    flags = "SYSTEM HAS_CODE" if package.system else "HAS_CODE ALLOW_CLEAR_USER_DATA"
    return (
        f"Packages:\n  Package [{package.name}] (7f3a1c2):\n    userId={package.user_id}\n"
        f"    codePath={package.path.rpartition('/')[0]}\n"
        f"    versionCode={package.version_code} minSdk={package.min_sdk} targetSdk={call.device.profile.sdk}\n"
        f"    versionName={package.version_name}\n{signed}    pkgFlags=[ {flags} ]\n"
        f"    firstInstallTime={installed}\n    lastUpdateTime={installed}\n"
        f"    requested permissions:\n{asked}"
        f"    User 0: installed=true hidden=false stopped=false enabled=0\n      runtime permissions:\n{given}"
    )


def _package(call: Call, words: list[str]) -> str:
    return package_text(call, words[0] if words else "")


def _battery(call: Call, words: list[str]) -> str:
    power = call.device.power
    if words[:1] == ["set"] and len(words) == 3 and words[1] == "level" and words[2].isdecimal():
        power.set_level(min(100, int(words[2])), call.now_s)
        return ""
    if words[:2] == ["set", "temp"] and len(words) == 3 and words[2].isdecimal():
        power.ordered_tenths_c = int(words[2])
        return ""
    if words[:1] == ["reset"]:
        power.ordered_tenths_c = None
    if words[:1] == ["unplug"] or words[:1] == ["reset"]:
        power.set_charging(False, call.now_s)
        return ""
    level = int(power.level_percent(call.now_s))
    return (
        "Current Battery Service state:\n"
        f"  AC powered: {str(power.charging).lower()}\n  USB powered: false\n  Wireless powered: false\n"
        f"  status: {2 if power.charging else 3}\n  health: 2\n  present: true\n  level: {level}\n  scale: 100\n"
        f"  voltage: {3600 + 6 * level}\n  temperature: {power.temperature_tenths_c()}\n  technology: Li-ion\n"
    )


def _busy_percent(call: Call) -> int:
    return 34 if call.device.playback(call.now_s) is not None else 9


def _cpuinfo(call: Call, words: list[str]) -> str:
    busy = _busy_percent(call)
    front = call.device.window.front.package
    return (
        f"Load: {busy / 10:.1f} / {busy / 11:.1f} / {busy / 12:.1f}\n"
        "CPU usage from 60000ms to 0ms ago:\n"
        f"  {busy // 2}% {call.device.window.pids.get(front, 1)}/{front}: {busy // 3}% user + {busy // 6}% kernel\n"
        f"{busy}% TOTAL: {busy // 2}% user + {busy // 3}% kernel + 0.1% iowait\n"
    )


def _meminfo(call: Call, words: list[str]) -> str:
    total_kb = call.device.profile.ram_kb
    used_kb = total_kb * 2 // 5 + 90_000 * len(call.device.window.pids)
    if words and not words[0].startswith("-"):
        pid = call.device.window.pids.get(words[0])
        if pid is None:
            return f"No process found for: {words[0]}\n"
        head = f"** MEMINFO in pid {pid} [{words[0]}] **\n"
        return f"{head}           TOTAL PSS:    90000            TOTAL RSS:   140000\n"
    return (
        f"Total RAM: {total_kb:,}K (status normal)\n Free RAM: {total_kb - used_kb:,}K\n"
        f" Used RAM: {used_kb:,}K\n Lost RAM: 0K\n"
    )


def _thermal(call: Call, words: list[str]) -> str:
    celsius = call.device.power.temperature_tenths_c() / 10
    playing = 6.0 if call.device.playback(call.now_s) is not None else 0.0
    readings = (("CPU", 0, celsius + 8 + playing), ("SKIN", 3, celsius + 2), ("BATTERY", 2, celsius))
    lines = [
        f"\tTemperature{{mValue={value:.1f}, mType={kind}, mName={name}, mStatus=0}}"
        for name, kind, value in readings
    ]
    ordered = call.device.power.ordered_thermal
    head = (
        f"IsStatusOverride: {str(ordered is not None).lower()}\nThermalEventListeners:\n"
        f"Thermal Status: {ordered or 0}\n"
    )
    return head + "Current temperatures from HAL:\n" + "\n".join(lines) + "\n"


def _media_session(call: Call, words: list[str]) -> str:
    playback = call.device.playback(call.now_s)
    head = (
        "MEDIA SESSION SERVICE (dumpsys media_session)\n\n0 sessions listeners.\n"
        "User Records:\nRecord for full_user=0\n"
    )
    if playback is None:
        return head + "  Sessions Stack - have 0 sessions:\n"
    state = str(int(playback.state))
    if call.device.profile.sdk >= 33:  # since Android 13 the state is named
        state = f"{playback.state.name}({int(playback.state)})"
    speed = 1.0 if playback.state.name == "PLAYING" else 0.0
    updated_ms = round(call.device.uptime_s(call.now_s) * 1000)
    pid = call.device.window.pids.get(YOUTUBE, 1)
    return head + (
        "  Sessions Stack - have 1 sessions:\n"
        f"    YouTube playerlib {YOUTUBE}/YouTube playerlib (userId=0)\n"
        f"      ownerPid={pid}, ownerUid=10187, userId=0\n      package={YOUTUBE}\n"
        f"      active={str(playback.state.name in ('PLAYING', 'BUFFERING', 'PAUSED')).lower()}\n      flags=3\n"
        f"      state=PlaybackState {{state={state}, position={playback.position_ms}, "
        f"buffered position={playback.buffered_ms}, speed={speed}, updated={updated_ms}, actions=823, "
        "custom actions=[], active item id=-1, error=null}\n"
        f"      metadata: size=4, description={playback.title}, Demo Channel, null\n"
    )


def _surface_flinger(call: Call, words: list[str]) -> str:
    """Layers with the pictures in them; until Android 13, later ones are written in another form."""
    frame = call.device.frame
    component = call.device.component(call.now_s)
    layers = [(component, (frame.width_px, frame.height_px))]
    if call.device.playback(call.now_s) is not None:
        layers.append((f"SurfaceView[{component}](BLAST)", call.device.video_px))
    if call.device.profile.sdk > 33:
        return "".join(f"RequestedLayerState{{{name}#71 parentId=70}}\n" for name, _ in layers)
    return "".join(
        f"+ BufferStateLayer ({name}#71) uid=10187\n  Region TransparentRegion (this=0 count=0)\n"
        f"      layerStack=   0, z=        0, pos=(0,24), size=({width_px:4},{height_px:4}), isOpaque=1\n"
        f"      activeBuffer=[{width_px:4}x{height_px:4}:{width_px:4},RGBA_8888], queued-frames=0\n\n"
        for name, (width_px, height_px) in layers
    )


def _display(call: Call, words: list[str]) -> str:
    on = "ON" if call.device.power.screen_on else "OFF"
    frame = call.device.frame
    return (
        f"DISPLAY MANAGER (dumpsys display)\n  mState={on}\n  mScreenState={on}\n"
        f"  mViewports=[DisplayViewport{{type=INTERNAL, valid=true, displayId=0, orientation=0}}]\n"
        f'  mBaseDisplayInfo=DisplayInfo{{"Built-in Screen", real {frame.width_px} x {frame.height_px}, '
        f"density 160, state {on}}}\n"
    )


def _power(call: Call, words: list[str]) -> str:
    power = call.device.power
    awake = "Awake" if power.screen_on else "Asleep"
    return (
        f"POWER MANAGER (dumpsys power)\n\nPower Manager State:\n  mWakefulness={awake}\n"
        f"  mIsPowered={str(power.charging).lower()}\n  mBatteryLevel={int(power.level_percent(call.now_s))}\n"
        f"Display Power: state={'ON' if power.screen_on else 'OFF'}\n  mHoldingDisplaySuspendBlocker="
        f"{str(power.screen_on).lower()}\n"
    )


def _window(call: Call, words: list[str]) -> str:
    component = call.device.component(call.now_s)
    package = component.partition("/")[0]
    awake = str(call.device.power.screen_on).lower()
    return (
        "WINDOW MANAGER WINDOWS (dumpsys window windows)\n"
        f"  mCurrentFocus=Window{{5b1c0de u0 {component}}}\n"
        f"  mFocusedApp=ActivityRecord{{8a3e2f1 u0 {component} t12}}\n"
        f"  mInputMethodTarget package={package}\n"
        f"  mAwake={awake} mScreenOnFully={awake}\n  mDreamingLockscreen=false mShowingLockscreen=false\n"
        f"  mInputShown={str(call.device.window.keyboard_shown).lower()}\n"
    )


def _activity(call: Call, words: list[str]) -> str:
    component = call.device.component(call.now_s)
    record = f"ActivityRecord{{8a3e2f1 u0 {component} t12}}"
    resumed = "topResumedActivity" if call.device.profile.sdk >= 30 else "mResumedActivity"
    return (
        "ACTIVITY MANAGER ACTIVITIES (dumpsys activity activities)\n"
        f"Display #0 (activities from top to bottom):\n  * Hist #0: {record}\n"
        f"  {resumed}={record}\n  ResumedActivity: {record}\n"
    )


def _input_method(call: Call, words: list[str]) -> str:
    return f"Current Input Method Manager state:\n  mInputShown={str(call.device.window.keyboard_shown).lower()}\n"


def _diskstats(call: Call, words: list[str]) -> str:
    total_kb, used_kb = storage_kb(call)
    free_kb = total_kb - used_kb
    return (
        "Latency: 1ms [512B Data Write]\n"
        f"Data-Free: {free_kb}K / {total_kb}K total = {free_kb * 100 // total_kb}% free\n"
        "Cache-Free: 0K / 0K total = 0% free\n"
    )


def _wifi(call: Call, words: list[str]) -> str:
    return 'Wi-Fi is enabled\nmWifiInfo SSID: "lab", RSSI: -51, Link speed: 433Mbps\n'


_SERVICES: dict[str, Callable[[Call, list[str]], str]] = {
    "activity": _activity,
    "SurfaceFlinger": _surface_flinger,
    "battery": _battery,
    "cpuinfo": _cpuinfo,
    "diskstats": _diskstats,
    "display": _display,
    "input_method": _input_method,
    "media_session": _media_session,
    "meminfo": _meminfo,
    "package": _package,
    "power": _power,
    "thermalservice": _thermal,
    "wifi": _wifi,
    "window": _window,
}
