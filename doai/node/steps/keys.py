"""Android's keys by name (step 8).

`input keyevent` takes a name it does not know for key 0 and presses nothing, without a word, so names are looked up
here and sent as numbers. Source: android.view.KeyEvent, whose numbers never change. A key that is not in the table
can be given by its number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

KEY_NUMBER_MAX: Final = 400
"""As in the arguments of ui.key; Android 14 ends at 316."""


def _from(first: int, names: str) -> dict[str, int]:
    return {name: first + offset for offset, name in enumerate(names.split())}


KEYS: Final[Mapping[str, int]] = {
    **_from(1, "SOFT_LEFT SOFT_RIGHT HOME BACK CALL ENDCALL 0 1 2 3 4 5 6 7 8 9 STAR POUND"),
    **_from(19, "DPAD_UP DPAD_DOWN DPAD_LEFT DPAD_RIGHT DPAD_CENTER VOLUME_UP VOLUME_DOWN POWER CAMERA CLEAR"),
    **_from(29, " ".join("ABCDEFGHIJKLMNOPQRSTUVWXYZ")),
    **_from(55, "COMMA PERIOD ALT_LEFT ALT_RIGHT SHIFT_LEFT SHIFT_RIGHT TAB SPACE SYM EXPLORER ENVELOPE ENTER DEL"),
    **_from(68, "GRAVE MINUS EQUALS LEFT_BRACKET RIGHT_BRACKET BACKSLASH SEMICOLON APOSTROPHE SLASH AT NUM"),
    **_from(79, "HEADSETHOOK FOCUS PLUS MENU NOTIFICATION SEARCH MEDIA_PLAY_PAUSE MEDIA_STOP MEDIA_NEXT"),
    **_from(88, "MEDIA_PREVIOUS MEDIA_REWIND MEDIA_FAST_FORWARD MUTE PAGE_UP PAGE_DOWN"),
    **_from(111, "ESCAPE FORWARD_DEL CTRL_LEFT CTRL_RIGHT CAPS_LOCK SCROLL_LOCK META_LEFT META_RIGHT FUNCTION"),
    **_from(120, "SYSRQ BREAK MOVE_HOME MOVE_END INSERT FORWARD MEDIA_PLAY MEDIA_PAUSE MEDIA_CLOSE MEDIA_EJECT"),
    **_from(130, "MEDIA_RECORD F1 F2 F3 F4 F5 F6 F7 F8 F9 F10 F11 F12 NUM_LOCK"),
    **_from(144, " ".join(f"NUMPAD_{digit}" for digit in range(10))),
    **_from(164, "VOLUME_MUTE INFO CHANNEL_UP CHANNEL_DOWN ZOOM_IN ZOOM_OUT"),
    **_from(175, "CAPTIONS SETTINGS"),
    **_from(187, "APP_SWITCH"),
    **_from(207, "CONTACTS CALENDAR MUSIC CALCULATOR"),
    **_from(219, "ASSIST BRIGHTNESS_DOWN BRIGHTNESS_UP MEDIA_AUDIO_TRACK SLEEP WAKEUP"),
    **_from(277, "CUT COPY PASTE"),
}


def key_number(key: str | int) -> int | None:
    """Return the number of a key given by name (with or without KEYCODE_) or number; None when it is not known.

    A digit alone is the key's number, as the recipe's integer would be: the key of the digit 5 is ``KEYCODE_5``.
    """
    text = str(key)
    if text.isdecimal():
        number = int(text)
        return number if number <= KEY_NUMBER_MAX else None
    return KEYS.get(text.removeprefix("KEYCODE_"))
