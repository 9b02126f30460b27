"""The workflow language as data: what a recipe may say, field by field (steps 2 and 8).

These Structs are what is stored (`doai.workflow.model`) and what the schema for editors is made from
(`doai.workflow.schema`). Durations stay text here; `doai.workflow.resolve` turns them into seconds.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, field

from doai.limits import ATTEMPTS, RETRY_FACTOR, STEPS_MAX
from doai.workflow.duration import DURATION_CHARS_MAX, DURATION_PATTERN

NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9._-]{0,62}$(?!\n)"
"""Of a workflow: as `doai.ids.is_name`. In Python ``$`` also matches before a last line break: ``(?!\\n)``."""
STEP_ID_PATTERN: Final = r"^[A-Za-z][A-Za-z0-9_-]{0,62}$(?!\n)"
WORD_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_]{0,62}$(?!\n)"
"""Of a parameter and of an output: a name that conditions can use as it is."""
SDK_PATTERN: Final = r"^\s*(>=|<=|!=|==|>|<|=)?\s*[0-9]{1,3}\s*(,\s*(>=|<=|!=|==|>|<|=)?\s*[0-9]{1,3}\s*)*$(?!\n)"
EXPRESSION_CHARS_MAX: Final = 1024

Duration = Annotated[str, Meta(pattern=DURATION_PATTERN, max_length=DURATION_CHARS_MAX)]
Name = Annotated[str, Meta(pattern=NAME_PATTERN)]
StepId = Annotated[str, Meta(pattern=STEP_ID_PATTERN)]
Word = Annotated[str, Meta(pattern=WORD_PATTERN)]
Expression = Annotated[str, Meta(min_length=1, max_length=EXPRESSION_CHARS_MAX)]
Words = Annotated[str, Meta(max_length=4096)]
RetryClass = Literal["device", "infrastructure", "app", "rate_limit", "timeout", "unknown"]
"""The error classes that may be tried again: `user`, `auth` and `cancelled` never are."""


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of what a recipe is made of: an unknown field is a mistake."""


class Translations(Part, frozen=True, kw_only=True):
    """A text for people in several languages."""

    en: Words
    ko: Words | None = None


class Parameter(Part, frozen=True, kw_only=True):
    """One parameter of the workflow. Without a default it must be given, unless it is nullable."""

    type: Literal["string", "integer", "number", "boolean", "list"]
    title: Words | Translations | None = None
    default: Any | msgspec.UnsetType = msgspec.UNSET
    nullable: bool = False
    """null is a value, and the default when there is no other."""
    pattern: Annotated[str, Meta(max_length=512)] | None = None
    """Strings: a regular expression (RE2) found in the value; anchor it with ^ and $."""
    minimum: int | float | None = None
    """Integers and numbers."""
    maximum: int | float | None = None
    enum: Annotated[list[Any], Meta(min_length=1, max_length=1000)] | None = None
    """The only values allowed."""
    min_length: Annotated[int, Meta(ge=0)] | None = None
    """Strings: characters; lists: items."""
    max_length: Annotated[int, Meta(ge=0)] | None = None
    items: Literal["string", "integer", "number", "boolean"] | None = None
    """Lists: the type of each item; string unless said."""


class Requires(Part, frozen=True, kw_only=True):
    """Which devices are eligible: all given conditions hold."""

    sdk: Annotated[str, Meta(pattern=SDK_PATTERN)] | None = None
    """Comparison with the Android API level: ``>=28``, ``>=28,<34``."""
    tags: list[str] = []
    """The device has every one of these."""
    models: list[str] = []
    """The device's model is one of these."""


class Retry(Part, frozen=True, kw_only=True, omit_defaults=False):
    """How often something is tried, and after which failures."""

    attempts: Annotated[int, Meta(ge=1, le=10)] = ATTEMPTS
    """Tries in all: 1 = no retry."""
    backoff: Duration = "2s"
    """Before the second try."""
    factor: Annotated[float, Meta(ge=1, le=10)] = RETRY_FACTOR
    jitter: Literal["full", "none"] = "full"
    on: list[RetryClass] | None = None
    """Error classes that are tried again: device, infrastructure and rate_limit for the task; for a step
    also app and timeout."""


class Defaults(Part, frozen=True, kw_only=True):
    """What holds for every step that does not say otherwise."""

    timeout: Duration | None = None
    """90s unless said. A step type with a time of its own (artifact.upload: 30s) keeps that."""
    retry: Retry | None = None


class Range(Part, frozen=True, kw_only=True):
    """From and to, both allowed."""

    minimum: Duration | None = None
    maximum: Duration | None = None


class Bounds(Part, frozen=True, kw_only=True):
    """What a run may override of a step, and how far."""

    timeout: Range


class Step(Part, frozen=True, kw_only=True):
    """One action."""

    id: StepId = ""
    """Made up from its place (``step-3``, ``always-1``) when it is not given."""
    use: str
    """Name of the step type, such as ``ui.tap``."""
    with_: dict[str, Any] = field(default={}, name="with")
    """Arguments; text may refer to ``${params.x}``, ``${steps.id.field}``, ``${device.serial}`` ..."""
    if_: Expression | None = field(default=None, name="if")
    """A CEL condition: the step is skipped when it is false."""
    expect: Expression | None = None
    """A CEL condition on the step's outputs (by name, or ``outputs.name``): false = failed, class app."""
    timeout: Duration | None = None
    retry: Retry | None = None
    optional: bool = False
    """Its failure does not fail the task."""
    label: Words | Translations | None = None
    idempotent: bool | None = None
    """May it be repeated when its end was not observed; unless said, as its step type says."""
    sensitive: bool = False
    """No pictures are taken while it runs."""
    needs: list[StepId] | None = None
    """The steps it waits for; unless said, the step before it."""
    until: Expression | None = None
    """Of flow.until: a CEL condition, asked after every round; true = the step has passed."""
    steps: Annotated[list[Step], Meta(max_length=STEPS_MAX)] = []
    """Of flow.repeat and flow.until: what each round does, in this order; ``${round.number}`` counts from 1."""


Steps = Annotated[list[Step], Meta(max_length=STEPS_MAX)]


class Workflow(Part, frozen=True, kw_only=True):
    """A recipe."""

    name: Name = field(name="workflow")
    title: Words | Translations | None = None
    description: Words | Translations | None = None
    params: dict[Word, Parameter] = {}
    content_id: Annotated[str, Meta(min_length=1, max_length=512)] | None = None
    """First part of the path of its artifacts; the workflow's name unless said. May use ``${params.x}``."""
    requires: Requires = Requires()
    timeout: Duration | None = None
    """Of the whole task; 10m unless said."""
    retry: Retry | None = None
    """Of the whole task; 3 attempts unless said."""
    defaults: Defaults = Defaults()
    bounds: dict[StepId, Bounds] = {}
    steps: Annotated[list[Step], Meta(min_length=1, max_length=STEPS_MAX)]
    on_failure: Steps = []
    """After a failure, before `always`: a screenshot, a log."""
    always: Steps = []
    """After everything else, whatever the outcome."""
    called: dict[str, Workflow] = {}
    """The workflows it calls, by ``name@version``, and those that they call: filled in when a run is made."""
    outputs: dict[Word, Any] = {}
    """What the task tells: values that refer to outputs of steps; null when that step did not run."""


def text_of(text: str | Translations | None, language: str = "en", otherwise: str = "") -> str:
    """Return a text for people in the language, else in English, else `otherwise`."""
    if isinstance(text, Translations):
        return text.ko if language == "ko" and text.ko is not None else text.en
    return otherwise if text is None else text
