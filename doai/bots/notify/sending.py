"""Puts one message on its way, by a service of Apprise or as a signed webhook, and says what came of it (step 14).

Neither an address nor a key is ever in an error: what is said of a failure is made of our own words, of status
codes, and of what Apprise says with every part of the address masked.
"""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import msgspec
import trio

from doai import __version__
from doai.bots.notify.channels import Channel
from doai.bots.notify.notices import Notice
from doai.bots.notify.outlet import Message
from doai.bots.notify.signature import headers_of
from doai.bots.notify.words import Text
from doai.errors import DoaiError, Fault, UserError
from doai.secret_reference import secret_of
from doai.tls import why_untrusted

if TYPE_CHECKING:
    import httpx

TRY_S: Final = 15.0
"""A receiver that has not answered a webhook by then is tried again."""
SERVICE_S: Final = 60.0
"""Apprise has time limits of its own for each step; this is for one that trickles."""
GONE: Final = 410
_PIECE: Final = re.compile(r"[/:@?&=,;]+")
_PART: Final = re.compile(r"[^A-Za-z0-9_.-]+")
_PART_CHARS_MIN: Final = 3
_PROBLEM_CHARS: Final = 200
Secret = Callable[[str], Awaitable[str]]
"""Returns the value of a secret by its name or a reference to it."""


class NotSent(DoaiError):
    """A message did not arrive, as far as is known."""

    fault = Fault.PEER
    code = "not_sent"

    def __init__(self, message: str, *, permanent: bool = False, after_s: float = 0.0) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.after_s = after_s


class WebhookBody(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a webhook carries, as JSON."""

    id: str
    """Of the message, the same at every try."""
    channel: str
    made_at_ms: int
    severity: str
    """The worst of all."""
    title: str
    body: str
    count: int
    """Things that it tells of."""
    numbers: dict[str, int]
    """Them by what they are about and what became of them."""
    notices: list[Notice]
    """The first of them, as data."""


class Senders:
    """The two ways out."""

    def __init__(self) -> None:
        self._threads: dict[str, trio.CapacityLimiter] = {}
        self._tls: ssl.SSLContext | None = None
        """Made once: the authorities of the host take 25 ms to read."""

    async def send(self, channel: Channel, message: Message, text: Text, secret: Secret, now_ms: int) -> None:
        """Return when the message has arrived. Raises NotSent, and SecretMissing."""
        url = await secret(channel.url) if secret_of(channel.url) else channel.url
        if channel.kind == "webhook":
            import httpx  # a bot without webhooks does not wait for it

            self._tls = self._tls or httpx.create_ssl_context(trust_env=False)
            await send_webhook(url, await secret(channel.key), body_of(channel, message, text), now_ms, self._tls)
            return
        # One thread a channel: one that hangs is not joined by others at each try.
        limiter = self._threads.setdefault(channel.name, trio.CapacityLimiter(1))
        with trio.move_on_after(SERVICE_S):
            problem = await trio.to_thread.run_sync(
                send_by_service, url, text, abandon_on_cancel=True, limiter=limiter
            )
            if problem:
                raise NotSent(problem)
            return
        raise NotSent(f"the service did not take it within {SERVICE_S:g} s")


def body_of(channel: Channel, message: Message, text: Text) -> WebhookBody:
    """Return what a webhook is sent."""
    return WebhookBody(
        id=message.message_id,
        channel=channel.name,
        made_at_ms=message.made_at_ms,
        severity=message.worst.value,
        title=text.title,
        body=text.body,
        count=message.count,
        numbers=message.numbers,
        notices=message.notices,
    )


async def send_webhook(url: str, key: str, body: WebhookBody, now_ms: int, tls: ssl.SSLContext) -> None:
    """POST a signed message; any 2xx acknowledges it. Raises NotSent."""
    import httpx  # a bot without webhooks does not wait for it

    data = msgspec.json.encode(body)
    try:
        headers = headers_of(key, body.id, now_ms // 1000, data)
    except UserError as error:
        raise NotSent(str(error)) from None
    headers |= {"content-type": "application/json", "user-agent": f"doai/{__version__}"}
    # trust_env: a proxy of the host, or a password in its .netrc, has no part in this. No redirects: where a signed
    # message goes is what the operator set.
    with trio.move_on_after(TRY_S):
        try:
            async with (
                httpx.AsyncClient(verify=tls, timeout=TRY_S, trust_env=False, follow_redirects=False) as client,
                client.stream("POST", url, content=data, headers=headers) as response,
            ):
                _check(response)
                return
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, ValueError) as error:
            why = why_untrusted(error) if isinstance(error, httpx.HTTPError) else None
            raise NotSent(f"the receiver does not answer ({why or type(error).__name__})") from None
    raise NotSent(f"the receiver did not answer within {TRY_S:g} s")


def _check(response: httpx.Response) -> None:
    status = response.status_code
    if 200 <= status < 300:
        return
    if status == GONE:
        raise NotSent("the receiver answered HTTP 410: it wants no more messages", permanent=True)
    raise NotSent(f"the receiver answered HTTP {status}", after_s=_after_s(response.headers))


def _after_s(headers: Mapping[str, str]) -> float:
    """Return the seconds for which a receiver asks to wait; 0 = it does not, or as a date, which a try is too."""
    text = headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0.0


def send_by_service(url: str, text: Text) -> str:
    """Send by Apprise, which blocks; return why it was not taken, empty when it was."""
    try:
        import apprise
    except ImportError:
        return "messages to services need Apprise, which is not installed: pip install 'doai[notify]'"
    _hush()
    service = apprise.Apprise()
    try:
        known = service.add(url)
    except Exception as error:
        # A plug-in that stumbles over an address; the words of its error may have parts of it.
        return f"Apprise can not use the address in the secret ({type(error).__name__})"
    if not known:
        return "the secret is no address that Apprise knows: see its list of services"
    result: Any = service.notify(
        title=text.title,
        body=text.body,
        body_format=apprise.NotifyFormat.TEXT,
        interpret_escapes=False,
        log_level=logging.WARNING,
    )
    if result:
        return ""
    said = "; ".join(" ".join(entry.message.split()) for entry in result.logs())
    return f"the service did not take it: {hidden(said, url)[:_PROBLEM_CHARS] or 'it gave no reason'}"


def _hush() -> None:
    """Apprise and what it sends with log addresses and payloads: they have keys of services in them."""
    for name in ("apprise", "urllib3", "requests"):
        logger = logging.getLogger(name)
        if logger.propagate:
            logger.addHandler(logging.NullHandler())
            logger.propagate = False


def hidden(said: str, url: str) -> str:
    """Return what a service said with all parts of its address as ***."""
    pieces = _PIECE.split(url.partition("://")[2])
    parts = {part for piece in pieces for part in (piece, unquote(piece), *_PART.split(unquote(piece)))}
    for part in sorted(parts, key=lambda part: (-len(part), part)):
        if len(part) >= _PART_CHARS_MIN:
            said = re.sub(re.escape(part), "***", said, flags=re.IGNORECASE)
    return said
