"""A bot's end of the agreement with a broker of another release."""

from __future__ import annotations

import random

import pytest

from doai.bots.core.session import Refused, Session, SessionEffect, Unusable
from doai.clock import Now
from doai.codec import Kind, decode, encode, pack_header
from doai.ids import RandomIds
from doai.link.actions import OpenSocket, SendFrame
from doai.messages.bots import RegisterBot
from doai.messages.link import Hello, HostSample, Welcome
from doai.wire_versions import WireVersions

NOW = Now(0.0, 0)
LATER = 99


class Met:
    """A bot that speaks these versions, connected to a broker that chose one."""

    def __init__(self, speaks: WireVersions, chosen: int) -> None:
        sample = HostSample(host="h", pid=1, version="1", started_at_ms=0)
        ids = RandomIds(random.Random(1).getrandbits)
        self.session = Session(RegisterBot(name="robot"), instance="x", ids=ids, sample=sample, wire=speaks)
        [opens] = self.session.tick(NOW, 0.0)
        assert isinstance(opens, OpenSocket)
        [self.hello] = self.session.opened(opens.epoch, NOW)
        welcome = Welcome(store_id="S", last_seq=0, capacity=1, heartbeat_s=10.0, handle=1, wire_version=chosen)
        self.answer = self.hear(pack_header(Kind.WELCOME), encode(welcome))

    def hear(self, header: bytes, body: bytes) -> list[SessionEffect]:
        return self.session.frame(self.session.epoch, header, body, NOW, 0.0)


def test_it_speaks_what_the_broker_chose() -> None:
    met = Met(WireVersions(1, 2), 2)
    assert isinstance(met.hello, SendFrame)
    hello = decode(met.hello.body, Hello)
    assert (met.hello.header[0], hello.wire_lowest, hello.wire_highest) == (1, 1, 2)
    [register] = met.answer
    assert isinstance(register, SendFrame)
    assert (register.header[0], register.header[1]) == (2, Kind.COMMAND)
    assert met.session.frame_of(Kind.BYE, None).header[0] == 2
    [foreign] = met.hear(pack_header(Kind.REPLY), b"")
    assert isinstance(foreign, Unusable)


def test_a_version_that_it_does_not_speak_ends_it() -> None:
    [refused] = Met(WireVersions(2, 3), 1).answer
    assert isinstance(refused, Refused)
    assert "upgrade the broker first" in refused.reason
    assert refused.fenced


@pytest.mark.parametrize("count", [1, 3])
def test_frames_of_unknown_kinds_do_nothing(count: int) -> None:
    met = Met(WireVersions(1, 1), 1)
    told = [effect for _ in range(count) for effect in met.hear(pack_header(LATER), b"\xc0")]
    [once] = told
    assert isinstance(once, Unusable)
    assert "frames of kind 99" in once.reason
