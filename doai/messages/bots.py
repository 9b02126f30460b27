"""What bots and the broker say to each other: registration, subscriptions, events, samples, tasks (step 14).

A bot says HELLO, then the command bot.register, then SUBSCRIBE for each of its subscriptions. Every process
(name/instance) does so; those of one name share the work.
"""

from __future__ import annotations

import enum
from typing import Any, Final

import msgspec

from doai.envelope import Message
from doai.errors import Failure
from doai.ids import Token
from doai.states import Outcome

REGISTER_BOT: Final = "bot.register"
CONFIGURE_BOT: Final = "bot.configure"
SET_BOT_STATUS: Final = "bot.set_status"
RESET_SUBSCRIPTION: Final = "bot.reset"
END_BOT_TASK: Final = "bot.end_task"


class BotStatus(enum.Enum):
    """What an operator wants of a bot."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    """It is given no events, samples and tasks; its cursors stay where they are."""
    DEPRECATED = "deprecated"
    """It works on, and whoever looks at it is told to use another."""


class Subscription(Message, frozen=True, kw_only=True):
    """What a bot wants to hear of; known by its name within the bot, and its cursor outlives every process."""

    name: str
    topics: list[str] = []
    """Patterns of event types, any of which matches: ``*`` stands for one word, a last ``**`` for any rest."""
    samples: list[str] = []
    """The same of topics of samples, such as ``node.host``."""
    every_s: float = 0.0
    """How often devices are to be read for it, where it wants ``device.health``; 0 = as is usual."""
    every_setting: str = ""
    """Field of the configuration, a text such as ``30s``, that wins over `every_s` where an operator has set it."""
    at_once: int = 0
    """Devices that a node is to read at once for it, at most; a `max_concurrent` that an operator has set wins."""
    from_beginning: bool = False
    """A subscription that is new begins with the oldest event of the log instead of the next one."""


class RegisterBot(Message, frozen=True, kw_only=True):
    """A process of a bot tells what it is; each process does, after every WELCOME. Answer: BotSettings.

    A bot can register only under the name that its key proves. What the newest process says holds for the bot;
    a subscription that is not named any more ends, and its cursor with it.
    """

    name: str
    title: str = ""
    type: str = "custom"
    """Word that groups bots, such as ``health`` or ``custom``."""
    version: str = ""
    entry_point: str = ""
    """From what it is started: a package, a file, a name."""
    capabilities: list[str] = []
    config_schema: dict[str, Any] = {}
    """JSON Schema of its configuration; empty = it takes none."""
    tags: list[str] = []
    subscriptions: list[Subscription] = []
    task_kinds: list[str] = []
    """Kinds of tasks that this process takes; it holds at most its sample's `slots` of them at once."""
    replaces: str = ""
    """Instance of the process that had the same folder before and is known to have ended, since its lock is free:
    what it held goes to others at once."""


class BotSettings(Message, frozen=True, kw_only=True):
    """What the broker wants of a bot: answer to RegisterBot, and body of SETTINGS whenever it changes."""

    name: str
    status: BotStatus
    config: dict[str, Any] = {}
    """As an operator set it; what is not named has the default of the schema."""
    revision: int = 0
    """Grows with every change of status or configuration."""


class ConfigureBot(Message, frozen=True, kw_only=True):
    """Set the configuration of a bot as a whole; it must fit the declared schema. Answer: BotSettings."""

    name: str
    config: dict[str, Any]


class SetBotStatus(Message, frozen=True, kw_only=True):
    """Say what is wanted of a bot. Answer: BotSettings."""

    name: str
    status: BotStatus
    reason: str = ""


class ResetSubscription(Message, frozen=True, kw_only=True):
    """Begin a subscription anew: exactly one of the three is given. Answer: SubscriptionReset.

    What its processes hold of it is theirs to finish, and no ack of it counts any more.
    """

    name: str
    """Of the bot."""
    subscription: str
    position: int | None = None
    """The next event is the first after this position; 0 = the oldest there is."""
    time_ms: int | None = None
    """The next event is the first recorded at or after this time, ms since 1970."""
    to_end: bool = False
    """What has happened until now is passed over."""


class SubscriptionReset(Message, frozen=True, kw_only=True):
    """Answer to ResetSubscription."""

    name: str
    subscription: str
    position: int
    """Its cursor now."""
    before: int
    """Its cursor before."""


class Subscribe(Message, frozen=True, kw_only=True):
    """Body of SUBSCRIBE: give this process events of a registered subscription. Answered by SUBSCRIBED.

    Credit is absolute, counted from this frame on, so that a process which hangs holds nothing up.
    """

    channel: int
    """From 1 on, chosen by the bot, another for each subscription: the header of EVENTS and SAMPLES has it."""
    subscription: str
    credit_events: int
    """So many events may be given over this connection."""
    credit_bytes: int
    """Bytes of envelopes likewise; one event is always given when the process holds none."""
    follows: list[str] = []
    """Patterns of event types, in place of a registered subscription: this connection is given what happens from
    now on. There is no cursor, and what was not done when the connection ends is not given again."""


class Subscribed(Message, frozen=True, kw_only=True):
    """Body of SUBSCRIBED: answer to SUBSCRIBE, or said without being asked (``again``)."""

    channel: int
    subscription: str
    position: int = 0
    """All that matches at or below is done, but for what is given again."""
    problem: str = ""
    """Why nothing will be given, one sentence; empty = it will."""
    again: bool = False
    """No answer: what this channel has is not known any more. It is told until SUBSCRIBE comes again."""


class LoggedEvent(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One event of the log, as it is there."""

    position: int
    envelope: msgspec.Raw
    """msgpack of doai.envelope.Envelope."""


class Events(msgspec.Struct, frozen=True, array_like=True):
    """Body of EVENTS, on the channel of its header: of one subject always in the order of the log, but for one that
    a person gives again.

    The header's `credit_seq` is the number of events given on this channel before this frame: where it is another
    than were received, a frame was lost, and SUBSCRIBE begins the channel anew.

    A subject belongs to one process while that process holds an event of it: handle those of one subject one after
    the other. May be empty: then it only tells how far the log was looked through.
    """

    events: list[LoggedEvent]
    position: int
    """Up to here the log was looked through for this subscription."""


class FailedEvent(msgspec.Struct, frozen=True, array_like=True):
    """An event that the bot gives up: it becomes a dead letter, and counts as done."""

    position: int
    code: str
    message: str
    """The last error, as a person reads it."""
    attempts: int


class Cursor(Message, frozen=True, kw_only=True):
    """Body of CURSOR: what was handled of a channel, and more credit. Send many at once, and after the handler.

    Events that are not told done are given to another process when this one leaves, or to the next connection.
    """

    channel: int
    done: list[int] = []
    """Positions of events that were handled. Of one subject in the order in which they were given."""
    failed: list[FailedEvent] = []
    """Likewise, of events that are given up."""
    credit_events: int = 0
    """Absolute, since SUBSCRIBE; never less than before."""
    credit_bytes: int = 0
    told: int = 0
    """Events told done or given up on this channel in all, with this frame; 0 = it is not counted. Where the broker
    has another number, a frame was lost: it answers SUBSCRIBED with a problem, and SUBSCRIBE begins anew."""
    samples_taken: int = 0
    """SAMPLES frames of this channel that were handled, since SUBSCRIBE: the next one comes after it."""


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """The newest sample of a subject; those before it are gone."""

    topic: str
    subject: str
    received_at_ms: int
    payload: msgspec.Raw
    """msgpack by topic; of ``node.host`` a doai.messages.link.HostSample."""


class Samples(msgspec.Struct, frozen=True, array_like=True):
    """Body of SAMPLES, on the channel of its header: one a subject and topic. One frame is under way at a time."""

    samples: list[Sample]


class BotTask(Message, frozen=True, kw_only=True):
    """One attempt of a task for a bot process. Handlers are idempotent by `task_id`."""

    task_id: str
    run_id: str
    kind: str
    token: Token
    attempt: int
    params: dict[str, Any]
    trace_id: str
    timeout_s: float
    lease_s: float
    """A heartbeat must list the token at least so often, or the task goes to another process."""
    created_at_ms: int = 0


class BotTasks(msgspec.Struct, frozen=True, array_like=True):
    """Body of TASKS: take these. They are idempotent by (task, token); CANCEL and RELEASE name them so."""

    tasks: list[BotTask]


class EndBotTask(Message, frozen=True, kw_only=True):
    """What came of a task of a bot. Answer: BotTaskEnded. Repeat it, under its key, until it is answered."""

    task_id: str
    token: Token
    outcome: Outcome
    """passed, failed, cancelled or unknown."""
    outputs: dict[str, Any] = {}
    failure: Failure | None = None
    """Of what failed."""


class BotTaskEnded(Message, frozen=True, kw_only=True):
    """Answer to EndBotTask."""

    task_id: str
    taken: bool
    """Whether this is what came of the attempt; if not, another process has the task or it has ended."""
