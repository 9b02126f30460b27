"""The window manager: which app is in front, and what touches, keys and text do to it (way of a task: 9)."""

from collections.abc import Callable

from doai.phone import apps
from doai.phone.apps import App, PlayerApp, new_app
from doai.phone.packages import PackageBook
from doai.phone.power import Power
from doai.phone.screens import Frame, keyboard_bounds, shade
from doai.phone.widgets import Screen, widget_at

FIRST_PID = 2000
"""Processes of apps count from here; below it are the system's own."""

KEY_CODES: dict[str, int] = {
    "HOME": 3,
    "BACK": 4,
    "DPAD_CENTER": 23,
    "VOLUME_UP": 24,
    "VOLUME_DOWN": 25,
    "POWER": 26,
    "TAB": 61,
    "ENTER": 66,
    "DEL": 67,
    "MENU": 82,
    "MEDIA_PLAY_PAUSE": 85,
    "MEDIA_STOP": 86,
    "ESCAPE": 111,
    "MEDIA_PLAY": 126,
    "MEDIA_PAUSE": 127,
    "APP_SWITCH": 187,
    "SLEEP": 223,
    "WAKEUP": 224,
}
"""android.view.KeyEvent: the keys that this phone knows by name; any other number is taken and does nothing."""

_CODES_WHEN_DARK = frozenset({26, 85, 86, 126, 127, 223, 224})


class Window:
    """Apps that run, the one in front, the focus and the keyboard."""

    def __init__(self, frame: Frame, packages: PackageBook, power: Power) -> None:
        self.frame = frame
        self.keyboard_shown = False
        self.notifications: dict[str, tuple[str, str]] = {}
        """Title and text by tag; of the shell alone, apps of this phone post none."""
        self.shade_open = False
        self.pids: dict[str, int] = {}
        self._packages = packages
        self._power = power
        self._running: dict[str, App] = {}
        self._next_pid = FIRST_PID
        self._front = self._process(apps.LAUNCHER)
        self._keys: dict[int, Callable[[float], None]] = {
            3: self.home,
            4: self._back,
            26: self._toggle_screen,
            61: self._enter_next,
            66: self._enter,
            67: self._delete,
            85: self._play_or_pause,
            86: self._pause,
            111: self._back,
            126: self._play,
            127: self._pause,
            223: self._sleep,
            224: self._wake,
        }

    @property
    def front(self) -> App:
        """The app that is shown."""
        return self._front

    @property
    def player_app(self) -> PlayerApp | None:
        """The video app, if it runs."""
        app = self._running.get(apps.YOUTUBE)
        return app if isinstance(app, PlayerApp) else None

    def screen(self, now_s: float) -> Screen:
        """What is shown (also when the screen is dark: the picture says that, not the tree)."""
        if self.shade_open:
            return Screen("com.android.systemui", "NotificationShade", shade(self.frame, self.notifications))
        return Screen(self._front.package, self._front.activity, self._front.screen(self.frame, now_s))

    def start(self, package: str, now_s: float, url: str = "") -> bool:
        """Brings a package's app to the front, starting it if needed; false if it is not installed."""
        if self._packages.get(package) is None:
            return False
        app = self._process(package)
        if app is not self._front:
            self._front.leave(now_s)
            self._front = app
        self.keyboard_shown = False
        if url:
            app.open_link(url, now_s)
        return True

    def stop(self, package: str, now_s: float) -> None:
        """Ends a package's process; home comes to the front if it was there."""
        app = self._running.pop(package, None)
        if app is None or package == apps.LAUNCHER:
            return
        app.end(now_s)
        del self.pids[package]
        if app is self._front:
            self._front = self._process(apps.LAUNCHER)
            self.keyboard_shown = False

    def home(self, now_s: float) -> None:
        """The home screen comes to the front."""
        self.shade_open = False
        self.start(apps.LAUNCHER, now_s)

    def tap(self, x: int, y: int, now_s: float) -> str:
        """Touches a point; returns what it did (`nothing` beside a button, on the keyboard or in the dark)."""
        if not self._power.screen_on:
            return "nothing"
        if self.keyboard_shown and keyboard_bounds(self.frame).holds(x, y):
            return "keyboard"
        found = widget_at(self.screen(now_s).root, x, y)
        if found is None:
            return "nothing"
        verb, _, what = found.action.partition(":")
        if verb == "focus":
            self._front.focus = what
            self.keyboard_shown = True
        elif verb == "launch":
            self.start(what, now_s)
        else:
            self._front.focus = ""
            self.keyboard_shown = False
            self._front.act(found.action, now_s)
        return found.action

    def hold(self, x: int, y: int, now_s: float) -> None:
        """A long press: the app in front decides what it means."""
        found = widget_at(self.screen(now_s).root, x, y) if self._power.screen_on else None
        if found is not None:
            self._front.hold(found.action)

    def swipe(self, x: int, y: int, to_x: int, to_y: int) -> None:
        """A finger moves over the screen; the app in front scrolls, if it can."""
        if self._power.screen_on:
            self._front.swipe(to_x - x, to_y - y, self.frame)

    def text(self, text: str) -> bool:
        """Types into the focused field; false if there is none, and the text is lost."""
        app = self._front
        if not self._power.screen_on or app.focus not in app.fields:
            return False
        app.fields[app.focus] += text
        return True

    def key(self, code: int, now_s: float) -> None:
        """Presses a key by its number (KEY_CODES)."""
        if not self._power.screen_on and code not in _CODES_WHEN_DARK:
            return
        action = self._keys.get(code)
        if action is not None:
            action(now_s)

    def _process(self, package: str) -> App:
        app = self._running.get(package)
        if app is None:
            known = self._packages.get(package)
            label_text, activity = (known.label_text, known.activity) if known else (package, "")
            app = new_app(package, label_text, self._packages.icons, activity)
            self._running[package] = app
            self.pids[package] = self._next_pid
            self._next_pid += 1
        return app

    def _back(self, now_s: float) -> None:
        if self.keyboard_shown:
            self.keyboard_shown = False
            self._front.focus = ""
        elif not self._front.back(now_s):
            self.home(now_s)

    def _enter_next(self, now_s: float) -> None:
        App.enter(self._front, now_s)

    def _enter(self, now_s: float) -> None:
        self._front.enter(now_s)
        self.keyboard_shown = bool(self._front.focus)

    def _delete(self, now_s: float) -> None:
        app = self._front
        if app.focus in app.fields:
            app.fields[app.focus] = app.fields[app.focus][:-1]

    def _toggle_screen(self, now_s: float) -> None:
        self._power.set_screen(not self._power.screen_on, now_s)

    def _sleep(self, now_s: float) -> None:
        self._power.set_screen(False, now_s)

    def _wake(self, now_s: float) -> None:
        self._power.set_screen(True, now_s)

    def _play(self, now_s: float) -> None:
        if self.player_app is not None:
            self.player_app.act("play", now_s)

    def _pause(self, now_s: float) -> None:
        if self.player_app is not None:
            self.player_app.act("pause", now_s)

    def _play_or_pause(self, now_s: float) -> None:
        app = self.player_app
        if app is not None and app.player is not None:
            paused = app.player.playback(now_s).state.name == "PAUSED"
            app.act("play" if paused else "pause", now_s)
