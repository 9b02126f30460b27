"""Who may do what: one table of actions and roles, for the API and for pages alike (steps 1 and 14).

An action is named by the least role that may do it, or by a name of its own where the answer is not so simple.
Every operation says with ``opt={"needs": ACTION}`` what it is; one that says nothing is for admins.
"""

from __future__ import annotations

import enum
from typing import Final

VIEWER: Final = "viewer"
OPERATOR: Final = "operator"
AUTHOR: Final = "author"
ADMIN: Final = "admin"
ROLES: Final = (VIEWER, OPERATOR, AUTHOR, ADMIN)

DISCARD: Final = "discard"
"""Throw away what waits: nothing brings it back."""


class Answer(enum.Enum):
    """What the table says."""

    ALLOW = "allow"
    APPROVAL = "approval"
    """Yes, after a first answer has told how many things it touches and that was confirmed."""
    DENY = "deny"


_YES, _ASK, _NO = Answer.ALLOW, Answer.APPROVAL, Answer.DENY
TABLE: Final[dict[str, dict[str, Answer]]] = {
    VIEWER: {VIEWER: _YES, OPERATOR: _YES, AUTHOR: _YES, ADMIN: _YES},
    OPERATOR: {VIEWER: _NO, OPERATOR: _YES, AUTHOR: _YES, ADMIN: _YES},
    DISCARD: {VIEWER: _NO, OPERATOR: _ASK, AUTHOR: _ASK, ADMIN: _ASK},
    AUTHOR: {VIEWER: _NO, OPERATOR: _NO, AUTHOR: _YES, ADMIN: _YES},
    ADMIN: {VIEWER: _NO, OPERATOR: _NO, AUTHOR: _NO, ADMIN: _YES},
}
"""Action -> role -> answer."""


def decide(action: str, role: str) -> Answer:
    """Return the answer; an action or a role that nobody knows is denied."""
    return TABLE.get(action, {}).get(role, Answer.DENY)


def least_role(action: str) -> str:
    """Return the least role that is not denied, for the sentence that refuses another one."""
    return next((role for role in ROLES if decide(action, role) is not Answer.DENY), ADMIN)
