"""What nodes tell of their plug-ins: which there are, and the steps that they bring, as data (steps 2 and 4)."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta

from doai.envelope import Message
from doai.key_enum import KeyEnum

STEP_TIMEOUT_MAX_S: Final = 24 * 3600.0


class PluginState(KeyEnum):
    """How a plug-in fares on a node."""

    READY = "ready"
    BROKEN = "broken"
    """It was found and can not be used: it does not import, or its process crashed again and again."""
    GONE = "gone"
    """It was there once; the broker keeps what its steps were."""


class StepSchema(Message, frozen=True, kw_only=True):
    """One type of step, as data: what a recipe that uses it is checked against."""

    name: str
    title: str = ""
    arguments: dict[str, Any] = {}
    """JSON Schema of the step's arguments, an object."""
    outputs: dict[str, Any] = {}
    """JSON Schema of what it tells later steps, an object."""
    on_device: bool = True
    idempotent: bool = False
    timeout_s: Annotated[float, Meta(gt=0, le=STEP_TIMEOUT_MAX_S)] = 90.0
    takes_pictures: bool = False


class PluginOffer(Message, frozen=True, kw_only=True):
    """A plug-in of a node."""

    name: str
    version: str = ""
    digest: str = ""
    """SHA-256 of its files; the same name, version and digest are the same plug-in on every node."""
    state: PluginState = PluginState.READY
    reason: str = ""
    """Why it is broken, or what is wrong though it is ready; one sentence."""
    steps: list[StepSchema] = []
    drivers: list[str] = []
    bots: list[str] = []


class NodePluginsChanged(Message, frozen=True, kw_only=True):
    """The plug-ins of a node are these from now on; what is not among them is there no more."""

    node_id: str
    started_at_ms: int
    """Of the node's process: what an earlier one told changes nothing any more."""
    plugins: list[PluginOffer] = []
