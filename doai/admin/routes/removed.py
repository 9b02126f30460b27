"""What is said of a task or run that is not there: retention removed it, or it never was (step 14)."""

from __future__ import annotations

from doai.admin.routes.parameters import not_found
from doai.admin.services import Services
from doai.errors import NotFoundError
from doai.moments import moment


async def missing(services: Services, kind: str, subject_id: str, where: str) -> NotFoundError:
    """Return the error for something that does not exist, or not any more."""
    at_ms = await services.janitor.reader.removed_at_ms(subject_id)
    if at_ms is None:
        return not_found(kind, subject_id, where)
    return NotFoundError(
        f"{subject_id[:40]} was removed by retention on {moment(at_ms)}, with its story: `doai usage` still counts "
        "it, and `doai retention` tells how long what is kept",
        code="removed",
    )
