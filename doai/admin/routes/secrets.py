"""Secrets: set, removed, given to the one node whose task names them, and shown to nobody (steps 2 and 8)."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from litestar import Response, delete, get, post, put
from litestar.openapi.spec import Example
from litestar.params import Body, FromPath, HeaderParameter

from doai.admin import examples
from doai.admin.access import ADMIN, Forbidden, check_node
from doai.admin.adb_key import SECRET_NAME, make_adb_key, read_adb_key
from doai.admin.routes.parameters import Cursor, Given, Limit, NodeId, NodeSecret, Text, Who, named, not_found, part
from doai.admin.services import Services
from doai.admin.views import View
from doai.changes.rows import SecretRow, TaskRow
from doai.errors import ConflictError, NotFoundError
from doai.messages.enrolment import RemoveSecret, SecretKept, StoreSecret
from doai.states import HELD
from doai.workflow.model import from_stored, secret_names

_NO_STORE: Final = {"Cache-Control": "no-store"}


class NewSecret(View, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value; it is encrypted here and never told again."""

    value: str


class SecretJson(View, frozen=True, kw_only=True):
    """A secret, without its value."""

    name: str
    created_at_ms: int
    created_by: str
    changed_at_ms: int
    changed_by: str


class SecretPage(View, frozen=True, kw_only=True):
    """Part of the secrets, by name."""

    items: list[SecretJson]
    next: str | None


class Rotated(View, frozen=True, kw_only=True):
    """How many were encrypted anew."""

    secrets: int


class TaskSecrets(View, frozen=True, kw_only=True):
    """The secrets that a task's recipe names, for the node that executes it."""

    values: dict[str, str]


class NewAdbKey(View, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The adb key that all nodes are to share."""

    private_key: str = ""
    """Text of an ``adbkey`` file whose phones are to go on trusting; empty = a new key is made."""
    replace: bool = False
    """In place of the one there is: every phone asks again."""


class AdbKeyJson(View, frozen=True, kw_only=True):
    """The shared adb key, without its private part."""

    public_key: str
    fingerprint: str
    """As the phone's question *Allow USB debugging?* shows it."""
    changed_at_ms: int | None


_SECRET = SecretJson(
    name="app-password",
    created_at_ms=examples.AT_MS,
    created_by="user/first",
    changed_at_ms=examples.AT_MS,
    changed_by="user/first",
)
_ADB_KEY = AdbKeyJson(
    public_key="QAAAAN+...(700 characters) doai@fleet",
    fingerprint="03:32:A5:BF:12:91:0D:7A:81:CA:0D:34:4B:FF:A0:0D",
    changed_at_ms=examples.AT_MS,
)
_KEPT: Final = SecretKept(name="app-password")


@get(
    "/secrets",
    opt={"needs": ADMIN},
    tags=["secrets"],
    summary="List the names of secrets",
    responses=examples.answer(200, SecretPage, SecretPage(items=[_SECRET], next=None), "A page of names."),
)
async def list_secrets(services: Given, text: Text = "", cursor: Cursor = None, limit: Limit = 500) -> SecretPage:
    """Values are shown to nobody."""
    rows = [row for row in await services.reader.secrets() if "." not in row.name]
    items, following = part(named(rows, lambda row: row.name, text), lambda row: row.name, cursor, limit)
    return SecretPage(items=[_json(row) for row in items], next=following)


def _json(row: SecretRow) -> SecretJson:
    fields = msgspec.structs.asdict(row)
    del fields["ciphertext"]
    return SecretJson(**fields)


@put(
    "/secrets/{name:str}",
    status_code=200,
    opt={"needs": ADMIN},
    tags=["secrets"],
    summary="Set a secret",
    responses=examples.answer(200, SecretKept, _KEPT, "It is stored, encrypted.", problems=(413, 422)),
)
async def set_secret(
    name: FromPath[str],
    data: Annotated[NewSecret, Body(examples=[Example(value={"value": "hunter2"})])],
    services: Given,
    caller: Who,
) -> Response[SecretKept]:
    """In place of the value before; tasks that begin after this get the new one."""
    _check_own(name)
    command = StoreSecret(name=name, ciphertext=services.vault.encrypt(name, data.value))
    done = await services.command_of(caller, command, f"secret/{name[:63]}")
    return Response(done.result, headers=done.headers)


@delete(
    "/secrets/{name:str}",
    status_code=200,
    opt={"needs": ADMIN},
    tags=["secrets"],
    summary="Remove a secret",
    responses=examples.answer(200, SecretKept, _KEPT, "It is gone.", problems=(404,)),
)
async def remove_secret(name: FromPath[str], services: Given, caller: Who) -> Response[SecretKept]:
    """A task that names it and begins after this fails."""
    _check_own(name)
    done = await services.command_of(caller, RemoveSecret(name=name), f"secret/{name[:63]}")
    return Response(done.result, headers=done.headers)


def _check_own(name: str) -> None:
    if "." in name:
        raise NotFoundError(f"{name[:80]!r} is no secret of yours: names have no dots", code="secret_not_found")


@post(
    "/secrets/rotate",
    status_code=200,
    opt={"needs": ADMIN},
    tags=["secrets"],
    summary="Encrypt all secrets with a new key",
    responses=examples.answer(200, Rotated, Rotated(secrets=3), "The old key is of no more use."),
)
async def rotate_secrets(services: Given, caller: Who) -> Rotated:
    """Stopped half-way, it is asked for again: until it has ended both keys decrypt."""
    services.vault.begin_rotation()
    rows = await services.reader.secrets()
    for row in rows:
        value = services.vault.decrypt(row.name, row.ciphertext)
        command = StoreSecret(name=row.name, ciphertext=services.vault.encrypt(row.name, value))
        await services.command_of(caller, command, f"secret/{row.name}")
    services.vault.end_rotation()
    return Rotated(secrets=len(rows))


@get(
    "/api/v1/tasks/{task_id:str}/secrets",
    tags=["secrets"],
    summary="Get the secrets of a task (the node that executes it only)",
    security=[{"node": [], "nodeSecret": []}],
    responses=examples.answer(
        200, TaskSecrets, TaskSecrets(values={"app-password": "hunter2"}), "The values.", problems=(404,)
    ),
)
async def task_secrets(
    task_id: FromPath[str],
    services: Given,
    node_id: NodeId = "",
    secret: NodeSecret = "",
    token: Annotated[str, HeaderParameter(name="X-Task-Token", max_length=50)] = "",
) -> Response[TaskSecrets]:
    """Only while the task is dispatched to this node under this token; only what its recipe names."""
    await check_node(services.reader, node_id, secret)
    view = await services.reader.task(task_id)
    if view is None or not _holds(view.row, node_id, token):
        raise Forbidden(
            f"task {task_id[:64]} is not dispatched to node {node_id} under this token: it gets no secrets"
        )
    names = await _named(services, view.row.run_id)
    rows = {row.name: row for row in await services.reader.secrets() if row.name in names}
    missing = sorted(names - rows.keys())
    if missing:
        raise NotFoundError(f"secret {missing[0]!r} was removed: set it again", code="secret_not_found")
    values = {name: services.vault.decrypt(name, row.ciphertext) for name, row in rows.items()}
    return Response(TaskSecrets(values=values), headers=_NO_STORE)


def _holds(task: TaskRow, node_id: str, token: str) -> bool:
    status = task.status
    return (
        status.state in HELD
        and status.node_id == node_id
        and status.token is not None
        and str(status.token) == token
    )


async def _named(services: Services, run_id: str) -> frozenset[str]:
    run = await services.reader.run(run_id)
    workflow = await services.reader.workflow(content_hash=run.row.recipe_hash) if run is not None else None
    if workflow is None:
        return frozenset()
    return secret_names(from_stored(workflow.body))


@get(
    "/adb-key",
    opt={"needs": ADMIN},
    tags=["secrets"],
    summary="Show the adb key that all nodes share",
    responses=examples.answer(200, AdbKeyJson, _ADB_KEY, "Its public part.", problems=(404,)),
)
async def show_adb_key(services: Given) -> AdbKeyJson:
    """Its private part is handed to nodes that join, and shown to nobody."""
    row = await _adb_key_row(services)
    if row is None:
        raise not_found("shared adb key", SECRET_NAME, "adb-key")
    key = read_adb_key(services.vault.decrypt(SECRET_NAME, row.ciphertext))
    return AdbKeyJson(public_key=key.public_line, fingerprint=key.fingerprint, changed_at_ms=row.changed_at_ms)


@post(
    "/adb-key",
    opt={"needs": ADMIN},
    tags=["secrets"],
    summary="Make the adb key that all nodes share, or take one over",
    responses=examples.answer(
        201, AdbKeyJson, _ADB_KEY, "Nodes that join from now on get it.", problems=(409, 422)
    ),
)
async def make_shared_adb_key(
    services: Given,
    caller: Who,
    data: Annotated[NewAdbKey | None, Body(examples=[Example(value={"replace": False})])] = None,
) -> Response[AdbKeyJson]:
    """A phone that trusted it once is trusted on every host that has it."""
    wish = data or NewAdbKey()
    if not wish.replace and await _adb_key_row(services) is not None:
        raise ConflictError("there is a shared adb key: with another one every phone asks again; say replace")
    key = read_adb_key(wish.private_key) if wish.private_key else make_adb_key()
    command = StoreSecret(name=SECRET_NAME, ciphertext=services.vault.encrypt(SECRET_NAME, key.private_pem))
    done = await services.command_of(caller, command, f"secret/{SECRET_NAME}")
    answer = AdbKeyJson(public_key=key.public_line, fingerprint=key.fingerprint, changed_at_ms=None)
    return Response(answer, status_code=201, headers=done.headers)


async def shared_adb_key(services: Services) -> str:
    """Return the private key in PEM, for a host that joins; empty when there is none."""
    row = await _adb_key_row(services)
    return services.vault.decrypt(SECRET_NAME, row.ciphertext) if row is not None else ""


async def _adb_key_row(services: Services) -> SecretRow | None:
    return next((row for row in await services.reader.secrets() if row.name == SECRET_NAME), None)
