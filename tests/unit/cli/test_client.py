"""What the command line makes of the API's sentences, and what it never asks for."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from doai.cli.client import _COMMANDS, ApiError, Client
from doai.cli.device_flags import with_default_action
from doai.cli.files import artifact_list
from doai.cli.main import make_parser
from doai.cli.place import Place
from doai.cli.runs import tasks
from doai.cli.show import print_error
from doai.configuration import Secret
from doai.errors import UserError


def answering(detail: str, *details: str) -> Client:
    """Return a client of an API that knows nothing."""
    client = Client(Place(url="http://here", token=Secret("t")))
    client._http.close()

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(404, json={"title": "Not Found", "detail": detail, "details": list(details)})

    client._http = httpx.Client(base_url="http://here/api/v1", transport=httpx.MockTransport(answer))
    return client


@pytest.mark.parametrize(
    ("where", "command"),
    [
        ("GET /api/v1/runs lists what there is", "`doai runs` lists what there is"),
        ("GET /api/v1/dead-letters lists what there is", "`doai dead list` lists what there is"),
        (
            "GET /api/v1/tasks, /runs, /devices and /nodes lists what there is",
            "`doai tasks`, `doai runs`, `doai devices`, `doai nodes` list what there is",
        ),
        ("GET /api/v1/of-a-newer-one lists what there is", "GET /api/v1/of-a-newer-one lists what there is"),
    ],
)
def test_people_are_sent_to_commands_not_to_requests(where: str, command: str) -> None:
    with answering(f"there is no thing 'x': {where}") as client, pytest.raises(ApiError) as refused:
        client.get("/things/x")
    assert str(refused.value) == f"there is no thing 'x': {command}"


def test_such_commands_there_are() -> None:
    for words in _COMMANDS.values():
        make_parser().parse_args(with_default_action(words.split()))


def test_a_name_does_not_lead_elsewhere() -> None:
    with (
        answering("-") as client,
        pytest.raises(UserError, match=r"'/artifacts/\.\./x' leads out of what the API has"),
    ):
        client.get("/artifacts/../x")


def test_a_mistake_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    with answering("it does not fit: a: bad", "a: bad") as client, pytest.raises(ApiError) as refused:
        client.get("/things/x")
    print_error("demo", refused.value)
    assert capsys.readouterr().err == "demo: it does not fit: a: bad\n"
    several = answering("it does not fit: a: bad (and 1 more)", "a: bad", "b: bad")
    with several as client, pytest.raises(ApiError) as refused:
        client.get("/things/x")
    print_error("demo", refused.value)
    assert capsys.readouterr().err == "demo: it does not fit: a: bad (and 1 more)\n  a: bad\n  b: bad\n"


class Empty(Client):
    """An API whose lists are empty, and that has only the run `r`."""

    def __init__(self) -> None:
        self.place = Place(url="http://here", token=Secret("t"))

    def items(self, path: str, **query: object) -> Iterator[dict[str, Any]]:
        yield from ()

    def get(self, path: str, **query: object) -> Any:
        if path != "/runs/r":
            raise ApiError(f"there is no {path}", exit_code=1)
        return {}


@pytest.mark.parametrize(
    ("words", "missing"),
    [
        ("tasks --run x", "/runs/x"),
        ("tasks --run r --device x", "/devices/x"),
        ("tasks --node x", "/nodes/x"),
        ("tasks --queue x", "/queues/x"),
        ("artifacts list --run x", "/runs/x"),
        ("artifacts list --task x", "/tasks/x"),
    ],
)
def test_a_list_of_what_there_is_not_is_no_empty_list(words: str, missing: str) -> None:
    options = make_parser().parse_args(words.split())
    with pytest.raises(ApiError, match=f"there is no {missing}"):
        (tasks if words.startswith("tasks") else artifact_list)(Empty(), options)


def test_a_list_may_be_empty(capsys: pytest.CaptureFixture[str]) -> None:
    assert tasks(Empty(), make_parser().parse_args(["tasks", "--run", "r"])) == 0
    assert artifact_list(Empty(), make_parser().parse_args(["artifacts", "list", "--run", "r"])) == 0
    assert "No such tasks." in capsys.readouterr().out
