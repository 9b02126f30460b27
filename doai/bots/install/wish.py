"""What the install-bot is asked for: the parameters of a task of kind app.install (step 14)."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from doai.messages.commands import Targets

KIND: Final = "app.install"
REACH_S: Final = 300.0
"""A phone that restarts is back by then."""
SPARE_MB: Final = 200
"""Android asks its user to make room below some hundred megabytes."""

Permission = Annotated[
    str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+$(?!\n)", max_length=255)
]


class InstallApp(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Install one version of an app on phones, never over a newer one."""

    file: str
    """A stored application package, ``my-app@1.4``, or ``my-app`` for the newest version when the task begins."""
    targets: Targets
    """Phones, as a run names them."""
    package: str = ""
    """What must be in the file; empty = whatever is."""
    permissions: Annotated[list[Permission], Meta(max_length=64)] = []
    """To give after the installation, whole names."""
    grant_all: bool = False
    """Give every permission that the app asks for and a person would be asked for."""
    canary: Annotated[int, Meta(ge=1, le=10_000)] = 1
    """So many phones go first; the others when these have ended well enough."""
    wave: Annotated[int, Meta(ge=1, le=10_000)] = 10
    """So many phones are changed at once, at most."""
    stop_rate: Annotated[float, Meta(ge=0, lt=1)] = 0.2
    """When a larger share of the phones that were tried failed, it stops and what was changed is put back."""
    rollback: bool = True
    """False: stop, and leave phones as they are."""
    reach_s: Annotated[float, Meta(ge=1, le=3000)] = REACH_S
    """A phone that can not be looked at within this time is left out."""
    spare_mb: Annotated[int, Meta(ge=0, le=1_000_000)] = SPARE_MB
    """What a phone must have free beside the room for the app."""
