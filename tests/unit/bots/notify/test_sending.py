"""Messages over real sockets of this machine: signed webhooks, letters, and what goes wrong with each."""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import subprocess
import sys
from collections.abc import Iterator

import msgspec
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from doai.bots.notify.channels import About, Channel
from doai.bots.notify.notices import Notice, Phase
from doai.bots.notify.outlet import Message
from doai.bots.notify.sending import NotSent, Senders, WebhookBody, hidden, send_by_service
from doai.bots.notify.signature import headers_of
from doai.bots.notify.words import LANGUAGES, Text, plain, text_of
from doai.errors import UserError
from doai.incidents import IncidentType, Severity
from tests.unit.bots.notify.receivers import HANG, hook, inbox

KEY = "whsec_" + base64.b64encode(b"k" * 32).decode()
NOW_MS = 1_767_225_600_000
WITHIN_S = 90.0
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
"""Of a module that Apprise imports with its plug-ins."""


def message(text: str = "it is not heard", *, subject: str = "node/n1", kind: str = "NODE_DOWN") -> Message:
    notice = Notice(
        about=About.INCIDENTS,
        phase=Phase.OPENED,
        severity=Severity.HIGH,
        thing=f"incident/{kind}/{subject}",
        subject=subject,
        kind=kind,
        text=text,
        at_ms=NOW_MS,
        id="i1",
    )
    return Message(
        message_id="msg_1",
        made_at_ms=NOW_MS,
        count=1,
        notices=[notice],
        numbers={"incidents/opened": 1},
        worst=Severity.HIGH,
    )


async def send(url: str, *, kind: str = "webhook", key: str = KEY, text: str = "it is not heard") -> None:
    values = {"${secret.url}": url, "${secret.key}": key}

    async def secret(name: str) -> str:
        return values[name]

    channel = msgspec.convert(
        {"name": "ops", "kind": kind, "url": "${secret.url}", "key": "${secret.key}"}, Channel
    )
    sent = message(text)
    with trio.fail_after(WITHIN_S):
        await Senders().send(channel, sent, text_of(sent, "ops", "en"), secret, NOW_MS)


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """What a process that logs everything would write; caplog also takes what loggers keep to themselves."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield lines
    root.removeHandler(handler)
    root.setLevel(level)


def test_a_webhook_is_signed_over_its_id_its_time_and_its_body() -> None:
    with hook() as received:
        trio.run(send, received.url)
        [(headers, body)] = received.requests
    signed = b"msg_1." + headers["webhook-timestamp"].encode() + b"." + body
    digest = base64.b64encode(hmac.new(b"k" * 32, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{digest}"
    assert headers["webhook-id"] == "msg_1"
    assert headers["webhook-timestamp"] == str(NOW_MS // 1000)
    told = msgspec.json.decode(body, type=WebhookBody)
    assert (told.id, told.channel, told.count) == ("msg_1", "ops", 1)
    assert told.notices[0].subject == "node/n1"


@pytest.mark.parametrize(
    ("status", "headers", "after_s", "permanent", "said"),
    [
        (500, {}, 0.0, False, "HTTP 500"),
        (429, {"retry-after": "120"}, 120.0, False, "HTTP 429"),
        (503, {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0, False, "HTTP 503"),
        (302, {"location": "http://127.0.0.1:1/elsewhere"}, 0.0, False, "HTTP 302"),
        (410, {}, 0.0, True, "HTTP 410"),
    ],
)
def test_what_a_receiver_answers_instead_of_taking_it(
    status: int, headers: dict[str, str], after_s: float, permanent: bool, said: str
) -> None:
    with hook() as received:
        received.answers.append((status, headers))
        with pytest.raises(NotSent) as caught:
            trio.run(send, received.url)
        assert len(received.requests) == 1
    assert (caught.value.after_s, caught.value.permanent) == (after_s, permanent)
    assert said in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)


def test_a_receiver_that_hangs_is_left_alone_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("doai.bots.notify.sending.TRY_S", 0.3)
    with hook() as received:
        received.answers.append((HANG, {}))
        with pytest.raises(NotSent, match=r"did not answer within|does not answer"):
            trio.run(send, received.url)
        received.over.set()


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/in", "nonsense", "http://[::1", "file:///etc/passwd", "http://"]
)
def test_an_address_where_nobody_answers(url: str) -> None:
    with pytest.raises(NotSent, match="does not answer") as caught:
        trio.run(send, url)
    assert url not in str(caught.value)


@pytest.mark.parametrize("key", ["k3y", "whsec_not base64!", "whsec_" + base64.b64encode(b"short").decode()])
def test_a_key_that_can_be_none_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(UserError) as caught:
        headers_of(key, "msg_1", 1, b"{}")
    assert key not in str(caught.value)
    with hook() as received, pytest.raises(NotSent, match="key"):
        trio.run(lambda: send(received.url, key=key))
    assert received.requests == []


def test_a_letter_arrives_with_its_title_and_text() -> None:
    with inbox() as received:
        problem = send_by_service(
            f"mailto://{received.address}?from=doai@example.com&to=ops@example.com&mode=insecure",
            text_of(message("<script>alert(1)</script>"), "ops", "ko"),
        )
        assert problem == ""
        [letter] = received.letters
    assert letter["subject"].startswith("[doai] 장애 (높음) 노드의 소식이 끊김, node/n1")
    assert letter["to"] == "ops@example.com"
    content = letter.get_body(("html",))
    assert content is None or "<script>" not in content.get_content()


def test_a_title_with_line_breaks_makes_no_header() -> None:
    text = text_of(message("x", subject="node/n1\r\nBcc: victim@example.com\r\n\r\nhello"), "ops", "en")
    assert "\n" not in text.title
    with inbox() as received:
        to = f"mailto://{received.address}?from=doai@example.com&to=ops@example.com&mode=insecure"
        assert send_by_service(to, text) == ""
        [letter] = received.letters
    assert letter["bcc"] is None


def test_a_server_that_refuses_a_letter_is_named_without_the_address(logged: list[str]) -> None:
    with inbox() as received:
        received.refusal = "550 no such user ops at s3cr3t-host"
        problem = send_by_service(
            f"mailto://joe:s3cr3t-pass@{received.address}?from=doai@example.com&to=ops@example.com&mode=insecure",
            Text("title", "body"),
        )
    assert problem.startswith("the service did not take it")
    assert "s3cr3t-pass" not in problem + "".join(logged)
    assert "127.0.0.1" not in problem + "".join(logged)


@pytest.mark.parametrize("url", ["nosuch://token-of-mine@host", "garbage", "", "slack://", "mailto://", "\x00://x"])
def test_an_address_that_no_service_has_is_refused_and_not_shown(
    url: str, logged: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    problem = send_by_service(url, Text("title", "body"))
    assert "no address that Apprise knows" in problem
    assert "token-of-mine" not in problem + "".join([*logged, *capfd.readouterr()])


def test_a_service_in_a_thread_says_what_failed() -> None:
    with hook() as received:
        received.answers.append((500, {}))
        with pytest.raises(NotSent, match="500"):
            trio.run(lambda: send(received.url.replace("http", "json"), kind="service"))
        assert len(received.requests) == 1
        trio.run(lambda: send(received.url.replace("http", "json"), kind="service"))
        assert len(received.requests) == 2


_TOKEN = st.text(st.sampled_from("abcXYZ0189%-_ ~"), min_size=3, max_size=20).filter(
    lambda text: text.strip() == text
)


@given(_TOKEN, _TOKEN, st.sampled_from(["{} refused", "POST /{}/x: 401", "'{}'"]))
@settings(max_examples=60, deadline=None)
def test_no_part_of_an_address_is_in_what_a_service_said(user: str, word: str, said: str) -> None:
    shown = hidden(said.format(word), f"svc://{user}:{word}@h.example/{word}?k={word}")
    assert word not in shown or word in said


def test_hostile_text_calls_nobody_and_is_no_markup() -> None:
    hostile = (
        "@everyone <!channel> [x](http://evil.example) <b>bold</b> ![p](javascript:x)\r\n\u202egnp.exe\x00 <@U1>"
    )
    shown = plain(hostile)
    for part in ("@everyone", "<!channel", "](", "://", "<b>", "</b>", "![", "<@U1", "\r", "\n", "\u202e", "\x00"):
        assert part not in shown
    assert plain("node/n1: 3 of 4 < 5, a@b.example, hello@1") == "node/n1: 3 of 4 < 5, a@b.example, hello@1"


@given(st.text(max_size=200), st.text(max_size=50), st.sampled_from(list(LANGUAGES)))
@settings(max_examples=60, deadline=None)
def test_whatever_is_said_the_title_is_one_short_line(text: str, subject: str, language: str) -> None:
    told = text_of(message(text, subject=subject, kind=text[:20]), "ops", language)
    assert len(told.title) <= 150
    assert len(told.title.splitlines()) == 1
    told.title.encode()
    told.body.encode()


def test_every_kind_of_incident_has_its_korean_words() -> None:
    assert set(LANGUAGES["ko"].types) == set(IncidentType.__members__)


def test_apprise_is_not_imported_before_it_is_needed() -> None:
    code = "import doai.bots.notify, sys; print('apprise' in sys.modules, 'httpx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False False\n"
