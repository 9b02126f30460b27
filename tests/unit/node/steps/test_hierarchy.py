"""Reading the screen's elements from what devices really write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.drivers.base import CommandOutput
from doai.node.steps.hierarchy import (
    DUMP_BYTES_MAX,
    Element,
    ScreenUnreadableError,
    parse_hierarchy,
    read_hierarchy,
)

HEAD = "<?xml version='1.0' encoding='UTF-8' standalone='yes' ?>"


def dump(nodes: str) -> bytes:
    return f'{HEAD}<hierarchy rotation="0">{nodes}</hierarchy>'.encode()


def node(text: str, inside: str = "") -> str:
    return (
        f'<node text="{text}" resource-id="a:id/b" class="c.D" content-desc="e" bounds="[1,2][3,4]">{inside}</node>'
    )


def test_elements_come_in_drawing_order_with_their_parents() -> None:
    elements = parse_hierarchy(dump(node("1", node("2", node("3")) + node("4")) + node("5")))
    assert [(element.text, element.parent) for element in elements] == [
        ("1", -1),
        ("2", 0),
        ("3", 1),
        ("4", 0),
        ("5", -1),
    ]
    assert elements[0] == Element(text="1", resource_id="a:id/b", class_name="c.D", desc="e", bounds=(1, 2, 3, 4))
    assert elements[0].centre == (2, 3)


def test_text_around_the_xml_does_not_matter() -> None:
    noisy = (
        b"WARNING: linker: x\nUI hierchary dumped to: /x\n"
        + dump(node("1"))
        + b"UI hierchary dumped to: /dev/tty\n"
    )
    assert [element.text for element in parse_hierarchy(noisy)] == ["1"]


def test_an_emoji_written_as_two_halves_is_mended() -> None:
    (element,) = parse_hierarchy(dump(node("a &#55357;&#56832; &#0; &lt;&#38;&#60; &#x1F600; &#55357;")))
    assert element.text == "a \U0001f600 \ufffd <&< \U0001f600 \ufffd"


def test_an_empty_screen_has_no_elements() -> None:
    assert parse_hierarchy(dump("")) == []
    assert parse_hierarchy(f'{HEAD}<hierarchy rotation="0" />'.encode()) == []


def test_odd_bounds_have_no_area() -> None:
    (element,) = parse_hierarchy(dump('<node bounds="[x]" />'))
    assert not element.has_area


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "nothing"),
        (b"ERROR: could not get idle state.", "idle state"),
        (dump(node("1"))[:-20], "cut off"),
        (dump("<node"), "no XML"),
        (dump("<!DOCTYPE x>"), "entities"),
        (b'<hierarchy><!ENTITY a "aaaa"></hierarchy>', "entities"),
        (dump("x" * DUMP_BYTES_MAX), "more than"),
    ],
)
def test_what_is_no_screen_is_said(data: bytes, reason: str) -> None:
    with pytest.raises(ScreenUnreadableError, match=reason):
        parse_hierarchy(data)


def test_entities_declared_before_the_root_are_never_read() -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaa">]><hierarchy><node text="&a;" bounds="[0,0][1,1]"/></hierarchy>'
    with pytest.raises(ScreenUnreadableError):
        parse_hierarchy(bomb)


@given(st.binary(max_size=300))
def test_any_bytes_are_elements_or_one_clear_error(data: bytes) -> None:
    for around in (data, b"<hierarchy>" + data + b"</hierarchy>"):
        try:
            parse_hierarchy(around)
        except ScreenUnreadableError as error:
            assert str(error)


def test_a_deep_tree_does_not_overflow() -> None:
    deep = "<node>" * 20_000 + "</node>" * 20_000
    assert len(parse_hierarchy(dump(deep))) == 20_000


async def test_a_moving_screen_costs_one_command(scripted: Callable[[Any], Any]) -> None:
    device = scripted({"": CommandOutput(b"", b"ERROR: could not get idle state.", 0)}).device
    with pytest.raises(ScreenUnreadableError, match="idle state"):
        await read_hierarchy(device)
    assert len(device.commands) == 1


async def test_a_phone_that_can_not_write_the_file_is_asked_for_the_terminal(
    scripted: Callable[[Any], Any],
) -> None:
    full = CommandOutput(b"", b"cat: No such file", 0)
    device = scripted({"/data/local/tmp": full, "/dev/tty": dump(node("1"))}).device
    assert len(await read_hierarchy(device)) == 1
