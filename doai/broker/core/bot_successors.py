"""A process of a bot takes the place of one that was killed: nobody waits for the end of its leases (step 14)."""

from __future__ import annotations

from doai.broker.core.decision import Decision
from doai.broker.core.feeds import Feeds
from doai.broker.core.state import State
from doai.broker.core.tables import Peer
from doai.link.liveness import Change


def successor(
    decision: Decision, state: State, feeds: Feeds, peer: Peer, instance: str
) -> tuple[Peer, Change] | None:
    """Take the process out whose place another of the same bot has; return it and what is to be told of it.

    The end of a connection is often not seen yet. Should it live all the same, it is fenced as a clone is.
    """
    former = state.peers.get(f"{peer.name}/{instance}")
    if not instance or former is None or former is peer:
        return None
    reason = f"{peer.address} took its place"
    change = former.liveness.bye(reason)
    if former.link is not None:
        decision.fence(former.link, reason)
        feeds.left(former.link)
        state.links.pop(former.link, None)
        former.link = former.stream.link = None
    state.peers.pop(former.address, None)
    state.streams.pop(former.address, None)
    return (former, change) if change is not None else None
