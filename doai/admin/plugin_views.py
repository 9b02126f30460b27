"""Plug-ins of nodes as the API shows them (step 14)."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from doai.messages.plugins import PluginOffer


class PluginJson(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A plug-in of a node."""

    name: str
    version: str
    digest: str
    """SHA-256 of its files: the same name, version and digest are the same plug-in on every node."""
    state: str
    """ready; broken: it does not import, or crashed again and again; gone: it was there once."""
    reason: str
    """What is wrong, one sentence; empty when nothing is."""
    steps: list[str]
    drivers: list[str]
    bots: list[str]


def plugins_json(offers: Iterable[PluginOffer]) -> list[PluginJson]:
    """Return what a node told of its plug-ins, without the schemas of their steps."""
    return [
        PluginJson(
            name=offer.name,
            version=offer.version,
            digest=offer.digest,
            state=offer.state.value,
            reason=offer.reason,
            steps=[schema.name for schema in offer.steps],
            drivers=offer.drivers,
            bots=offer.bots,
        )
        for offer in offers
    ]
