"""A process of a bot takes the place of one that was killed: nobody waits for the end of its leases (step 14)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from doai.broker.core.decision import Decision
from doai.broker.core.feeds import Feeds
from doai.broker.core.state import State
from doai.broker.core.tables import Peer
from doai.link.liveness import Change
from doai.messages.bots import RegisterBot


def succeed(
    decision: Decision,
    state: State,
    feeds: Feeds,
    peer: Peer,
    wish: RegisterBot,
    went: Callable[[Decision, Peer, Change], None],
) -> RegisterBot:
    """Take the process out whose place this one has, and let ``went`` tell it; return what is said of the bot.

    The end of a connection is often not seen yet. Should it live all the same, it is fenced as a clone is.
    """
    former = state.peers.get(f"{peer.name}/{wish.replaces}")
    if wish.replaces and former is not None and former is not peer:
        reason = f"{peer.address} took its place"
        change = former.liveness.bye(reason)
        if former.link is not None:
            decision.fence(former.link, reason)
            feeds.left(former.link)
            state.links.pop(former.link, None)
            former.link = former.stream.link = None
        state.peers.pop(former.address, None)
        state.streams.pop(former.address, None)
        if change is not None:
            went(decision, former, change)
    return msgspec.structs.replace(wish, replaces="")
