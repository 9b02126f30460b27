"""People who sign in: what the core takes and refuses of users and sessions."""

from __future__ import annotations

import pytest

from doai.broker.core.people import SESSIONS_MAX
from doai.envelope import Message
from doai.messages import commands as c
from doai.messages import people as p
from tests.unit.broker.harness import FakeAdmin, started_world

HASH = "$argon2id$v=19$m=19456,t=2,p=1$eHh4eHh4eHh4eHh4eHh4eA$H0E6WSKhWBnSUBUSrgWy+7ntDmGmJbDBj9/J+DEl17g"
OTHER = HASH.replace("m=19456", "m=19457")


def create(admin: FakeAdmin, name: str = "ann", role: str = "admin") -> None:
    admin.do(p.CREATE_USER, p.CreateUser(name=name, role=role, password_hash=HASH), p.UserKept)


def sign_in(admin: FakeAdmin, n: int = 0, user: str = "ann", for_s: float = 60.0) -> p.SessionOpened:
    opening = p.OpenSession(
        user=user, token_sha256=f"{n:064x}", expires_in_s=for_s, address="::1", password_hash=HASH
    )
    return admin.do(p.OPEN_SESSION, opening, p.SessionOpened)


def test_a_user_is_created_once_removed_and_created_again() -> None:
    world, _, admin = started_world()
    create(admin)
    create(admin, "bob", "viewer")
    assert (
        admin.refused(p.CREATE_USER, p.CreateUser(name="bob", role="viewer", password_hash=HASH)).code == "conflict"
    )
    sign_in(admin, user="bob")
    assert admin.do(p.REMOVE_USER, p.RemoveUser(name="bob"), p.UserKept).sessions_ended == 1
    assert world.tables.users["bob"].password_hash == ""
    assert world.tables.sessions == {}
    assert admin.refused(p.REMOVE_USER, p.RemoveUser(name="bob")).code == "not_found"
    create(admin, "bob", "operator")
    assert world.tables.users["bob"].role == "operator"


def test_the_last_admin_stays_one() -> None:
    _, _, admin = started_world()
    create(admin)
    assert admin.refused(p.REMOVE_USER, p.RemoveUser(name="ann")).code == "last_admin"
    assert admin.refused(p.SET_ROLE, p.SetRole(name="ann", role="viewer")).code == "last_admin"
    create(admin, "bob")
    admin.do(p.SET_ROLE, p.SetRole(name="ann", role="viewer"), p.UserKept)
    assert admin.refused(p.REMOVE_USER, p.RemoveUser(name="bob")).code == "last_admin"


def test_another_password_ends_every_session_and_one_that_was_checked_before_opens_none() -> None:
    world, _, admin = started_world()
    create(admin)
    sign_in(admin, 1)
    sign_in(admin, 2)
    changed = admin.do(p.SET_PASSWORD, p.SetPassword(name="ann", password_hash=OTHER), p.UserKept)
    assert changed.sessions_ended == 2
    assert world.tables.sessions == {}
    late = p.OpenSession(user="ann", token_sha256="3" * 64, expires_in_s=60.0, password_hash=HASH)
    assert admin.refused(p.OPEN_SESSION, late).code == "conflict"


def test_sessions_of_a_user_are_bounded_and_those_that_are_over_go_first() -> None:
    world, _, admin = started_world()
    create(admin)
    sign_in(admin, 0, for_s=1.0)
    world.pass_time(2.0)
    for n in range(1, SESSIONS_MAX + 1):
        sign_in(admin, n)
    assert sorted(world.tables.sessions) == [f"{n:064x}" for n in range(1, SESSIONS_MAX + 1)]
    world.pass_time(1.0)
    sign_in(admin, 99)
    assert len(world.tables.sessions) == SESSIONS_MAX
    assert f"{1:064x}" not in world.tables.sessions, "the oldest ended"


def test_signing_out_twice_is_no_mistake() -> None:
    world, _, admin = started_world()
    create(admin)
    sign_in(admin)
    closing = p.CloseSession(token_sha256=f"{0:064x}")
    assert admin.do(p.CLOSE_SESSION, closing, p.SessionClosed).user == "ann"
    assert admin.do(p.CLOSE_SESSION, closing, p.SessionClosed).user == ""
    assert world.tables.sessions == {}


WRONG: list[tuple[str, Message, str]] = [
    (p.CREATE_USER, p.CreateUser(name="Ann Smith", role="admin", password_hash=HASH), "bad_name"),
    (p.CREATE_USER, p.CreateUser(name="eve", role="king", password_hash=HASH), "bad_role"),
    (p.CREATE_USER, p.CreateUser(name="eve", role="admin", password_hash="hunter2"), "bad_password_hash"),
    (p.SET_PASSWORD, p.SetPassword(name="ann", password_hash=""), "bad_password_hash"),
    (p.SET_PASSWORD, p.SetPassword(name="anne", password_hash=HASH), "not_found"),
    (p.SET_ROLE, p.SetRole(name="ann", role="king"), "bad_role"),
    (p.OPEN_SESSION, p.OpenSession(user="eve", token_sha256="1" * 64, expires_in_s=9.0), "not_found"),
    (
        p.OPEN_SESSION,
        p.OpenSession(user="ann", token_sha256="1", expires_in_s=9.0, password_hash=HASH),
        "bad_token",
    ),
    (
        p.OPEN_SESSION,
        p.OpenSession(user="ann", token_sha256="1" * 64, expires_in_s=1e9, password_hash=HASH),
        "bad_request",
    ),
    (c.ADD_TOKEN, c.AddToken(name="t", token_sha256="1" * 64, scopes=["Runs!"]), "bad_scope"),
    (c.ADD_TOKEN, c.AddToken(name="t", token_sha256="1" * 64, expires_in_s=-1.0), "bad_request"),
]


@pytest.mark.parametrize(
    ("name", "payload", "code"), WRONG, ids=lambda value: value if isinstance(value, str) else ""
)
def test_what_is_wrong_is_refused_and_changes_nothing(name: str, payload: Message, code: str) -> None:
    world, _, admin = started_world()
    create(admin)
    before = (dict(world.tables.users), dict(world.tables.sessions), dict(world.tables.tokens))
    assert admin.refused(name, payload).code == code
    assert before == (world.tables.users, world.tables.sessions, world.tables.tokens)


def test_a_token_may_open_a_part_for_a_time_and_its_name_is_free_after_that() -> None:
    world, _, admin = started_world()
    half = c.AddToken(name="ci", token_sha256="1" * 64, role="operator", scopes=["runs", "runs"], expires_in_s=10.0)
    admin.do(c.ADD_TOKEN, half, c.TokenAdded)
    row = world.tables.tokens["ci"]
    assert row.scopes == "runs"
    assert row.expires_at_ms == row.created_at_ms + 10_000
    other = c.AddToken(name="ci", token_sha256="2" * 64, role="operator")
    assert admin.refused(c.ADD_TOKEN, other).code == "conflict"
    world.pass_time(10.0)
    admin.do(c.ADD_TOKEN, other, c.TokenAdded)
    assert world.tables.tokens["ci"].expires_at_ms is None


def test_a_token_that_ends_by_itself_does_not_count_as_the_one_that_opens_all() -> None:
    _, _, admin = started_world()
    admin.do(c.ADD_TOKEN, c.AddToken(name="one", token_sha256="1" * 64), c.TokenAdded)
    admin.do(c.ADD_TOKEN, c.AddToken(name="two", token_sha256="2" * 64, expires_in_s=10.0), c.TokenAdded)
    assert admin.refused(c.REVOKE_TOKEN, c.RevokeToken(name="one")).code == "last_token"
    admin.do(c.REVOKE_TOKEN, c.RevokeToken(name="two"), c.TokenAdded)
