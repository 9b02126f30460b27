"""A bot's end of the agreement with a broker of another release."""

from __future__ import annotations

import random

import pytest

from doai.bots.core.session import ASKED_AGAIN_S, Refused, Registered, Session, SessionEffect, Unusable
from doai.clock import Now
from doai.codec import Kind, decode, encode, pack_header, raw
from doai.envelope import Envelope
from doai.ids import RandomIds
from doai.link.actions import OpenSocket, SendFrame
from doai.messages.bots import BotSettings, BotStatus, RegisterBot
from doai.messages.commands import Reply
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


def sent(session: Session, at_s: float) -> list[bytes]:
    """Let time pass; return the commands that are sent."""
    effects = session.tick(Now(at_s, 0), 0.0)
    frames = [effect for effect in effects if isinstance(effect, SendFrame)]
    return [frame.body for frame in frames if frame.header[1] == Kind.COMMAND]


def test_what_is_not_answered_is_asked_again_until_it_is() -> None:
    met = Met(WireVersions(1, 1), 1)
    [register] = met.answer
    assert isinstance(register, SendFrame)
    assert met.session.due_s() == ASKED_AGAIN_S
    assert [sent(met.session, at_s) for at_s in (4.9, 5.0, 5.1)] == [[], [register.body], []]
    reply = Reply(
        command_id=decode(register.body, Envelope).event_id,
        result=raw(BotSettings(name="robot", status=BotStatus.ACTIVE)),
    )
    [registered] = met.hear(pack_header(Kind.REPLY), encode(reply))
    assert isinstance(registered, Registered)
    for number, at_s in enumerate((6.0, 7.0)):
        [first] = met.session.command(f"c{number}", b"%d" % number, Now(at_s, 0))
        assert isinstance(first, SendFrame)
    assert [sent(met.session, at_s) for at_s in (11.0, 11.9, 12.0)] == [[b"0"], [], [b"1"]]
    assert met.session.withdraw("c1")
    met.hear(pack_header(Kind.REPLY), encode(Reply(command_id="c0")))
    assert sent(met.session, 19.0) == []


@pytest.mark.parametrize("count", [1, 3])
def test_frames_of_unknown_kinds_do_nothing(count: int) -> None:
    met = Met(WireVersions(1, 1), 1)
    told = [effect for _ in range(count) for effect in met.hear(pack_header(LATER), b"\xc0")]
    [once] = told
    assert isinstance(once, Unusable)
    assert "frames of kind 99" in once.reason
