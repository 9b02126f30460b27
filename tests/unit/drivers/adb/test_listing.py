"""What the adb server lists and devices tell, read whole or left out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.drivers.adb.listing import ListedDevice, parse_identity, parse_listing

LISTING = """\
127.0.0.1:5601         device product:o1sksx model:SM_G991N device:o1s transport_id:1
R3CN30ABCDE            unauthorized usb:1-2 transport_id:22
emulator-5554          offline transport_id:3
0123456789ABCDEF       no permissions (user in plugdev group; are your udev rules wrong?); see [http://developer.android.com/tools/device.html] usb:3-1 transport_id:4
192.168.0.7:5555       connecting transport_id:5
broken
"""  # noqa: E501


def test_a_listing_is_read() -> None:
    found = parse_listing(LISTING)
    assert found[0] == ListedDevice("127.0.0.1:5601", "device", 1)
    assert found[1] == ListedDevice("R3CN30ABCDE", "unauthorized", 22, "1-2")
    assert found[2] == ListedDevice("emulator-5554", "offline", 3)
    assert found[3].state.startswith("no permissions (user in plugdev group")
    assert (found[3].transport_id, found[3].usb_path) == (4, "3-1")
    assert found[4].state == "connecting"
    assert len(found) == 5
    assert parse_listing("") == []


@given(st.text(max_size=200))
def test_any_text_is_read_without_an_error(text: str) -> None:
    for entry in parse_listing(text):
        assert entry.address


def test_an_identity_is_read() -> None:
    output = "R3C\n\nSM-G991N\nsamsung\n33\n13\nPhysical size: 1080x2400\nOverride size: 720x1600\n"
    info = parse_identity(output, "usb")
    assert info is not None
    assert (info.serial, info.connection, info.model, info.manufacturer) == ("R3C", "usb", "SM-G991N", "samsung")
    assert (info.sdk, info.android, info.screen) == (33, "13", (720, 1600))


@pytest.mark.parametrize(
    ("output", "serial"), [("\nBOOT\nm\nn\n30\n11\n", "BOOT"), ("\n\nm\nn\nnone\n11\n", "1.2.3.4:5555")]
)
def test_a_device_without_a_serial_goes_by_what_it_has(output: str, serial: str) -> None:
    info = parse_identity(output, "1.2.3.4:5555")
    assert info is not None
    assert info.serial == serial
    assert info.screen == (0, 0)


def test_half_an_answer_is_none() -> None:
    assert parse_identity("R3C\n\nSM", "usb") is None
    assert parse_identity("", "usb") is None
