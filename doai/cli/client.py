"""The command line's end of the admin API: requests, and errors as one sentence with an exit code (step 1)."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self
from urllib.parse import urlencode

from doai.cli import exits
from doai.cli.pages import page_of
from doai.cli.place import Place
from doai.errors import DoaiError, UserError
from doai.tls import client_context, why_untrusted

if TYPE_CHECKING:
    import httpx

PAGE: Final = 500
"""Items asked for at once."""
TIMEOUT_S: Final = 30.0
"""For one request; the admin itself answers 503 when the broker does not."""
_EXITS: Final = {401: exits.NO_PERMISSION, 403: exits.NO_PERMISSION, 502: exits.UNAVAILABLE, 503: exits.UNAVAILABLE}
_LISTED: Final = re.compile(r"GET /api/v1/(?P<first>[a-z-]+)(?P<more>[a-z/, -]*) lists what there is")
_COMMANDS: Final = {
    "runs": "runs",
    "tasks": "tasks",
    "devices": "devices",
    "nodes": "nodes",
    "workflows": "workflows list",
    "files": "files list",
    "artifacts": "artifacts list --run RUN_ID",
    "dead-letters": "dead list",
    "bots": "bots list",
}
"""Lists of the API that its sentences send people to -> the command that prints them."""


class ApiError(DoaiError):
    """The API refused or did not answer; ``exit_code`` says which."""

    code = "api_error"

    def __init__(self, message: str, *, exit_code: int, details: list[str] | None = None, status: int = 0) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.details = details or []
        self.status = status


class Client:
    """A connection to the admin API."""

    def __init__(self, place: Place) -> None:
        import httpx  # here, because `doai --help` must not wait for it

        self.place = place
        self._http: httpx.Client = httpx.Client(
            base_url=place.url + "/api/v1",
            headers={"Authorization": f"Bearer {place.token.reveal()}", "User-Agent": "doai-cli"},
            timeout=TIMEOUT_S,
            verify=client_context(ca_file=place.ca_file, fingerprint=place.fingerprint)
            if place.url.startswith("https:")
            else False,
            trust_env=False,
        )
        self._transport_error = httpx.TransportError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, **query: object) -> Any:
        """Return the JSON at a path; query values that are None are left out."""
        return self.request("GET", path, query=query).json()

    def items(self, path: str, **query: object) -> Iterator[dict[str, Any]]:
        """Yield all items of a list, page by page."""
        cursor: str | None = None
        while True:
            page = self.get(path, **query, cursor=cursor)
            yield from page["items"]
            cursor = page.get("next")
            if not cursor:
                return

    def first(self, count: int, path: str, **query: object) -> list[dict[str, Any]]:
        """Return the first ``count`` items of a list."""
        return list(itertools.islice(self.items(path, **query, limit=min(count, PAGE)), count))

    def check_known(self, **names: str | None) -> None:
        """Raise ApiError for a name that nothing has, such as ``runs="x"``; asked when a list of it is empty."""
        for kind, name in names.items():
            if name:
                self.get(f"/{kind}/{name}")

    def post(
        self,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Any:
        """Send JSON and return the answer's JSON."""
        return self.request("POST", path, json_body=body, headers=headers, timeout_s=timeout_s).json()

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        json_body: object = None,
        content: bytes | BinaryIO | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> httpx.Response:
        """Send one request; raises ApiError with the API's own sentence where it gives one."""
        if ".." in path.split("/"):
            raise UserError(
                f"{path[:200]!r} leads out of what the API has: write names and paths as they are listed"
            )
        given = {key: str(value) for key, value in (query or {}).items() if value is not None}
        try:
            response = self._http.request(
                method,
                path,
                params=given,
                json=json_body,
                content=content,
                headers=dict(headers or {}),
                timeout=timeout_s,
            )
        except self._transport_error as error:
            untrusted = why_untrusted(error)
            if untrusted:
                raise ApiError(
                    f"the certificate of {self.place.url} is not accepted ({untrusted}): give --ca-file with its "
                    "authority, or --fingerprint with its SHA-256 from the admin's log",
                    exit_code=exits.NO_PERMISSION,
                ) from error
            raise ApiError(
                f"the API at {self.place.url} does not answer ({type(error).__name__}): "
                "is it running? `doai up` starts it",
                exit_code=exits.UNAVAILABLE,
            ) from error
        if response.is_success:
            return response
        raise _problem(response)

    def url(self, path: str, **query: object) -> str:
        """Return the address at which a person sees a result; what is None is left out.

        It is a page of the dashboard; of what no page shows just so, that of the API.
        """
        wanted = {key: value for key, value in query.items() if value is not None}
        page, filters = page_of(path, wanted) or (f"/api/v1{path}", wanted)
        given = urlencode(filters)
        return f"{self.place.url}{page}{'?' if given else ''}{given}"


def _problem(response: httpx.Response) -> ApiError:
    status = response.status_code
    exit_code = _EXITS.get(status, exits.NOT_PASSED)
    try:
        problem = response.json()
        sentence = _for_people(str(problem.get("detail") or problem["title"]))
        details = [_for_people(str(detail)) for detail in problem.get("details") or []]
    except (ValueError, KeyError, AttributeError):
        return ApiError(
            f"the API answered {status} without a reason: is {response.request.url} a doai API?",
            exit_code=exit_code,
            status=status,
        )
    return ApiError(sentence, exit_code=exit_code, details=details, status=status)


def _for_people(sentence: str) -> str:
    """Return a sentence of the API with commands in the place of requests."""

    def commands(found: re.Match[str]) -> str:
        lists = [found["first"], *re.findall(r"/([a-z-]+)", found["more"])]
        if not all(name in _COMMANDS for name in lists):
            return found[0]
        words = ", ".join(f"`doai {_COMMANDS[name]}`" for name in lists)
        return f"{words} {'lists' if len(lists) == 1 else 'list'} what there is"

    return _LISTED.sub(commands, sentence)
