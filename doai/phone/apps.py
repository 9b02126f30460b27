"""The apps of the simulated phone: each shows a screen and answers taps, keys and links (way of a task: 9)."""

import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

from doai.phone import screens
from doai.phone.media import PlaybackState, Player
from doai.phone.screens import Frame, button, field, label, page
from doai.phone.widgets import Bounds, Widget

LAUNCHER = "com.android.launcher3"
CHROME = "com.android.chrome"
YOUTUBE = "com.google.android.youtube"
SETTINGS = "com.android.settings"
LOGIN = "com.example.login"

LOGIN_USERNAME, LOGIN_PASSWORD = "demo", "secret"
"""The only credentials that the demo app accepts."""

SETTINGS_ROWS = (
    *("Network & internet", "Connected devices", "Apps", "Notifications", "Battery", "Storage"),
    *("Sound & vibration", "Display", "Wallpaper & style", "Accessibility", "Security & privacy", "Location"),
    *("Safety & emergency", "Passwords & accounts", "Digital Wellbeing", "System", "About phone", "Tips & support"),
)
"""The main page of Android's settings."""

_VIDEO_ID = re.compile(r"^[A-Za-z0-9_-]{1,64}$")


class App:
    """A running app. A subclass shows its screen from its state; a tap's action comes back to `act`."""

    def __init__(self, package: str, label_text: str, activity: str) -> None:
        self.package = package
        self.label_text = label_text
        self.activity = activity
        self.fields: dict[str, str] = {}
        self.focus = ""

    def screen(self, frame: Frame, now_s: float) -> Widget:
        """The tree that is shown now."""
        return page(frame, [label(frame.row(60, 30), self.label_text, f"{self.package}:id/title")])

    def open_link(self, url: str, now_s: float) -> None:
        """The app was started with a link."""

    def act(self, action: str, now_s: float) -> None:
        """A widget with this action was tapped."""

    def hold(self, action: str) -> None:
        """A widget with this action was pressed for long."""

    def swipe(self, dx_px: int, dy_px: int, frame: Frame) -> None:
        """A finger moved this far over the screen."""

    def back(self, now_s: float) -> bool:
        """BACK was pressed; true if the app used it itself, false if it is to be left."""
        return False

    def leave(self, now_s: float) -> None:
        """Another app came to the front."""

    def end(self, now_s: float) -> None:
        """The app's process ends."""

    def enter(self, now_s: float) -> None:
        """ENTER was pressed in the focused field: the next field gets the focus."""
        names = list(self.fields)
        if self.focus in names:
            after = names.index(self.focus) + 1
            self.focus = names[after] if after < len(names) else ""


class HomeApp(App):
    """The home screen: an icon for every app that can be started. The action is `launch:<package>`."""

    def __init__(self, icons: Callable[[], list[tuple[str, str]]]) -> None:
        super().__init__(LAUNCHER, "Home", "com.android.launcher3.uioverrides.QuickstepLauncher")
        self._icons = icons
        self._menu_of = ""

    def screen(self, frame: Frame, now_s: float) -> Widget:
        """A grid of four icons a row."""
        cell_px = (frame.width_px - 2 * screens.MARGIN_PX) // 4
        icons = []
        for index, (package, name) in enumerate(self._icons()):
            left = screens.MARGIN_PX + (index % 4) * cell_px
            top = 120 + (index // 4) * 90
            bounds = Bounds(left + 4, top, left + cell_px - 4, top + 76)
            icons.append(
                Widget(
                    "TextView", bounds, name, f"{LAUNCHER}:id/icon", name, f"launch:{package}", fill=screens.PALE
                )
            )
        if self._menu_of:
            icons.append(
                button(frame.row(frame.height_px - 80, 44), "App info", f"{LAUNCHER}:id/app_info", "close")
            )
        return page(frame, icons, fill=screens.GREY)

    def hold(self, action: str) -> None:
        """A long press on an icon shows its menu."""
        self._menu_of = action.removeprefix("launch:")

    def act(self, action: str, now_s: float) -> None:
        """The menu goes away."""
        self._menu_of = ""

    def back(self, now_s: float) -> bool:
        """Home stays; a menu goes away."""
        self._menu_of = ""
        return True

    def leave(self, now_s: float) -> None:
        """A menu goes away with what it was over."""
        self._menu_of = ""


class SettingsApp(App):
    """The phone's settings: a list that is longer than the screen and scrolls."""

    LIST = f"{SETTINGS}:id/recycler_view"
    ROW_PX = 56
    TOP_PX = 100

    def __init__(self) -> None:
        super().__init__(SETTINGS, "Settings", f"{SETTINGS}.Settings")
        self._scrolled_px = 0

    def screen(self, frame: Frame, now_s: float) -> Widget:
        """The rows that are in sight; others are not in the tree, as in a list that makes its rows when needed."""
        area = Bounds(0, self.TOP_PX, frame.width_px, frame.height_px)
        rows = []
        for index, name in enumerate(SETTINGS_ROWS):
            top = self.TOP_PX + index * self.ROW_PX - self._scrolled_px
            if top >= area.top and top + self.ROW_PX <= area.bottom:
                bounds = Bounds(screens.MARGIN_PX, top, frame.width_px - screens.MARGIN_PX, top + self.ROW_PX)
                rows.append(label(bounds, name, "android:id/title"))
        shown = Widget("ScrollView", area, resource_id=self.LIST, children=tuple(rows))
        return page(frame, [label(frame.row(50, 36), "Settings", f"{SETTINGS}:id/title"), shown])

    def swipe(self, dx_px: int, dy_px: int, frame: Frame) -> None:
        """The list follows the finger, as far as it goes."""
        end_px = max(0, len(SETTINGS_ROWS) * self.ROW_PX - (frame.height_px - self.TOP_PX))
        self._scrolled_px = min(max(0, self._scrolled_px - dy_px), end_px)


class BrowserApp(App):
    """A browser: an address field and the page it went to."""

    def __init__(self) -> None:
        super().__init__(CHROME, "Chrome", "com.google.android.apps.chrome.Main")
        self.url = "about:blank"
        self.fields = {f"{CHROME}:id/url_bar": ""}

    def screen(self, frame: Frame, now_s: float) -> Widget:
        """The address and the page."""
        bar = f"{CHROME}:id/url_bar"
        address = self.fields[bar] or self.url
        host = urlsplit(self.url).hostname or ""
        return page(
            frame,
            [
                field(frame.row(40, 36), address, bar, hint="Search or type URL", focused=self.focus == bar),
                label(frame.row(120, 30), host or "New tab", f"{CHROME}:id/page_title"),
                label(frame.row(160, 30), self.url, f"{CHROME}:id/page_url", screens.DARK),
            ],
        )

    def open_link(self, url: str, now_s: float) -> None:
        """Goes to the page."""
        self.url = url
        self.fields[f"{CHROME}:id/url_bar"] = ""

    def enter(self, now_s: float) -> None:
        """Goes to what was typed."""
        typed = self.fields[f"{CHROME}:id/url_bar"]
        if typed:
            self.open_link(typed if "://" in typed else f"https://{typed}", now_s)
        self.focus = ""


class PlayerApp(App):
    """A video app: a feed, and a watch page that plays the video of the link it was opened with."""

    def __init__(self) -> None:
        super().__init__(YOUTUBE, "YouTube", "com.google.android.apps.youtube.app.WatchWhileActivity")
        self.player: Player | None = None

    def screen(self, frame: Frame, now_s: float) -> Widget:
        """The video with its position, or the feed."""
        if self.player is None:
            return page(frame, [label(frame.row(60, 30), "Home feed", f"{YOUTUBE}:id/feed_title")])
        playback = self.player.playback(now_s)
        playing = playback.state in (PlaybackState.PLAYING, PlaybackState.BUFFERING)
        video_px = frame.width_px * 9 // 16
        surface = Bounds(0, screens.STATUS_BAR_PX, frame.width_px, screens.STATUS_BAR_PX + video_px)
        below = surface.bottom
        clock = f"{_clock(playback.position_ms)} / {_clock(playback.duration_ms)}"
        children = [
            Widget(
                "SurfaceView", surface, resource_id=f"{YOUTUBE}:id/player_view", desc="Video", fill=screens.BLACK
            ),
            button(
                Bounds(frame.width_px // 2 - 40, below - 120, frame.width_px // 2 + 40, below - 80),
                "Pause" if playing else "Play",
                f"{YOUTUBE}:id/player_control_play_pause_replay_button",
                "pause" if playing else "play",
                "Pause video" if playing else "Play video",
            ),
            label(frame.row(below - 30, 24), clock, f"{YOUTUBE}:id/time_bar", screens.WHITE),
            label(frame.row(below + 16, 30), playback.title, f"{YOUTUBE}:id/title"),
        ]
        if playback.state is PlaybackState.BUFFERING:
            children.append(label(frame.row(40, 24), "Loading", f"{YOUTUBE}:id/player_loading_view", screens.WHITE))
        return page(frame, children)

    def open_link(self, url: str, now_s: float) -> None:
        """Plays the link's video from its beginning; a link without one shows the feed."""
        self.end(now_s)
        found = video_id_of(url)
        if found is not None:
            self.player = Player(found, now_s)

    def act(self, action: str, now_s: float) -> None:
        """Play and pause."""
        if self.player is not None and action == "pause":
            self.player.pause(now_s)
        elif self.player is not None and action == "play":
            self.player.play(now_s)

    def back(self, now_s: float) -> bool:
        """From the watch page to the feed."""
        watching = self.player is not None
        self.end(now_s)
        return watching

    def leave(self, now_s: float) -> None:
        """Nothing plays in the background."""
        if self.player is not None:
            self.player.pause(now_s)

    def end(self, now_s: float) -> None:
        """The session goes away."""
        if self.player is not None:
            self.player.stop(now_s)
        self.player = None


class LoginApp(App):
    """The demo app: a login screen, and a welcome screen after the right username and password."""

    USERNAME = f"{LOGIN}:id/username"
    PASSWORD = f"{LOGIN}:id/password"

    def __init__(self) -> None:
        super().__init__(LOGIN, "Demo Login", f"{LOGIN}.LoginActivity")
        self.error = ""
        self.user: str | None = None
        self._forget()

    def _forget(self) -> None:
        self.fields = {self.USERNAME: "", self.PASSWORD: ""}
        self.focus = ""

    def screen(self, frame: Frame, now_s: float) -> Widget:
        """Login or welcome."""
        if self.user is not None:
            return page(
                frame,
                [
                    label(frame.row(80, 36), f"Welcome, {self.user}", f"{LOGIN}:id/welcome", screens.GREEN),
                    button(frame.row(140, 44), "Log out", f"{LOGIN}:id/logout", "logout"),
                ],
            )
        children = [
            label(frame.row(60, 36), "Demo Login", f"{LOGIN}:id/title"),
            field(
                frame.row(110, 44),
                self.fields[self.USERNAME],
                self.USERNAME,
                hint="Username",
                focused=self.focus == self.USERNAME,
            ),
            field(
                frame.row(170, 44),
                self.fields[self.PASSWORD],
                self.PASSWORD,
                hint="Password",
                focused=self.focus == self.PASSWORD,
                password=True,
            ),
            button(frame.row(240, 48), "Login", f"{LOGIN}:id/login", "login"),
        ]
        if self.error:
            children.append(label(frame.row(300, 30), self.error, f"{LOGIN}:id/error", screens.RED))
        return page(frame, children)

    def act(self, action: str, now_s: float) -> None:
        """The Login and Log out buttons."""
        if action == "logout":
            self.user = None
            self.activity = f"{LOGIN}.LoginActivity"
        elif action == "login":
            username, password = self.fields[self.USERNAME], self.fields[self.PASSWORD]
            if not username or not password:
                self.error = "Enter a username and a password"
            elif (username, password) != (LOGIN_USERNAME, LOGIN_PASSWORD):
                self.error = "Wrong username or password"
                self.fields[self.PASSWORD] = ""
            else:
                self.error = ""
                self.user = username
                self.activity = f"{LOGIN}.WelcomeActivity"
                self._forget()

    def enter(self, now_s: float) -> None:
        """From the username to the password; ENTER in the password is Login."""
        if self.focus == self.PASSWORD:
            self.focus = ""
            self.act("login", now_s)
        else:
            super().enter(now_s)


def new_app(package: str, label_text: str, icons: Callable[[], list[tuple[str, str]]], activity: str = "") -> App:
    """A fresh process of a package's app; a package that was installed later shows a plain page with its name."""
    if package == LAUNCHER:
        return HomeApp(icons)
    own: dict[str, Callable[[], App]] = {
        CHROME: BrowserApp,
        LOGIN: LoginApp,
        SETTINGS: SettingsApp,
        YOUTUBE: PlayerApp,
    }
    if package in own:
        return own[package]()
    return App(package, label_text, activity or f"{package}.MainActivity")


def video_id_of(url: str) -> str | None:
    """The video a link names: `watch?v=ID`, `youtu.be/ID`, `shorts/ID`, `vnd.youtube:ID`; None if it names none."""
    parts = urlsplit(url)
    host = (parts.hostname or "").removeprefix("www.").removeprefix("m.")
    found = ""
    if parts.scheme == "vnd.youtube":
        found = parts.netloc or parts.path.lstrip("/")
    elif host == "youtu.be":
        found = parts.path.lstrip("/")
    elif host == "youtube.com":
        found = parse_qs(parts.query).get("v", [""])[0]
        if parts.path.startswith(("/shorts/", "/embed/", "/live/")):
            found = parts.path.split("/")[2]
    return found if _VIDEO_ID.match(found) else None


def is_video_link(url: str) -> bool:
    """Whether the video app takes the link rather than the browser."""
    parts = urlsplit(url)
    host = (parts.hostname or "").removeprefix("www.").removeprefix("m.")
    return parts.scheme == "vnd.youtube" or host in ("youtube.com", "youtu.be")


def _clock(position_ms: int) -> str:
    minutes, seconds = divmod(position_ms // 1000, 60)
    return f"{minutes}:{seconds:02d}"
