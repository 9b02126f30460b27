"""The phone itself: everything it knows and how that changes, without any I/O (way of a task: 9).

`now_s` is monotonic seconds of the caller's clock; `wall_offset_s` added to it is Unix time.
"""

import math
from collections import deque
from datetime import datetime, timedelta, timezone

import msgspec

from doai.phone import profiles
from doai.phone.apps import LAUNCHER
from doai.phone.faults import Fault, FaultBook, FaultOrder
from doai.phone.files import FileSystem
from doai.phone.media import Playback
from doai.phone.packages import PackageBook
from doai.phone.power import Power
from doai.phone.profiles import Profile
from doai.phone.screens import Frame
from doai.phone.widgets import Screen, walk
from doai.phone.window import Window

LOG_LINES_MAX = 300
"""Lines that logcat keeps."""
BOOT_COMPLETES_AFTER_S = 0.3
"""From the moment adbd answers to sys.boot_completed=1; real phones take 10-30 s, tests have less time."""
ZONE = timezone(timedelta(hours=9), "KST")
"""The phones stand in Seoul."""


class LogLine(msgspec.Struct, frozen=True):
    """One line of logcat; `at_s` is Unix seconds."""

    at_s: float
    pid: int
    level: str
    tag: str
    text: str


class DeviceState(msgspec.Struct, frozen=True):
    """What a test or the control port wants to know of a phone, at one moment."""

    serial: str
    model: str
    sdk: int
    uptime_s: float
    screen_on: bool
    keyboard_shown: bool
    battery_percent: float
    package: str
    activity: str
    focus: str
    texts: list[str]
    packages: list[str]
    boots: int
    playback: Playback | None


class Device:
    """One phone. Its parts are public: `window`, `power`, `packages`, `files`, `faults`."""

    def __init__(
        self,
        *,
        serial: str,
        profile: Profile,
        tags: tuple[str, ...],
        now_s: float,
        wall_offset_s: float,
        faults: FaultBook | None = None,
        battery_percent: float = 88.0,
        up_for_s: float = 0.0,
    ) -> None:
        self.serial = serial
        self.profile = profile
        self.faults = faults or FaultBook()
        self.files = FileSystem(self.faults)
        self.packages = PackageBook(self.faults)
        self.settings: dict[tuple[str, str], str] = {}
        self.reverse_forwards: dict[str, str] = {}
        self.install_sessions: dict[int, bytes] = {}
        self.boots = 0
        self._tags = tags
        self._wall_offset_s = wall_offset_s
        self._properties: dict[str, str] = {}
        self._log: deque[LogLine] = deque(maxlen=LOG_LINES_MAX)
        self.logged = 0
        """Lines that were ever added to logcat."""
        self.size_override: tuple[int, int] | None = None
        self.density_override: int | None = None
        self.power = Power(battery_percent, now_s)
        self.boot(now_s)
        self._booted_at_s = now_s - up_for_s

    def boot(self, now_s: float) -> None:
        """Starts afresh: what runs is gone; files, packages, settings and the charge stay."""
        self.power.set_screen(True, now_s)
        self.window = Window(self.frame, self.packages, self.power)
        self.reverse_forwards.clear()
        self.install_sessions.clear()
        self._properties = {name: text for name, text in self._properties.items() if name.startswith("persist.")}
        self._log.clear()
        self._booted_at_s = now_s
        self.boots += 1
        self.log("SystemServer", "Entered the Android system server!", now_s)

    @property
    def frame(self) -> Frame:
        """The display's size in pixels."""
        if self.size_override is not None:
            return Frame(*self.size_override)
        return Frame(self.profile.width_px, self.profile.height_px)

    @property
    def storage_full(self) -> bool:
        """Whether that fault is ordered."""
        return self.faults.active(Fault.STORAGE_FULL)

    def resize(self, size: tuple[int, int] | None) -> None:
        """Gives the display another size, or its own (None)."""
        self.size_override = size
        self.window.frame = self.frame

    def wall_s(self, now_s: float) -> float:
        """Unix time on the phone."""
        return now_s + self._wall_offset_s

    def local_time(self, now_s: float) -> datetime:
        """The phone's wall clock."""
        return datetime.fromtimestamp(self.wall_s(now_s), ZONE)

    def uptime_s(self, now_s: float) -> float:
        """Seconds since it booted."""
        return max(0.0, now_s - self._booted_at_s)

    def screen(self, now_s: float) -> Screen:
        """What its display shows, or would show if it were on."""
        return self.window.screen(now_s)

    def playback(self, now_s: float) -> Playback | None:
        """The media session, if there is one."""
        app = self.window.player_app
        return app.player.playback(now_s) if app is not None and app.player is not None else None

    @property
    def video_px(self) -> tuple[int, int]:
        """Width and height in which it gets videos: less with little memory."""
        return (1920, 1080) if self.profile.ram_kb > 4_000_000 else (1280, 720)

    def order(self, order: FaultOrder, now_s: float) -> None:
        """Takes an order; what concerns the device itself (screen, media) happens now."""
        self.faults.order(order)
        if order.fault is Fault.SCREEN_OFF:
            self.faults.take(order.fault)
            self.power.set_screen(False, now_s)
        elif order.fault is Fault.MEDIA_STALLS:
            self._stall(order, now_s)

    def clear(self, fault: Fault | None, now_s: float) -> list[Fault]:
        """Withdraws orders and ends what they did; returns which faults were withdrawn."""
        gone = self.faults.clear(fault)
        if Fault.SCREEN_OFF in gone:
            self.power.set_screen(True, now_s)
        app = self.window.player_app
        if Fault.MEDIA_STALLS in gone and app is not None and app.player is not None:
            app.player.resume(now_s)
        return gone

    def start(self, package: str, now_s: float, url: str = "") -> bool:
        """Brings an app to the front; false if not installed. A stall ordered before strikes what it opens."""
        if not self.window.start(package, now_s, url):
            return False
        self.log("ActivityTaskManager", f"START u0 {{cmp={self.component(now_s)}}}", now_s)
        if url and self.playback(now_s) is not None:
            for stall in self.faults.take_all(Fault.MEDIA_STALLS):
                self._stall_player(stall, now_s)
        return True

    def component(self, now_s: float) -> str:
        """The activity in front as `package/activity`."""
        front = self.window.front
        return f"{front.package}/{front.activity}"

    def properties(self, now_s: float) -> dict[str, str]:
        """All system properties as `getprop` lists them."""
        shown = profiles.properties(self.profile, self.serial, self._tags) | self._properties
        if self.uptime_s(now_s) >= BOOT_COMPLETES_AFTER_S:
            shown |= {"sys.boot_completed": "1", "dev.bootcomplete": "1", "init.svc.bootanim": "stopped"}
        else:
            shown |= {"init.svc.bootanim": "running"}
        same = self.faults.waiting_for(Fault.SAME_SERIAL)
        if same is not None:
            shown |= {"ro.serialno": same.text, "ro.boot.serialno": same.text}
        return shown

    def set_property(self, name: str, text: str) -> bool:
        """Sets a property; false for those that are read-only."""
        if name.startswith("ro."):
            return False
        self._properties[name] = text
        return True

    def log(self, tag: str, text: str, now_s: float, level: str = "I") -> None:
        """Adds a line to logcat."""
        self.logged += 1
        self._log.append(LogLine(self.wall_s(now_s), self.window.pids[LAUNCHER], level, tag, text))

    def log_lines(self) -> list[LogLine]:
        """Logcat, oldest first."""
        return list(self._log)

    def clear_log(self) -> None:
        """Empties logcat."""
        self._log.clear()

    def uninstall(self, package: str, now_s: float) -> bool:
        """Ends and removes a package; false if that can not be done."""
        if not self.packages.uninstall(package):
            return False
        self.window.stop(package, now_s)
        return True

    def state(self, now_s: float) -> DeviceState:
        """A summary of the phone now."""
        screen = self.screen(now_s)
        return DeviceState(
            serial=self.serial,
            model=self.profile.model,
            sdk=self.profile.sdk,
            uptime_s=round(self.uptime_s(now_s), 3),
            screen_on=self.power.screen_on,
            keyboard_shown=self.window.keyboard_shown,
            battery_percent=round(self.power.level_percent(now_s), 2),
            package=screen.package,
            activity=screen.activity,
            focus=self.window.front.focus,
            texts=[widget.shown_text for widget in walk(screen.root) if widget.text],
            packages=[package.name for package in self.packages.all()],
            boots=self.boots,
            playback=self.playback(now_s),
        )

    def _stall(self, order: FaultOrder, now_s: float) -> None:
        if self.playback(now_s) is not None and self.faults.take(order.fault) is not None:
            self._stall_player(order, now_s)

    def _stall_player(self, order: FaultOrder, now_s: float) -> None:
        app = self.window.player_app
        assert app is not None
        assert app.player is not None
        if order.at_media_s is None:
            app.player.stall(now_s, order.duration_s)
        else:
            app.player.stall_at(order.at_media_s, order.duration_s or math.inf, now_s)
