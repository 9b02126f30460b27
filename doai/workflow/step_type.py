"""What a step type is, and the kinds of values that arguments of steps are made of (steps 2 and 8).

Durations in arguments are strings such as ``500ms``, ``20s``, ``5m``; positions are pixels (540) or a share of the
screen ("50%").
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from doai.file_reference import FILE_REFERENCE_PATTERN, REFERENCE_CHARACTERS_MAX
from doai.limits import STEP_TIMEOUT_S
from doai.workflow.duration import DURATION_CHARS_MAX, DURATION_PATTERN


class Arguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of a step's arguments: an unknown name is a mistake of the recipe."""


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what a step tells later steps and the run."""


Package = Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+$(?!\n)", max_length=255)]
Text = Annotated[str, Meta(max_length=4096)]
Duration = Annotated[str, Meta(pattern=DURATION_PATTERN, max_length=DURATION_CHARS_MAX)]
Percent = Annotated[str, Meta(pattern=r"^[0-9]{1,3}(\.[0-9]+)?%$(?!\n)")]
Position = Annotated[int, Meta(ge=0, le=100_000)] | Percent
ArtifactName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$(?!\n)")]
FileReference = Annotated[
    str,
    Meta(pattern=FILE_REFERENCE_PATTERN, max_length=REFERENCE_CHARACTERS_MAX, extra={"reference": "file"}),
]
"""A file of the fleet's store, ``my-app@1.4``, or ``my-app`` for the newest version at the moment the run is made.

The broker finds it by this annotation and pins it to bytes then; the step gets them with ``context.file``. It may
refer to parameters and to the device (``apps/${device.model}``), never to outputs of steps or secrets.
"""

BaselineReference = Annotated[
    str,
    Meta(
        pattern=FILE_REFERENCE_PATTERN,
        max_length=REFERENCE_CHARACTERS_MAX,
        extra={"reference": "file", "may_be_missing": True},
    ),
]
"""A FileReference of which there may be no version yet when the run is made: the first run is what makes one."""


class Target(Arguments, frozen=True, kw_only=True):
    """Which element of the screen: all given conditions hold; `index` picks among several."""

    text: Text | None = None
    """The whole visible text."""
    text_matches: Text | None = None
    """A regular expression (RE2) found in the visible text."""
    id: Text | None = None
    """Resource id, whole (``com.app:id/ok``) or only its last part (``ok``)."""
    desc: Text | None = None
    """Content description."""
    class_name: Text | None = msgspec.field(default=None, name="class")
    below: Text | None = None
    """Only elements below the one with this text."""
    above: Text | None = None
    child_of: Text | None = None
    """Only elements inside the one with this resource id."""
    index: Annotated[int, Meta(ge=0, le=999)] = 0


class NoOutputs(Outputs, frozen=True, kw_only=True):
    """The step tells nothing."""


class StepType(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a step type without performing it."""

    name: str
    arguments: type[Arguments]
    outputs: type[Outputs]
    on_device: bool
    """It uses the device, so it is serial with others that do."""
    idempotent: bool
    """Doing it twice is as good as once, so that it may be repeated when its end was not observed."""
    timeout_s: float = STEP_TIMEOUT_S
    holds_device: bool = True
    """The device stays with its task until the step has ended; an upload or a report may end after that."""
    nests: bool = False
    """It is made of steps; the node's core does them, and it needs the device when they do."""
    takes_pictures: bool = False
    """Of the screen: never while a step runs that is `sensitive`."""
    provider: str = ""
    """Plug-in that performs it, ``name@digest``; empty = doai itself."""
    is_opaque: bool = False
    """Nothing is known of it but its name: its arguments and outputs are taken as they are."""
    files: tuple[str, ...] = ()
    """Stored files that every step of this type may ask for beside those its arguments name: names in which
    ``{workflow}`` and ``{step}`` stand for its place and ``*`` for what only the node knows, such as
    ``baseline/{workflow}/{step}/*``. Of all that match, the newest versions are pinned; there may be none."""


def on_device(
    name: str,
    arguments: type[Arguments],
    outputs: type[Outputs],
    *,
    idempotent: bool,
    timeout_s: float = STEP_TIMEOUT_S,
    takes_pictures: bool = False,
    files: tuple[str, ...] = (),
) -> StepType:
    """Return a step type that uses the device."""
    return StepType(
        name=name,
        arguments=arguments,
        outputs=outputs,
        on_device=True,
        idempotent=idempotent,
        timeout_s=timeout_s,
        takes_pictures=takes_pictures,
        files=files,
    )
