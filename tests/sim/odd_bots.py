"""What is wrong about bots, or just right: registrations, commands of others' bots, ends, sessions, tokens, lines.

Refused, or done once; nothing that is refused changes anything, which the comparison of memory and disk sees.
"""

from __future__ import annotations

import hashlib
from random import Random
from typing import TYPE_CHECKING, Any, Final

import msgspec

from doai.codec import Kind, encode
from doai.envelope import Message
from doai.ids import Token
from doai.limits import BOT_DECLARED_BYTES_MAX, OUTPUTS_BYTES_MAX, PARAMS_BYTES_MAX, SUBSCRIPTIONS_PER_BOT_MAX
from doai.messages import bots as b
from doai.messages import commands as c
from doai.messages import people as p
from doai.messages.logs import HEARS_LOG, LoggedLine, LogLines
from doai.states import Outcome

if TYPE_CHECKING:
    from tests.sim.bot_tasks import Builder
    from tests.sim.simulation import Simulation

_HASH: Final = hashlib.sha256(b"odd").hexdigest()
_PASSWORD: Final = "$argon2id$v=19$m=8,t=1,p=1$eHh4eHh4eHh4$eHh4eHh4eHh4eHh4eHh4eHh4"


def _named(count: int, **about: Any) -> list[b.Subscription]:
    return [b.Subscription(name=f"s{number}", **about) for number in range(count)]


def _run(kind: str, *, count: int = 1, params: dict[str, Any] | None = None) -> tuple[str, Message]:
    targets = c.Targets(kind=c.TargetKind.BOT, bot=kind, count=count)
    return c.CREATE_RUN, c.CreateRun(project="sim", workflow="", targets=targets, params=params or {})


def registrations(right: b.RegisterBot) -> list[b.RegisterBot]:
    """Return registrations like the right one that can not be, and some that can."""
    changes: list[dict[str, Any]] = [
        {"name": "helper"},
        {"title": "x" * BOT_DECLARED_BYTES_MAX},
        {"subscriptions": _named(SUBSCRIPTIONS_PER_BOT_MAX + 1)},
        {"subscriptions": _named(1) * 2},
        {"subscriptions": [b.Subscription(name="")]},
        {"subscriptions": _named(1, topics=["a b"])},
        {"subscriptions": _named(1, every_s=-1.0)},
        {"task_kinds": ["No Kind"]},
        {"config_schema": {"type": "strin"}},
        {"config_schema": {}},
        {"subscriptions": _named(2, topics=["task.*"], from_beginning=True)},
        {"subscriptions": [msgspec.structs.replace(right.subscriptions[0], topics=["run.*"])]},
        {"subscriptions": [*right.subscriptions, b.Subscription(name="samples", samples=["node.host"])]},
    ]
    return [msgspec.structs.replace(right, **change) for change in changes]


_OF_BOTS: Final[tuple[tuple[str, Message], ...]] = (
    (b.CONFIGURE_BOT, b.ConfigureBot(name="helper", config={"pages": 1})),
    (b.CONFIGURE_BOT, b.ConfigureBot(name="builder", config={"pages": {"secret": "none"}})),
    (b.CONFIGURE_BOT, b.ConfigureBot(name="builder", config={"pages": "${secret.none}"})),
    (b.CONFIGURE_BOT, b.ConfigureBot(name="builder", config={"pages": "${secret.password}"})),
    _run("No Kind"),
    _run("report.build", count=0),
    _run("report.build", params={"text": "x" * PARAMS_BYTES_MAX}),
    (b.SET_BOT_STATUS, b.SetBotStatus(name="watcher", status=b.BotStatus.DEPRECATED)),
    (b.RESET_SUBSCRIPTION, b.ResetSubscription(name="helper", subscription="all", position=0)),
    (b.RESET_SUBSCRIPTION, b.ResetSubscription(name="builder", subscription="log", position=-1)),
    (b.RESET_SUBSCRIPTION, b.ResetSubscription(name="builder", subscription="log")),
    (b.REGISTER_BOT, b.RegisterBot(name="robot")),
    (b.END_BOT_TASK, b.EndBotTask(task_id="none", token=Token(1, 1), outcome=Outcome.EXPIRED)),
    (b.END_BOT_TASK, b.EndBotTask(task_id="none", token=Token(1, 1), outcome=Outcome.PASSED)),
    (
        b.END_BOT_TASK,
        b.EndBotTask(
            task_id="none", token=Token(1, 1), outcome=Outcome.PASSED, outputs={"x": "x" * OUTPUTS_BYTES_MAX}
        ),
    ),
)
_OF_PEOPLE: Final[tuple[tuple[str, Message], ...]] = (
    (p.CREATE_USER, p.CreateUser(name="eve", role="admin", password_hash=_PASSWORD)),
    (p.CREATE_USER, p.CreateUser(name="eve", role="admin", password_hash=_PASSWORD)),
    (p.OPEN_SESSION, p.OpenSession(user="eve", token_sha256=_HASH, expires_in_s=20.0, password_hash=_PASSWORD)),
    (p.OPEN_SESSION, p.OpenSession(user="eve", token_sha256="x", expires_in_s=20.0, password_hash=_PASSWORD)),
    (p.OPEN_SESSION, p.OpenSession(user="eve", token_sha256=_HASH, expires_in_s=20.0, password_hash="other")),
    (p.OPEN_SESSION, p.OpenSession(user="eve", token_sha256=_HASH, expires_in_s=-1.0, password_hash=_PASSWORD)),
    (p.CLOSE_SESSION, p.CloseSession(token_sha256=_HASH)),
    (p.CLOSE_SESSION, p.CloseSession(token_sha256="none")),
    (p.SET_ROLE, p.SetRole(name="eve", role="viewer")),
    (p.SET_ROLE, p.SetRole(name="eve", role="admin")),
    (p.REMOVE_USER, p.RemoveUser(name="eve")),
    (c.ADD_TOKEN, c.AddToken(name="only", token_sha256=_HASH, role="admin")),
    (c.ADD_TOKEN, c.AddToken(name="only", token_sha256=_HASH, role="admin")),
    (c.ADD_TOKEN, c.AddToken(name="part", token_sha256=_HASH, role="admin", scopes=["runs", "runs"])),
    (c.ADD_TOKEN, c.AddToken(name="part", token_sha256=_HASH, role="admin", scopes=["No Scope"])),
    (c.ADD_TOKEN, c.AddToken(name="short", token_sha256=_HASH, role="viewer", expires_in_s=5.0)),
    (c.ADD_TOKEN, c.AddToken(name="short", token_sha256=_HASH, role="viewer", expires_in_s=-5.0)),
    (c.REVOKE_TOKEN, c.RevokeToken(name="only")),
    (c.REVOKE_TOKEN, c.RevokeToken(name="none")),
)
_KINDS: Final = ("register", *("bots",) * 2, *("people",) * 3, "subscribe", *("lines",) * 2)


class OddBots:
    """Does such things in the worlds with tasks of bots, with draws of its own."""

    def __init__(self, simulation: Simulation, processes: list[Builder], seed: int) -> None:
        self._simulation = simulation
        self._processes = processes
        self._random = Random(seed + 1)
        self._lines = 0
        # Somebody listens to what processes log.
        simulation.admin.capabilities = [HEARS_LOG]
        simulation.admin.restart()

    def deed(self) -> None:
        """Do one thing."""
        random = self._random
        process = random.choice(self._processes)
        kind = random.choice(_KINDS)
        if kind == "register":
            wish = random.choice(registrations(process.registration))
            process.command(b.REGISTER_BOT, wish, _nothing, key=None)
            # Whatever it was, the next connection says what is right.
            self._simulation.world.after(5.0, process.register_again)
        elif kind == "bots":
            command_type, payload = random.choice(_OF_BOTS)
            who = random.choice((process, self._simulation.admin))
            who.command(command_type, payload, _nothing)
        elif kind == "people":
            self._simulation.admin.command(*random.choice(_OF_PEOPLE), _nothing)
        elif kind == "subscribe":
            wish_of = b.Subscribe(
                channel=random.choice((0, 3)),
                subscription=random.choice(("none", "log")),
                credit_events=1,
                credit_bytes=1 << 20,
                follows=random.choice(([], [], ["task.*"] * SUBSCRIPTIONS_PER_BOT_MAX)),
            )
            process.send_raw(Kind.SUBSCRIBE, encode(wish_of))
        else:
            self._log(process)

    def _log(self, process: Builder) -> None:
        """It tells what it logged: as much as one may, and now and then more."""
        count = self._random.choice((1, 1, 40))
        for _ in range(count):
            self._lines += 1
            line = LoggedLine(at_ms=self._lines, level=20, logger="sim", message="x" * 20)
            lines = LogLines(program="bot", life="l", first_n=self._lines, lines=[line])
            process.send_raw(Kind.LOG_LINES, encode(lines))


def _nothing(payload: Any, reply: c.Reply) -> None:
    """An answer of which nothing follows."""
