"""Steps of what is beside the phone, as data: a script of the node's host, a request over HTTP (steps 2 and 8)."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from doai.workflow.step_type import Arguments, Outputs, StepType, Text, on_device


class Run(Arguments, frozen=True, kw_only=True):
    """Run a script of the node's host for this device; it stands in a folder that the node's `host_scripts` allow.

    The script has ANDROID_SERIAL and ANDROID_ADB_SERVER_PORT in its environment, and in DOAI_FILES a folder: the
    files it leaves there become artifacts, as its output does.
    """

    script: Annotated[str, Meta(min_length=1, max_length=1024, pattern=r"^[^\x00\n]+$(?!\n)")]
    """Its path: absolute, or below one of the allowed folders."""
    args: Annotated[list[Text], Meta(max_length=100)] = []
    """Its arguments, one by one; no shell reads them. Everybody on the host can see them: secrets go to `input`."""
    input: Any = None
    """What the script finds on its standard input, as JSON; null = nothing."""
    exit_codes: Annotated[list[int], Meta(min_length=1, max_length=50)] = msgspec.field(default_factory=lambda: [0])
    """Exit codes that count as passed. Of the others 64 is class user, 69 device, 75 infrastructure, 77 auth, and
    the rest app."""


class RunOutputs(Outputs, frozen=True, kw_only=True):
    exit_code: int
    stdout: str
    """The end of it; all of it is an artifact."""
    stderr: str
    json: Any
    """What its output says, when all of it is JSON; else null."""
    files: list[str]
    """Paths of the artifacts: its output, then the files it left, by name."""
    stopped: list[str]
    """Processes that it had begun, that outlived it and were stopped, by name."""


class Request(Arguments, frozen=True, kw_only=True):
    """Send a request over HTTP from the node, and wait for the answer. No redirect is followed."""

    url: Annotated[str, Meta(pattern=r"^https?://[^\s/?#]+[^\s]*$(?!\n)", max_length=4096)]
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    headers: Annotated[dict[str, Text], Meta(max_length=50)] = {}
    json: Any | msgspec.UnsetType = msgspec.UNSET
    """The body, as JSON."""
    body: Text | None = None
    """The body, as text; instead of `json`."""
    statuses: Annotated[list[Annotated[int, Meta(ge=100, le=599)]], Meta(max_length=50)] = []
    """Statuses that count as passed; any of 200-299 unless said."""


class RequestOutputs(Outputs, frozen=True, kw_only=True):
    status: int
    text: str
    json: Any
    """What the answer says, when it is JSON; else null."""
    elapsed_ms: int


HOST_STEPS: Final = (
    on_device("host.run", Run, RunOutputs, idempotent=False),
    StepType(name="http.request", arguments=Request, outputs=RequestOutputs, on_device=False, idempotent=False),
)
