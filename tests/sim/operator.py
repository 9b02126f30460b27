"""What an operator does beside runs: describes phones, puts files and secrets, lets nodes and people in (step 2).

Each deed is a command that may be right or wrong: the broker takes it or refuses it, and says which; nothing that
is refused changes anything, which the comparison of memory and disk sees.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from doai.broker.core.descriptions import NAMES_MAX
from doai.codec import Kind, encode, pack_header
from doai.envelope import SCHEMA_VERSION, Message
from doai.messages import commands as c
from doai.messages import enrolment as e
from doai.messages import holds as h
from doai.messages import incidents as i
from doai.messages import people as p
from doai.messages.link import Hello, HostSample, Role
from tests.sim.network import Connection
from tests.sim.recipes import FILE, RECIPES, SECRET

if TYPE_CHECKING:
    from tests.sim.simulation import Simulation

NEWCOMERS: Final = ("newcomer-1", "newcomer-2", "newcomer-3")
_FREE_BYTES: Final = 1 << 40
_PASSWORD_HASH: Final = "$argon2id$v=19$m=8,t=1,p=1$eHh4eHh4eHh4$eHh4eHh4eHh4eHh4eHh4eHh4"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Operator:
    """Does one deed at a time, drawn from the seed."""

    def __init__(self, simulation: Simulation) -> None:
        self._sim = simulation
        self._random = simulation.world.random
        self._keys = [f"{self._random.getrandbits(64):x}".ljust(40, "k") for _ in range(6)]
        self._connections: list[Connection] = []
        self._deeds: tuple[Callable[[], None], ...] = (
            self._describe,
            self._put_file,
            self._remove_file,
            self._secret,
            self._workflow,
            self._enrol,
            self._join,
            self._join,
            self._revoke,
            self._greet,
            self._person,
            self._person_goes,
            self._change_key,
        )
        simulation.world.after(0.6, self._prepare)

    def hold(self) -> bool:
        """A person reserves a phone, now and then for longer, or gives one back that may be somebody else's."""
        random, admin = self._random, self._sim.admin
        serial = random.choice([*self._sim.phones, "no-such-phone"])
        actor = random.choice(("user/sim", "user/sim", "user/ann"))
        wish = h.HoldDevice(serial=serial, for_s=random.choice((5.0, 40.0, 200.0, -1.0, 1e9)), reason="sim")
        admin.command(h.HOLD_DEVICE, wish, _nothing, actor=actor)
        if random.random() < 0.2:
            admin.command(h.HOLD_DEVICE, wish, _nothing, actor="user/bob")
        if random.random() < 0.5:
            back = h.UnholdDevice(serial=serial, force=random.random() < 0.3)
            self._sim.world.after(random.uniform(0.0, 60.0), admin.command, h.UNHOLD_DEVICE, back, _nothing)
        return True

    def incident(self) -> bool:
        """An operator acknowledges or resolves an incident, or one that there is not."""
        random, admin = self._random, self._sim.admin
        rows = sorted(row.incident_id for row in self._sim.broker.disk.tables.incidents.values())
        incident_id = random.choice([*rows, "no-such-incident"])
        if random.random() < 0.5:
            wish: Message = i.AcknowledgeIncident(incident_id=incident_id, note="sim")
            admin.command(i.ACKNOWLEDGE_INCIDENT, wish, _nothing)
        else:
            admin.command(i.RESOLVE_INCIDENT, i.ResolveIncident(incident_id=incident_id), _nothing)
        return True

    def deed(self) -> bool:
        """Do some things at once."""
        for deed in self._random.choices(self._deeds, k=3):
            deed()
        return True

    def disk_low(self, sign: int = 1) -> bool:
        """The disk of the broker or of a node fills up, and has room again after a while."""
        hosts = [self._sim.broker, *self._sim.nodes]
        host = self._random.choice(hosts)
        host.disk_room(0)
        self._sim.world.after(self._random.uniform(1.0, 40.0), host.disk_room, _FREE_BYTES)
        return host.alive

    def settle(self) -> None:
        """Everywhere is room, and what runs may need is there."""
        for host in (self._sim.broker, *self._sim.nodes):
            host.disk_room(_FREE_BYTES)
        for connection in self._connections:
            connection.close()

    def _prepare(self) -> None:
        self._command(c.STORE_FILE, c.StoreFile(name=FILE, sha256=_hash("1"), size_bytes=1))
        self._command(e.STORE_SECRET, e.StoreSecret(name=SECRET, ciphertext=b"x"))
        everywhere = c.Targets(kind=c.TargetKind.ALL)
        if self._sim.world.now_s < 2.0:  # before any phone was seen
            self._command(c.CREATE_RUN, c.CreateRun(workflow="look", targets=everywhere, project="sim"))

    def _command(self, command_type: str, payload: Message, *, schema_version: int = SCHEMA_VERSION) -> None:
        self._sim.admin.command(command_type, payload, _nothing, schema_version=schema_version)

    # --- deeds --------------------------------------------------------------------------------------------

    def _describe(self) -> None:
        random = self._random
        serials = random.sample([*self._sim.phones, "no-such-phone"], random.choice((0, 1, 2, 3)))
        if serials and random.random() < 0.1:
            serials.append(serials[0])
        devices = [
            c.DeviceDescription(
                serial=serial,
                label=random.choice((None, "", "left", "right", "x" * 90)),
                shelf=random.choice((None, "A1", "line\nbreak")) if random.random() < 0.4 else None,
                tags=random.choice((None, [], ["shelf"], ["b", "a", "b"], ["no good!"])),
                groups=random.choice((None, ["g1"], [f"g{n}" for n in range(NAMES_MAX + 1)])),
            )
            for serial in serials
        ]
        describe = c.DescribeDevices(devices=devices, check_only=random.random() < 0.2)
        for _ in range(random.choice((1, 1, 2))):
            self._command(c.DESCRIBE_DEVICES, describe)

    def _put_file(self) -> None:
        random = self._random
        store = c.StoreFile(
            name=random.choice((FILE, FILE, "tools/other", "tools/P7", "tools/A5", "../bad")),
            version=random.choice(("", "", "1", "2", "beta")),
            sha256=random.choice((_hash("1"), _hash("2"), _hash("3"), "short")),
            size_bytes=7,
            media_type=random.choice(("application/octet-stream", "application/octet-stream", "none")),
        )
        self._command(c.STORE_FILE, store)

    def _remove_file(self) -> None:
        name = self._random.choice((FILE, FILE, "tools/other", "tools/othre"))
        for version in ("1", "2", "3", "beta"):
            self._command(c.REMOVE_FILE, c.RemoveFile(name=name, version=version))
        self._sim.world.after(self._random.uniform(5.0, 40.0), self._prepare)

    def _secret(self) -> None:
        random = self._random
        name = random.choice((SECRET, "spare", "third", "doai.own", "no good!"))
        if random.random() < 0.6:
            ciphertext = random.choice((b"a", b"b", b"", b"x" * (65 * 1024)))
            self._command(e.STORE_SECRET, e.StoreSecret(name=name, ciphertext=ciphertext))
        else:
            self._command(e.REMOVE_SECRET, e.RemoveSecret(name=name))
            self._sim.world.after(random.uniform(1.0, 30.0), self._prepare)

    def _workflow(self) -> None:
        random = self._random
        name, version = random.choice(("look", "idle", "sign-in", "nope")), random.choice((1, 2, 9))
        what = random.random()
        if what < 0.35:
            self._command(c.ARCHIVE_WORKFLOW, c.ArchiveWorkflow(name=name, version=version))
            anywhere = c.Targets(kind=c.TargetKind.ANY)
            self._command(c.CREATE_RUN, c.CreateRun(workflow=f"{name}@{version}", targets=anywhere, project="sim"))
            activate = c.ActivateWorkflow(name=name, version=version)
            self._sim.world.after(random.uniform(1.0, 20.0), self._command, c.ACTIVATE_WORKFLOW, activate)
        elif what < 0.6:
            self._command(c.ACTIVATE_WORKFLOW, c.ActivateWorkflow(name=name, version=version))
        elif what < 0.8:
            text = RECIPES["look"].replace("58s", f"{random.choice((30, 40, 45))}s")
            self._command(c.STORE_WORKFLOW, c.StoreWorkflow(source=text, activate=random.random() < 0.7))
        else:
            # Of a program that is newer than this broker, or of none.
            store = c.StoreWorkflow(source=RECIPES["look"])
            self._command(c.STORE_WORKFLOW, store, schema_version=random.choice((1, 99)))
            self._command(c.CREATE_RUN, store)
            self._command("no.such.command", store)

    def _person(self) -> None:
        """Somebody is let in, signs in, out, gets another role or password, or goes."""
        random = self._random
        name = random.choice(("ann", "ann", "bob", "Bad Name"))
        word = random.choice((_PASSWORD_HASH, _PASSWORD_HASH, _PASSWORD_HASH.replace("m=8", "m=9"), "plain"))
        role = random.choice(("admin", "admin", "viewer", "king"))
        token = _hash(random.choice("123"))
        deeds: tuple[tuple[str, Message], ...] = (
            (p.CREATE_USER, p.CreateUser(name=name, role=role, password_hash=word)),
            (p.OPEN_SESSION, p.OpenSession(user=name, token_sha256=token, expires_in_s=20.0, password_hash=word)),
            (p.OPEN_SESSION, p.OpenSession(user=name, token_sha256=token, expires_in_s=-1.0, password_hash=word)),
            (p.CLOSE_SESSION, p.CloseSession(token_sha256=token)),
            (p.SET_PASSWORD, p.SetPassword(name=name, password_hash=word)),
            (p.SET_ROLE, p.SetRole(name=name, role=role)),
            (p.REMOVE_USER, p.RemoveUser(name=name)),
        )
        for command_type, payload in random.choices(deeds, weights=(4, 4, 1, 1, 1, 1, 1), k=3):
            self._command(command_type, payload)

    def _person_goes(self) -> None:
        """Somebody signs in here and there, and then may not any more."""
        create = p.CreateUser(name="kim", role="viewer", password_hash=_PASSWORD_HASH)
        opened = [
            p.OpenSession(user="kim", token_sha256=_hash(where), expires_in_s=600.0, password_hash=_PASSWORD_HASH)
            for where in ("at home", "at work")
        ]
        deeds: list[tuple[str, Message]] = [(p.CREATE_USER, create)]
        deeds += [(p.OPEN_SESSION, one) for one in opened]
        deeds += [(p.REMOVE_USER, p.RemoveUser(name="kim"))]
        for number, deed in enumerate(deeds):
            self._sim.world.after(3.0 * number, self._command, *deed)

    def _enrol(self) -> None:
        random, world = self._random, self._sim.world
        names = random.choice(
            (
                ["newcomer-1"],
                ["newcomer-1"],
                ["newcomer-2", "newcomer-3"],
                ["newcomer-1", "newcomer-1"],
                ["Bad Name"],
                ["admin"],
                ["stranger"],
                [],
            )
        )
        good = random.random() < 0.9
        nodes = [
            e.NewEnrolment(name=name, token_sha256=_hash(f"token of {name}") if good else "short") for name in names
        ]
        expires_in_s = random.choice((3600.0, 3600.0, 5.0, 20.0, 0.0))
        enrol = e.EnrolNodes(nodes=nodes, expires_in_s=expires_in_s, rotate=random.random() < 0.4)
        self._command(e.ENROL_NODES, enrol)
        if names and random.random() < 0.3:
            world.after(random.uniform(0.0, 20.0), self._revoke, names[0])
        for name in names:
            world.after(random.uniform(0.1, 40.0), self._join, name)
            world.after(random.uniform(0.1, 60.0), self._greet)

    def _join(self, name: str = "") -> None:
        random = self._random
        join = e.JoinNode(
            token_sha256=_hash(f"token of {name or random.choice((*NEWCOMERS, 'stranger', 'nobody'))}"),
            public_key=random.choice(("short", self._sim.nodes[0].key, *self._keys)),
            secret_sha256=_hash("s") if random.random() < 0.9 else "short",
        )
        self._command(e.JOIN_NODE, join)
        if random.random() < 0.4:  # its answer was lost, it asks again
            self._command(e.JOIN_NODE, join)

    def _change_key(self) -> None:
        """A host that has joined is given another key, comes with it, and its old one is worth nothing any more."""
        name, after = NEWCOMERS[0], self._sim.world.after
        token = e.NewEnrolment(name=name, token_sha256=_hash(f"token of {name}"))
        enrol = e.EnrolNodes(nodes=[token], expires_in_s=3600.0, rotate=True)
        for number, key in enumerate(self._random.sample(self._keys, 2)):
            begin_s = 12.0 * number
            join = e.JoinNode(token_sha256=token.token_sha256, public_key=key, secret_sha256=_hash("s"))
            after(begin_s, self._command, e.ENROL_NODES, enrol)
            after(begin_s + 3.0, self._command, e.JOIN_NODE, join)
            after(begin_s + 7.0, self._greet)
            after(begin_s + 9.0, self._greet)

    def _revoke(self, name: str = "") -> None:
        if name not in ("admin", "stranger"):  # the stranger's key is revoked elsewhere, and made anew
            self._command(c.REVOKE_KEY, c.RevokeKey(name=name or self._random.choice(NEWCOMERS)))

    def _greet(self) -> None:
        """A host comes with a key that it was given, as the ZAP handler has it: its own name, or the next key."""
        core = self._sim.broker.core
        if core is None:
            return
        proved = [name for name in core.live_keys().values() if name.startswith(NEWCOMERS)]
        if not proved:
            return
        proves = self._random.choice(sorted(proved))
        name = proves[: len(NEWCOMERS[0])]
        world = self._sim.world
        connection = self._sim.network.dial(proves, lambda header, body: None)
        self._connections.append(connection)
        hello = Hello(
            name=name,
            instance="main",
            role=Role.NODE,
            sample=HostSample(host=name, pid=1, version="sim", started_at_ms=0, slots=1),
            incarnation=name,
            epoch=int(world.now_s * 1000),
            highest_seq=0,
        )
        connection.send(pack_header(Kind.HELLO), encode(hello))
        if self._random.random() < 0.5:
            connection.send(pack_header(Kind.HELLO), encode(hello))
        world.after(self._random.uniform(1.0, 60.0), connection.close)


def _nothing(payload: Any, reply: c.Reply) -> None:
    """An answer of which nothing follows."""
