"""Nodes that join with a token, keys that change, secrets: what the core takes and refuses."""

from __future__ import annotations

import hashlib

import pytest

from doai import topics
from doai.codec import Kind
from doai.messages import commands as c
from doai.messages import enrolment as e
from tests.unit.broker.harness import FakeAdmin, FakeNode, World, started_world

KEY, OTHER_KEY = "k" * 40, "o" * 40
SECRET, OTHER_SECRET = "1" * 64, "2" * 64
RECIPE = """
workflow: login
steps:
  - {id: type, use: ui.text, with: {text: "${secret.pin}"}}
"""


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def enrol(
    admin: FakeAdmin, *names: str, token: str = "t", expires_in_s: float = 3600.0, rotate: bool = False
) -> None:
    nodes = [e.NewEnrolment(name=name, token_sha256=digest(f"{token}-{name}")) for name in names]
    done = admin.do(
        e.ENROL_NODES, e.EnrolNodes(nodes=nodes, expires_in_s=expires_in_s, rotate=rotate), e.NodesEnrolled
    )
    assert done.names == list(names)


def join_of(name: str, token: str = "t", key: str = KEY, secret: str = SECRET) -> e.JoinNode:
    return e.JoinNode(token_sha256=digest(f"{token}-{name}"), public_key=key, secret_sha256=secret)


def join(admin: FakeAdmin, name: str, token: str = "t", key: str = KEY, secret: str = SECRET) -> e.NodeAccepted:
    accepted: e.NodeAccepted = admin.do(e.JOIN_NODE, join_of(name, token, key, secret), e.NodeAccepted)
    return accepted


def refused(admin: FakeAdmin, join: e.JoinNode) -> str:
    return admin.refused(e.JOIN_NODE, join).code


def test_a_token_lets_one_host_in_once() -> None:
    world, _, admin = started_world()
    enrol(admin, "shelf-1", "shelf-2")
    assert world.core.live_keys().get(KEY) is None
    assert join(admin, "shelf-1") == e.NodeAccepted(name="shelf-1")
    assert world.core.live_keys()[KEY] == "shelf-1"
    assert world.tables.keys["shelf-1"].secret_sha256 == SECRET
    assert join(admin, "shelf-1") == e.NodeAccepted(name="shelf-1"), "an answer that was lost is given again"
    assert refused(admin, join_of("shelf-1", key=OTHER_KEY)) == "token_used"
    assert refused(admin, join_of("shelf-1", secret=OTHER_SECRET)) == "token_used"
    assert refused(admin, join_of("shelf-2")) == "conflict", "the key is that of shelf-1"
    assert refused(admin, join_of("shelf-9")) == "token_unknown"
    assert [event.subject for event in world.events(topics.NODE_ENROLLED)] == ["node/shelf-1", "node/shelf-2"]
    assert [event.subject for event in world.events(topics.NODE_JOINED)] == ["node/shelf-1"]
    world.check()
    world.restart()
    assert world.core.live_keys()[KEY] == "shelf-1"


def test_a_token_ends_by_time_by_a_newer_one_and_by_a_person() -> None:
    world, _, admin = started_world()
    enrol(admin, "late", "twice", "unwanted", expires_in_s=60.0)
    enrol(admin, "twice", token="new")
    admin.do(c.REVOKE_KEY, c.RevokeKey(name="unwanted"), c.KeyAdded)
    assert refused(admin, join_of("unwanted")) == "token_revoked"
    assert refused(admin, join_of("twice")) == "token_unknown"
    world.pass_time(60.0)
    assert refused(admin, join_of("late")) == "token_expired"
    assert join(admin, "twice", "new").name == "twice"
    assert admin.refused(c.REVOKE_KEY, c.RevokeKey(name="unwanted")).code == "not_found"
    world.check()


@pytest.mark.parametrize(
    ("names", "about", "words"),
    [
        ([], {}, "name 1 to"),
        (["a", "a"], {}, "named twice"),
        (["A b"], {}, "can not be a name"),
        (["user"], {}, "people act as user/NAME"),
        (["n1"], {}, "n1 has joined already"),
        (["admin"], {}, "name of a admin"),
        (["new"], {"rotate": True}, "no key to change"),
        (["new"], {"expires_in_s": 0.0}, "30 days at most"),
        (["new"], {"expires_in_s": 1e9}, "30 days at most"),
    ],
)
def test_what_can_not_be_enrolled_is_named_and_nothing_changes(
    names: list[str], about: dict[str, object], words: str
) -> None:
    world, _, admin = started_world()
    nodes = [e.NewEnrolment(name=name, token_sha256=digest(name)) for name in ["fine", *names] if names]
    command = e.EnrolNodes(nodes=nodes, **({"expires_in_s": 60.0} | about))  # type: ignore[arg-type]
    assert words in admin.refused(e.ENROL_NODES, command).message + str(
        admin.refused(e.ENROL_NODES, command).details
    )
    assert world.tables.enrolments == {}
    world.check()


@pytest.mark.parametrize("change", [{"public_key": "short"}, {"secret_sha256": "x"}])
def test_a_join_with_a_key_or_hash_that_is_none_is_refused(change: dict[str, str]) -> None:
    world, _, admin = started_world()
    enrol(admin, "shelf-1")
    good = {"token_sha256": digest("t-shelf-1"), "public_key": KEY, "secret_sha256": SECRET}
    assert refused(admin, e.JoinNode(**(good | change))) in ("bad_key", "bad_secret")
    assert join(admin, "shelf-1").name == "shelf-1", "the token is still good"
    world.check()


def hello_with(world: World, node: FakeNode, key_name: str) -> int:
    """Greet over a new connection whose key proves this; return the connection."""
    node.link = world.new_link()
    node.epoch += 1
    node.key_name = key_name
    node.hello()
    return node.link


def test_a_new_key_is_the_only_one_from_its_first_use_on() -> None:
    world, node, admin = started_world("d1")
    enrol(admin, "n1", rotate=True)
    assert join(admin, "n1", key=OTHER_KEY, secret=OTHER_SECRET) == e.NodeAccepted(name="n1", rotation=True)
    old_key = world.tables.keys["n1"].public_key
    assert world.core.live_keys()[old_key] == "n1"
    proves = world.core.live_keys()[OTHER_KEY]
    assert proves == f"n1~{OTHER_KEY}"
    old_link = node.link
    node.heartbeat()
    assert world.kinds(old_link).count(Kind.FENCED) == 0, "the old key is good until then"
    new_link = hello_with(world, node, proves)
    assert Kind.WELCOME in world.kinds(new_link)
    assert Kind.FENCED in world.kinds(old_link)
    live = world.core.live_keys()
    assert (live.get(old_key), live[OTHER_KEY]) == (None, "n1")
    row = world.tables.keys["n1"]
    assert (row.public_key, row.secret_sha256, row.next_public_key) == (OTHER_KEY, OTHER_SECRET, "")
    assert [event.subject for event in world.events(topics.NODE_REKEYED)] == ["node/n1"]
    assert Kind.WELCOME in world.kinds(hello_with(world, node, proves)), "the same connection's name, said again"
    assert Kind.FENCED in world.kinds(hello_with(world, node, f"n1~{KEY}")), "a key that is none"
    world.check()
    world.restart()
    assert world.core.live_keys()[OTHER_KEY] == "n1"


def test_a_revoked_node_loses_both_keys_and_its_token() -> None:
    world, node, admin = started_world("d1")
    enrol(admin, "n1", rotate=True)
    join(admin, "n1", key=OTHER_KEY)
    proves = world.core.live_keys()[OTHER_KEY]
    admin.do(c.REVOKE_KEY, c.RevokeKey(name="n1"), c.KeyAdded)
    assert OTHER_KEY not in world.core.live_keys()
    assert "n1" not in world.core.live_keys().values()
    assert Kind.FENCED in world.kinds(hello_with(world, node, proves))
    assert refused(admin, join_of("n1", key=OTHER_KEY)) == "token_used"
    assert [event.subject for event in world.events(topics.NODE_REVOKED)] == ["node/n1"]
    world.check()


def test_secrets_are_kept_as_they_come_and_runs_need_them() -> None:
    world, _, admin = started_world("d1")
    admin.store(RECIPE)
    create = c.CreateRun(workflow="login", targets=c.Targets(kind=c.TargetKind.DEVICES, serials=["d1"]))
    problem = admin.refused(c.CREATE_RUN, create)
    assert (problem.code, "'pin'" in problem.message) == ("secret_not_found", True)
    admin.do(e.STORE_SECRET, e.StoreSecret(name="pin", ciphertext=b"\x01one"), e.SecretKept)
    world.pass_time(1.0)
    admin.do(e.STORE_SECRET, e.StoreSecret(name="pin", ciphertext=b"\x02two"), e.SecretKept)
    row = world.tables.secrets["pin"]
    assert (row.ciphertext, row.changed_at_ms - row.created_at_ms) == (b"\x02two", 1000)
    admin.run("d1", workflow="login")
    told = [bytes(event.payload) for event in world.events(topics.SECRET_STORED)]
    assert len(told) == 2
    assert not any(b"two" in payload for payload in told)
    world.check()
    world.restart()
    admin = FakeAdmin(world)
    admin.do(e.REMOVE_SECRET, e.RemoveSecret(name="pin"), e.SecretKept)
    assert admin.refused(e.REMOVE_SECRET, e.RemoveSecret(name="pin")).code == "secret_not_found"
    assert world.tables.secrets == {}
    world.check()


@pytest.mark.parametrize(
    ("name", "ciphertext", "code"),
    [
        ("a b", b"x", "bad_name"),
        ("a.b", b"x", "bad_name"),
        ("pin", b"", "too_large"),
        ("p", b"x" * 65537, "too_large"),
    ],
)
def test_a_secret_that_can_not_be_is_refused(name: str, ciphertext: bytes, code: str) -> None:
    world, _, admin = started_world()
    assert admin.refused(e.STORE_SECRET, e.StoreSecret(name=name, ciphertext=ciphertext)).code == code
    world.check()
