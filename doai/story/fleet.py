"""Events of devices, nodes and bots as sentences (step 14)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from doai import topics
from doai.story.told import Told, cut


def _device_online(e: Told) -> str:
    android = f"Android {cut(e.payload['android'])}" if e.has("android") else ""
    model = e.word("model") if e.has("model") else ""
    about = ", ".join(part for part in (model, android) if part)
    return e.say("device.online", about=e.say("device.about", what=about) if about else "")


def _quarantined(key: str) -> Callable[[Told], str]:
    def told(e: Told) -> str:
        until = e.payload.get("untilMs")
        forever = e.say("say.until_released")
        return e.say(key, term=e.say("say.until", at=e.voice.moment(until)) if until is not None else forever)

    return told


def _device_held(e: Told) -> str:
    key = "device.held_longer" if e.has("extended") else "device.held"
    return e.say(key, at=e.voice.moment(e.payload.get("untilMs")), after=e.say_if("tasksLeft", "device.after"))


def _device_described(e: Told) -> str:
    said = [e.say(f"device.{name}", what=e.word(name)) for name in ("label", "shelf") if e.has(name)]
    said += [e.say(f"device.{name}", what=", ".join(e.several(name))) for name in ("tags", "groups") if e.has(name)]
    return e.say("device.described", what="; ".join(said) or e.say("device.nothing_said"))


def _health_check_completed(e: Told) -> str:
    found = e.say("health.well" if e.has("healthy") else "health.unwell")
    values = ", ".join(f"{name} {cut(value)}" for name, value in sorted(e.part("values").items()))
    said = e.say("health.values", what=values) if values else ""
    return e.say("health.check.completed", found=found, values=said)


def _node_enrolled(e: Told) -> str:
    key = "node.enrolled_again" if e.has("rotation") else "node.enrolled"
    return e.say(key, at=e.voice.moment(e.payload.get("expiresAtMs")))


FLEET_SENTENCES: Final[Mapping[str, Callable[[Told], str]]] = {
    topics.DEVICE_ONLINE: _device_online,
    topics.DEVICE_OFFLINE: lambda e: e.say("device.offline", seen=e.state("state", "offline")),
    topics.DEVICE_ERROR: lambda e: e.say("device.error"),
    topics.DEVICE_DESCRIBED: _device_described,
    topics.DEVICE_QUARANTINED: _quarantined("device.quarantined"),
    topics.DEVICE_HELD: _device_held,
    topics.DEVICE_RELEASED: lambda e: e.say("device.given_back" if e.has("hold") else "device.released"),
    topics.HEALTH_CHECK_COMPLETED: _health_check_completed,
    topics.NODE_REGISTERED: lambda e: e.say("node.registered"),
    topics.NODE_ONLINE: lambda e: e.say("node.online"),
    topics.NODE_LATE: lambda e: e.say("node.late"),
    topics.NODE_OFFLINE: lambda e: e.say("node.offline"),
    topics.NODE_QUARANTINED: _quarantined("node.quarantined"),
    topics.NODE_RELEASED: lambda e: e.say("node.released"),
    topics.NODE_ENROLLED: _node_enrolled,
    topics.NODE_JOINED: lambda e: e.say("node.joined_again" if e.has("rotation") else "node.joined"),
    topics.NODE_REVOKED: lambda e: e.say("node.revoked"),
    topics.NODE_REKEYED: lambda e: e.say("node.rekeyed"),
    topics.PLUGIN_CHANGED: lambda e: e.say("plugin.changed"),
    topics.BOT_REGISTERED: lambda e: e.say("bot.registered", which=e.say_if("version", "bot.which")),
    topics.BOT_REPORTED: lambda e: e.say("bot.report.published"),
    topics.BOT_STATUS_CHANGED: lambda e: e.say("bot.status.changed", standing=e.state("status", "?")),
}
