"""Every error as problem+json (RFC 9457), nothing of the inside in it (all steps).

Members: ``type``, ``title``, ``status``, ``detail`` (one sentence for a person), ``code`` (stable, for
programs), ``fault`` (user, peer, device, ours), ``details`` (more sentences), and ``mistakes`` of a workflow.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from doai.errors import DoaiError, Fault, StoreUnavailable
from doai.messages.commands import Problem
from doai.workflow.mistakes import MistakesError

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 2
"""After a 503: a broker that starts again needs about as long."""

_log: Final = logging.getLogger(__name__)

_STATUS_OF_CODE: Final[Mapping[str, int]] = {
    "bad_request": 400,
    "bad_artifact_path": 400,
    "bad_file_name": 400,
    "bad_limit": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_allowed": 403,
    "not_quarantined": 409,
    "not_held": 409,
    "not_retryable": 409,
    "held_for_another": 409,
    "token_unknown": 403,
    "token_used": 403,
    "token_expired": 403,
    "token_revoked": 403,
    "bad_enrolment": 409,
    "not_found": 404,
    "not_open": 404,
    "campaign_exists": 409,
    "campaign_state": 409,
    "campaign_ended": 409,
    "campaign_busy": 409,
    "conflict": 409,
    "key_reused": 409,
    "file_exists": 409,
    "file_needed": 409,
    "picture_not_stored": 409,
    "not_a_picture": 409,
    "nothing_to_accept": 409,
    "workflow_archived": 409,
    "last_key": 409,
    "last_token": 409,
    "too_late": 409,
    "nothing_to_retry": 409,
    "length_required": 411,
    "too_large": 413,
    "broker_unavailable": 503,
    "busy": 503,
    "disk_full": 507,
    "disk_low": 507,
}
_STATUS_OF_FAULT: Final[Mapping[Fault, int]] = {
    Fault.USER: 422,
    Fault.PEER: 502,
    Fault.DEVICE: 502,
    Fault.OURS: 500,
}
_CODE_OF_STATUS: Final[Mapping[int, str]] = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    413: "too_large",
    415: "unsupported_media_type",
    429: "too_many_requests",
    503: "unavailable",
}


class ProblemDocument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every error answers."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    fault: str
    details: list[str] = []
    mistakes: list[dict[str, Any]] = []
    """Of a workflow: line and column (from 1), path, message."""


class CommandRefused(DoaiError):
    """The broker refused a command; carries what it said."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message, code=problem.code)
        self.fault = problem.fault
        self.details = problem.details


def status_of(code: str, fault: Fault) -> int:
    """Return the HTTP status for a refusal."""
    if code in _STATUS_OF_CODE:
        return _STATUS_OF_CODE[code]
    return 404 if code.endswith("_not_found") else _STATUS_OF_FAULT[fault]


def problem_response(
    status: int,
    code: str,
    fault: Fault,
    detail: str,
    *,
    details: list[str] | None = None,
    mistakes: list[dict[str, Any]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response[ProblemDocument]:
    """Return an error as a response."""
    document = ProblemDocument(
        type=f"urn:doai:problem:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        code=code,
        fault=fault.value,
        details=details or [],
        mistakes=mistakes or [],
    )
    given = dict(headers or {})
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        given.setdefault("Retry-After", str(RETRY_AFTER_S))
    if status == HTTPStatus.UNAUTHORIZED:
        given.setdefault("WWW-Authenticate", 'Bearer realm="doai"')
    return Response(document, status_code=status, media_type=MEDIA_TYPE, headers=given)


def answer_doai_error(request: Request[Any, Any, Any], error: DoaiError) -> Response[ProblemDocument]:
    """Errors raised on purpose: their sentence is for whoever asked."""
    if isinstance(error, StoreUnavailable):
        return problem_response(503, error.code, error.fault, str(error))
    status = status_of(error.code, error.fault)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, CommandRefused):
        return answer_unforeseen(request, error)
    mistakes = list(error.mistakes) if isinstance(error, MistakesError) else []
    return problem_response(
        status,
        error.code,
        error.fault,
        str(error),
        details=list(getattr(error, "details", [])),
        mistakes=[msgspec.to_builtins(mistake) for mistake in mistakes],
    )


def answer_http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[ProblemDocument]:
    """What the framework found wrong with a request before a handler saw it."""
    status = error.status_code
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.SERVICE_UNAVAILABLE:
        return answer_unforeseen(request, error)
    path = request.url.path[:200]
    sentences = {
        404: f"there is nothing at {path}: GET /schema lists what there is",
        405: f"{request.method} is not possible at {path}: GET /schema lists what is",
        413: "the body is too large: see GET /schema for what this operation takes",
    }
    details = _details(error.extra)
    detail = sentences.get(status) or (f"the request can not be understood: {details[0]}" if details else "")
    headers = {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"}
    return problem_response(
        status,
        _CODE_OF_STATUS.get(status, "bad_request"),
        Fault.USER,
        detail or f"the request can not be understood: {error.detail}",
        details=details,
        headers=headers,
    )


def answer_unforeseen(request: Request[Any, Any, Any], error: Exception) -> Response[ProblemDocument]:
    """A fault of ours: the log has it, the answer only says so."""
    _log.error("%s %s failed", request.method, request.url.path[:200], exc_info=error)
    return problem_response(
        500, "internal_error", Fault.OURS, "the admin failed at this request: its log says why, please report it"
    )


def _details(extra: object) -> list[str]:
    found = []
    for item in extra if isinstance(extra, list) else []:
        if isinstance(item, dict) and "message" in item:
            place = item.get("key") or item.get("source") or ""
            found.append(f"{place}: {item['message']}" if place else str(item["message"]))
    return found
