"""Online within 15 s of a proof, late within 30 s (bots 60 s), then offline; a farewell counts at once."""

from doai.link.liveness import Change, Liveness
from doai.messages.link import Role
from doai.states import PeerState


def walk(role: Role, *ages_s: float) -> list[PeerState]:
    liveness = Liveness("x", role)
    liveness.prove(100.0)
    states = []
    for age_s in ages_s:
        liveness.age(100.0 + age_s)
        states.append(liveness.state)
    return states


def test_ages() -> None:
    online, late, offline = PeerState.ONLINE, PeerState.LATE, PeerState.OFFLINE
    assert walk(Role.NODE, 14.9, 15.0, 15.1, 30.0, 30.1) == [online, online, late, late, offline]
    assert walk(Role.BOT, 15.1, 30.1, 60.0, 60.1) == [late, late, late, offline]
    assert walk(Role.NODE, 31.0) == [offline], "a jump over both bounds ends offline"


def test_changes_are_told_once() -> None:
    liveness = Liveness("x", Role.NODE)
    assert liveness.prove(0.0) == Change(PeerState.OFFLINE, PeerState.ONLINE, "heard from again")
    assert liveness.prove(1.0) is None
    assert liveness.due_s() == 16.0
    assert liveness.age(5.0) is None
    change = liveness.bye("stopping")
    assert change == Change(PeerState.ONLINE, PeerState.OFFLINE, "stopping")
    assert liveness.bye("stopping") is None
    assert liveness.due_s() is None
