"""Which status and which words an error has."""

from __future__ import annotations

import pytest

from doai.admin.problems import problem_response, status_of
from doai.errors import Fault


@pytest.mark.parametrize(
    ("code", "fault", "status"),
    [
        ("bad_request", Fault.USER, 400),
        ("bad_parameters", Fault.USER, 422),
        ("not_found", Fault.USER, 404),
        ("workflow_not_found", Fault.USER, 404),
        ("key_reused", Fault.USER, 409),
        ("conflict", Fault.USER, 409),
        ("protocol_error", Fault.PEER, 502),
        ("device_offline", Fault.DEVICE, 502),
        ("internal_error", Fault.OURS, 500),
        ("broker_unavailable", Fault.OURS, 503),
        ("disk_full", Fault.OURS, 507),
    ],
)
def test_status_by_code_and_fault(code: str, fault: Fault, status: int) -> None:
    assert status_of(code, fault) == status


def test_who_is_asked_to_come_back_is_told_when_and_who_is_not_known_is_told_how() -> None:
    assert problem_response(503, "busy", Fault.OURS, "x").headers["Retry-After"] == "2"
    assert problem_response(401, "unauthorized", Fault.USER, "x").headers["WWW-Authenticate"].startswith("Bearer")
    assert "Retry-After" not in problem_response(500, "internal_error", Fault.OURS, "x").headers
