"""Every operation of the API with values made from its own description, right ones and wrong ones.

What is made up alone would end at "there is no such thing", so ids of things that are there are taken as well.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

import httpx
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from requests.adapters import HTTPAdapter
from schemathesis import Case, GenerationMode
from schemathesis.schemas import APIOperation
from urllib3.util import Retry

from tests.documents import ROOT
from tests.integration.admin_site import RUN_ID, TIME
from tests.integration.installed import Up

ANSWER_S: Final = 60.0
BUSY: Final = Retry(total=5, status_forcelist=[503], allowed_methods=None, raise_on_status=False)
"""503 says: try again in a moment. A loaded machine is no failure, unless it stays so."""
ENDLESS: Final = ("/api/stream", "/api/v1/events/stream", "/api/v1/devices/{serial}/logcat/stream")
"""Streams: they answer for ever."""
KEPT: Final = {("DELETE", "/api/v1/keys/{name}"), ("DELETE", "/api/v1/tokens/{name}")}
"""With the ids of things that are there, they would lock the test itself out."""
OF_BOTS: Final = ("X-Bot-Id", "X-Bot-Auth")
"""Headers with which a bot is let in instead of a person: made up, the answer is 401 and nothing else is seen."""
PATHS: Final = {"path": f"video/node-1/SIM0001/{RUN_ID}/{TIME}-shot.png", "reference": "known.bin@1"}
"""Parameters that hold slashes, or a form for which hardly anything that is made up is right."""
RECIPE: Final = """
workflow: hourly
steps:
  - {id: ready, use: device.bootstrap}
"""

Known = Mapping[tuple[str, str], list[str]]
"""Ids of what is there, by the first word of a path and the name of the parameter."""


class Bearer(requests.auth.AuthBase):
    """Puts the token into a request last of all: made-up values leave it out, and then the answer is 401."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Tried:
    """What came of all operations."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.operations: Counter[str] = Counter()
        self.failures: dict[str, str] = {}
        """The first answer of each operation that says that the fault is ours."""


def address_of(site: Up) -> tuple[str, str]:
    """Return where an installation's API is, and a token of an admin."""
    found = json.loads((site.data_dir / "cli.json").read_text())
    return found["url"], found["token"]


def fill(site: Up) -> Known:
    """Make something of each kind; return the ids."""
    url, token = address_of(site)
    with httpx.Client(
        base_url=f"{url}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=ANSWER_S, trust_env=False
    ) as api:

        def made(method: str, path: str, **more: Any) -> None:
            answer = api.request(method, path, **more)
            assert answer.is_success, f"{method} {path}: {answer.text}"

        for source in ((ROOT / "workflows" / "identify.yaml").read_text(), RECIPE):
            made("POST", "/workflows", content=source, headers={"Content-Type": "application/yaml"})
        made("POST", "/runs", json={"workflow": "hourly", "targets": {"kind": "all"}})
        made("PUT", "/secrets/known", json={"value": "secret-of-the-test"})
        made("POST", "/tokens", json={"name": "known", "role": "viewer"})
        made("PUT", "/files/known.bin@1", content=b"known")
        known: dict[tuple[str, str], list[str]] = defaultdict(list)
        for word, name, field in (
            ("runs", "run_id", "runId"),
            ("tasks", "task_id", "taskId"),
            ("devices", "serial", "serial"),
            ("nodes", "node_id", "nodeId"),
            ("queues", "name", "name"),
            ("workflows", "name", "name"),
            ("incidents", "incident_id", "id"),
            ("dead-letters", "letter_id", "id"),
        ):
            items = api.get(f"/{word}").json()["items"]
            known[word, name] = [str(item[field]) for item in items if field in item]
        known["secrets", "name"] = ["known"]
        known["files", "reference"] = ["known.bin@1", "known.bin"]
        known["story", "subject_id"] = [*known["runs", "run_id"], *known["tasks", "task_id"]]
        known["workflows", "version"] = ["1"]
    return known


def operations(site: Up) -> Iterator[APIOperation[Any, Any, Any, Any]]:
    """Yield every operation of the API that ends."""
    url, _ = address_of(site)
    description = httpx.get(f"{url}/schema/openapi.json", timeout=ANSWER_S, trust_env=False).json()
    for result in schemathesis.openapi.from_dict(description).get_all_operations():
        operation = result.ok()
        if operation.path not in ENDLESS:
            yield operation


def try_everything(site: Up, known: Known, *, examples: int, seed_number: int = 0) -> Tried:
    """Call each operation with so many right and as many wrong values."""
    url, token = address_of(site)
    tried = Tried()
    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://", HTTPAdapter(max_retries=BUSY))
        session.auth = Bearer(token)
        for operation in operations(site):
            modes = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
            if not _takes_something(operation):
                modes.remove(GenerationMode.NEGATIVE)
            for mode in modes:
                _try(operation, mode, known, tried, url, session, examples, seed_number)
    return tried


def _try(
    operation: APIOperation[Any, Any, Any, Any],
    mode: GenerationMode,
    known: Known,
    tried: Tried,
    url: str,
    session: requests.Session,
    examples: int,
    seed_number: int,
) -> None:
    number = seed_number % 2
    given_paths = {name: text for name, text in PATHS.items() if f"{{{name}}}" in operation.path}

    @seed(seed_number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode, path_parameters=given_paths))
    def call(case: Case) -> None:
        nonlocal number
        number += 1
        if number % 2:
            _use_known(case, known, number)
            for name in OF_BOTS:
                case.headers.pop(name, None)
        response = case.call(base_url=url, session=session, timeout=ANSWER_S, allow_redirects=False)
        tried.statuses[response.status_code] += 1
        tried.operations[operation.label] += 1
        if response.status_code >= 500:
            said = f"{response.status_code} {case.as_curl_command()}: {response.text}"
            tried.failures.setdefault(operation.label, said)

    try:
        call()
    except Unsatisfiable:
        return  # what takes nothing can not be called wrongly


def _takes_something(operation: APIOperation[Any, Any, Any, Any]) -> bool:
    """Whether an operation can be called wrongly at all."""
    return bool(operation.body) or any(operation.path_parameters) or any(operation.query)


def _use_known(case: Case, known: Known, number: int) -> None:
    """Let a case be about something that is there."""
    if (case.method.upper(), case.operation.path) in KEPT or not case.path_parameters:
        return
    word = case.operation.path.split("/")[3]
    for name in list(case.path_parameters):
        there = known.get((word, name), [])
        if there:
            case.path_parameters[name] = there[number // 2 % len(there)]
