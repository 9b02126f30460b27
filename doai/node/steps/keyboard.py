"""ui.text and ui.key (step 8).

`input text` writes a space for ``%s`` and has no way to say a literal ``%s`` in one piece, so a text is cut between
the two characters. It knows the keys of a US keyboard only: anything outside of ASCII can not be typed.
"""

from __future__ import annotations

import shlex
from typing import Final

from doai.drivers.base import CommandOutput
from doai.errors import ErrorClass
from doai.node.steps.base import StepContext, excerpt, step_failed
from doai.node.steps.hierarchy import ScreenUnreadableError, read_hierarchy
from doai.node.steps.keys import KEYS, key_number
from doai.workflow.step_type import NoOutputs
from doai.workflow.steps import Key, TypeText

TEXT_CHARACTERS_MAX: Final = 200
"""Typed by one `input` at most: slow apps lose keys of longer bursts."""
FIELD_CHARACTERS: Final = 128
"""Deleted from a field whose text can not be read; longer than names, addresses and passwords are."""
FIELD_CHARACTERS_MAX: Final = 4096

_KEY_OF: Final = {"\n": KEYS["ENTER"], "\t": KEYS["TAB"]}


async def type_text(arguments: TypeText, context: StepContext) -> NoOutputs:
    """Type into the focused field; the text never appears in an error."""
    commands = typing_commands(arguments.text)  # says what can not be typed before the field is emptied
    if arguments.clear:
        commands.insert(0, await _clearing_command(context))
    if commands:
        check_input(await context.device.shell(" && ".join(commands)), "text", secret=True)
    return NoOutputs()


async def press_key(arguments: Key, context: StepContext) -> NoOutputs:
    """Press a key once or several times."""
    number = key_number(arguments.key)
    if number is None:
        raise step_failed(
            ErrorClass.USER,
            "unknown_key",
            f"There is no key {excerpt(str(arguments.key), 64)}: use a name of Android's KeyEvent without "
            "KEYCODE_, such as ENTER or BACK, or the key's number.",
        )
    check_input(await context.device.shell("input keyevent" + f" {number}" * arguments.times), "key")
    return NoOutputs()


def typing_commands(text: str) -> list[str]:
    """Return the shell commands that type a text; raises StepError (class user, ``text_not_typable``)."""
    for position, character in enumerate(text):
        if not (" " <= character <= "~" or character in _KEY_OF):
            raise step_failed(
                ErrorClass.USER,
                "text_not_typable",
                f"Character {position + 1} of the text is not on a US keyboard, and Android's `input text` can "
                "type nothing else: use ASCII, or an app's own link or test hook.",
            )
    commands: list[str] = []
    piece = ""
    for position, character in enumerate(text):
        if character in _KEY_OF:
            commands += [*_piece(piece), f"input keyevent {_KEY_OF[character]}"]
            piece = ""
            continue
        piece += character
        if text[position : position + 2] == "%s" or len(piece) >= TEXT_CHARACTERS_MAX:
            commands += _piece(piece)
            piece = ""
    return commands + _piece(piece)


def check_input(output: CommandOutput, what: str, *, secret: bool = False) -> None:
    """Raise a StepError when `input` complained; ``secret``: what it said may repeat what was typed."""
    said = output.text + " " + output.stderr.decode("utf-8", "replace")
    if "INJECT_EVENTS" in said:
        raise step_failed(
            ErrorClass.DEVICE,
            "input_not_allowed",
            "The device does not let adb touch the screen: switch on `USB debugging (Security settings)` in its "
            "developer options.",
        )
    if output.exit_code != 0 or "Exception" in output.stderr.decode("utf-8", "replace"):
        reason = "" if secret else f"; it said: {excerpt(said)}"
        raise step_failed(
            ErrorClass.DEVICE,
            "input_failed",
            f"The device did not take the {what} (exit code {output.exit_code}){reason}.",
        )


async def _clearing_command(context: StepContext) -> str:
    """Return one command that empties the focused field: as many deletions as it has characters."""
    try:
        elements = await read_hierarchy(context.device)
    except ScreenUnreadableError:
        elements = []
    focused = next((element for element in elements if element.focused and element.editable), None)
    text = focused.text if focused is not None else "x" * FIELD_CHARACTERS
    keys = [KEYS["MOVE_END"], *[KEYS["DEL"]] * (len(text[:FIELD_CHARACTERS_MAX]) + 1)]
    if "\n" in text:  # MOVE_END went only to the end of the line with the cursor
        keys += [KEYS["FORWARD_DEL"]] * len(text[:FIELD_CHARACTERS_MAX])
    return "input keyevent " + " ".join(str(key) for key in keys)


def _piece(piece: str) -> list[str]:
    return [f"input text {shlex.quote(piece.replace(' ', '%s'))}"] if piece else []
