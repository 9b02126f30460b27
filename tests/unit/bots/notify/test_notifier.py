"""notify-bot in a mesh: which events are told where, once, also after it was killed in the middle of sending."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock

from doai.bots.loading import load_bot
from doai.bots.notify.channels import Channel, NotifyConfig, problems_of
from doai.bots.notify.notifier import make_bot
from doai.bots.notify.outlet import Message
from doai.bots.notify.sending import NotSent, Secret, Senders
from doai.bots.notify.words import Text
from doai.bots.testing import Mesh, running
from doai.json_schema import schema_mistakes
from doai.messages.campaigns import CampaignMoved
from doai.messages.commands import CreateRun
from doai.messages.dead_letters import DeadLetterCreated
from doai.messages.events import RunCompleted
from doai.messages.incidents import IncidentChanged
from doai.notifications import NOTIFY_BOT, SEND_KIND, TEST_KIND
from doai.states import Outcome

OPS: dict[str, Any] = {"name": "ops", "url": "${secret.ops}"}
HOOK: dict[str, Any] = {
    "name": "hook",
    "kind": "webhook",
    "url": "https://h.example/in",
    "key": "${secret.hook-key}",
}
SECRETS = {"ops": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "hook-key": "k" * 32}


class Kept(Senders):
    """Keeps what is sent instead; a test says who fails, who hangs."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[str, Message, Text]] = []
        self.fails: dict[str, NotSent] = {}
        self.hangs: set[str] = set()
        self.begun: list[tuple[str, str]] = []

    async def send(self, channel: Channel, message: Message, text: Text, secret: Secret, now_ms: int) -> None:
        self.begun.append((channel.name, message.message_id))
        await secret(channel.url if channel.kind == "service" else channel.key)
        if channel.name in self.hangs:
            await trio.sleep_forever()
        if channel.name in self.fails:
            raise self.fails[channel.name]
        self.sent.append((channel.name, message, text))

    def titles(self, channel: str) -> list[str]:
        return [text.title for name, _, text in self.sent if name == channel]


def opened(number: int = 1, severity: str = "high") -> IncidentChanged:
    return IncidentChanged(
        incident_id=f"i{number}",
        incident_type="NODE_DOWN",
        about=f"node/n{number}",
        severity=severity,
        message=f"node n{number} is offline",
        affected=1,
    )


async def say(mesh: Mesh, number: int = 1, kind: str = "incident.opened", severity: str = "high") -> None:
    await mesh.event(kind, f"node/n{number}", opened(number, severity))


async def test_channels_tell_what_they_are_set_to_tell_in_their_language(autojump_clock: MockClock) -> None:
    senders = Kept()
    channels = [
        OPS,
        {**OPS, "name": "grave", "severity": "critical"},
        {**OPS, "name": "korean", "about": ["runs", "campaigns"], "language": "ko"},
    ]
    async with running(make_bot(senders), secrets=SECRETS, channels=channels) as mesh:
        await say(mesh)
        letter = DeadLetterCreated(
            letter_id="d1", kind="task", reason="failed", code="app_crashed", message="it died"
        )
        await mesh.event("deadletter.created", "task/t1", letter)
        await mesh.event("campaign.completed", "campaign/nightly", CampaignMoved(campaign_id="c1", name="nightly"))
        done = RunCompleted(run_id="r1", workflow="hello@1", outcome=Outcome.FAILED, counts={"failed": 2})
        await mesh.event("run.completed", "run/r1", done)
        own = RunCompleted(run_id="r2", workflow="notify.test@0", outcome=Outcome.PASSED, counts={})
        await mesh.event("run.completed", "run/r2", own)
        await mesh.advance(60)
        assert senders.titles("ops") == ["[doai] 3 notices: 1 incident, 1 dead letter, 1 campaign ended"]
        assert senders.titles("grave") == []
        assert senders.titles("korean") == ["[doai] 알림 2건: 캠페인 종료 1건, 실행 종료 1건"]
        [body] = [text.body for name, _, text in senders.sent if name == "korean"]
        assert body.splitlines() == ["캠페인 nightly 종료", "실행 hello@1: 실패 (실패 2)"]


async def test_an_event_that_is_given_again_is_not_told_again(autojump_clock: MockClock) -> None:
    senders = Kept()
    async with running(make_bot(senders), secrets=SECRETS, channels=[OPS]) as mesh:
        letter = DeadLetterCreated(letter_id="d1", kind="task", reason="failed", code="x", message="it died")
        await mesh.event("deadletter.created", "task/t1", letter)
        await mesh.advance(60)
        mesh.broker.feeds["notices"].done.clear()
        await mesh.kill()
        await mesh.start()
        await mesh.settle()
        await mesh.advance(60)
        assert len(senders.sent) == 1


async def test_killed_while_it_sends_it_sends_again_under_the_same_id_and_in_order(
    autojump_clock: MockClock,
) -> None:
    senders = Kept()
    async with running(make_bot(senders), secrets=SECRETS, channels=[HOOK]) as mesh:
        senders.hangs.add("hook")
        await say(mesh, 1)
        await mesh.advance(10)
        await say(mesh, 2)
        await mesh.advance(10)
        await mesh.kill()
        senders.hangs.clear()
        await mesh.start()
        await mesh.advance(60)
        [first, second] = [message for _, message, _ in senders.sent]
        assert [first.notices[0].id, second.notices[0].id] == ["i1", "i2"]
        assert [message_id for _, message_id in senders.begun] == [first.message_id] * 2 + [second.message_id]


async def test_a_channel_that_hangs_holds_no_other_up(autojump_clock: MockClock) -> None:
    senders = Kept()
    async with running(make_bot(senders), secrets=SECRETS, channels=[HOOK, OPS]) as mesh:
        senders.hangs.add("hook")
        for number in range(5):
            await say(mesh, number)
            await mesh.advance(15)
        assert len(senders.titles("ops")) == 5
        assert len(senders.begun) == 6
        senders.hangs.clear()
        await mesh.kill()


async def test_what_does_not_arrive_in_time_becomes_a_task_that_fails_for_a_person(
    autojump_clock: MockClock,
) -> None:
    senders = Kept()
    async with running(make_bot(senders, give_up_s=60), secrets=SECRETS, channels=[HOOK]) as mesh:
        senders.fails["hook"] = NotSent("the receiver answered HTTP 500")
        await say(mesh)
        await mesh.advance(200)
        [run] = mesh.commands(CreateRun)
        assert (run.targets.bot, run.params["channel"]) == (SEND_KIND, "hook")
        assert len({message_id for _, message_id in senders.begun}) == 1
        # Its last try fails as well: nobody tries again by itself.
        outcome = await mesh.task(SEND_KIND, run.params)
        assert outcome.failure is not None
        assert (outcome.failure.code, outcome.failure.error_class.value) == ("undelivered", "user")
        assert "HTTP 500" in outcome.failure.message
        # A person mends the receiver and tries the dead letter again.
        del senders.fails["hook"]
        assert (await mesh.task(SEND_KIND, run.params)).outcome is Outcome.PASSED
        assert [message.message_id for _, message, _ in senders.sent] == [senders.begun[0][1]]


async def test_a_receiver_that_wants_no_more_is_not_asked_again(autojump_clock: MockClock) -> None:
    senders = Kept()
    async with running(make_bot(senders), secrets=SECRETS, channels=[HOOK]) as mesh:
        senders.fails["hook"] = NotSent("HTTP 410", permanent=True)
        await say(mesh)
        await mesh.advance(60)
        assert (len(senders.begun), len(mesh.commands(CreateRun))) == (1, 1)


async def test_a_broker_that_takes_no_task_holds_no_message_up(autojump_clock: MockClock) -> None:
    senders = Kept()
    async with running(make_bot(senders), secrets=SECRETS, channels=[HOOK, OPS]) as mesh:
        mesh.refuse(CreateRun, "the disk has room for what has begun only", code="disk_low")
        senders.fails["hook"] = NotSent("HTTP 410", permanent=True)
        await say(mesh)
        await mesh.advance(60)
        await say(mesh, 2)
        await mesh.advance(60)
        assert len(senders.titles("ops")) == 2
        assert len([key for key in await mesh.state.list() if key.startswith("given-up/")]) == 2


async def test_while_the_broker_is_away_what_was_heard_is_sent(autojump_clock: MockClock) -> None:
    senders = Kept()
    async with running(make_bot(senders), secrets=SECRETS, channels=[OPS]) as mesh:
        await say(mesh)
        mesh.broker.mute = True
        mesh.cut()
        await mesh.advance(60)
        assert len(senders.titles("ops")) == 1
        mesh.broker.mute = False
        await mesh.advance(60)


async def test_a_channel_that_fails_is_not_told_that_it_failed(autojump_clock: MockClock) -> None:
    senders = Kept()
    async with running(make_bot(senders), secrets=SECRETS, channels=[HOOK, OPS]) as mesh:
        senders.fails["hook"] = NotSent("HTTP 500")
        await say(mesh)
        await mesh.advance(20)
        lost = DeadLetterCreated(
            letter_id="d1", kind="task", reason="failed", code="undelivered", message="gave up"
        )
        await mesh.event("deadletter.created", "task/t1", lost)
        await mesh.advance(60)
        assert senders.titles("ops")[1].startswith("[doai] Dead letter (undelivered)")
        del senders.fails["hook"]
        await mesh.advance(300)
        assert len(senders.titles("hook")) == 1


async def test_the_test_of_a_channel_says_what_came_of_it(autojump_clock: MockClock) -> None:
    senders = Kept()
    bad = {**HOOK, "name": "bad", "url": "ftp://h.example"}
    lost = {**OPS, "name": "lost", "url": "${secret.nowhere}"}
    async with running(make_bot(senders), secrets=SECRETS, channels=[OPS, bad, lost]) as mesh:
        answers = {
            name: (await mesh.task(TEST_KIND, {"channel": name})).outputs for name in ("ops", "bad", "lost", "opps")
        }
        assert answers["ops"] == {"channel": "ops", "sent": True, "problem": ""}
        assert "https://HOST/PATH" in answers["bad"]["problem"]
        assert "nowhere" in answers["lost"]["problem"]
        assert "ops" in answers["opps"]["problem"]
        assert senders.titles("ops") == ["[doai] Test message"]


async def test_a_burst_of_500_is_one_message_with_a_count(autojump_clock: MockClock) -> None:
    senders = Kept()
    async with running(make_bot(senders), secrets=SECRETS, channels=[OPS]) as mesh:
        for number in range(500):
            await mesh.event("incident.opened", f"node/n{number}", opened(number), settle=False)
        await mesh.settle()
        await mesh.advance(60)
        assert senders.titles("ops") == ["[doai] 500 notices: 500 incidents"]
        [(_, _, text)] = senders.sent
        assert text.body.splitlines()[-1] == "and 480 more"


async def test_secrets_are_in_no_log_state_command_or_answer(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    senders = Kept()
    caplog.set_level(logging.DEBUG)
    async with running(make_bot(senders), secrets=SECRETS, channels=[OPS, HOOK]) as mesh:
        senders.fails = {"ops": NotSent("no", permanent=True), "hook": NotSent("no")}
        await say(mesh)
        await mesh.advance(60)
        await mesh.task(TEST_KIND, {"channel": "hook"})
        seen = [record.getMessage() for record in caplog.records]
        seen.append(str(await mesh.state.list()))
        seen += [str(command) for command in mesh.broker.commands]
        seen += [str(outcome) for outcome in mesh.broker.outcomes.values()]
        for value in SECRETS.values():
            assert not [text for text in seen if value in text]


async def test_a_channel_that_is_taken_away_leaves_nothing(autojump_clock: MockClock) -> None:
    senders = Kept()
    async with running(make_bot(senders), secrets=SECRETS, channels=[HOOK, OPS]) as mesh:
        senders.fails["hook"] = NotSent("HTTP 500")
        await say(mesh)
        await mesh.advance(20)
        await mesh.configure(channels=[OPS])
        await mesh.advance(20)
        assert [key for key in await mesh.state.list() if "hook" in key] == []
        assert senders.titles("ops") == ["[doai] Incident (high) NODE_DOWN, node/n1: node n1 is offline"]


def test_what_is_wrong_with_channels_is_said() -> None:
    def problems(*channels: dict[str, Any]) -> list[str]:
        return problems_of(msgspec.convert({"channels": channels}, NotifyConfig))

    assert problems(OPS, HOOK) == []
    for wrong, said in (
        ({**OPS, "url": "slack://T1/B1/x"}, "is a secret"),
        ({**HOOK, "url": "javascript:alert(1)"}, "https://HOST/PATH"),
        ({**HOOK, "key": ""}, "signed"),
        ({**HOOK, "key": "in the clear"}, "${secret.NAME}"),
        ({**OPS, "name": "Not A Name\r\nBcc: x"}, "its name"),
        ({**OPS, "quiet": "22-7"}, "22:00-07:00"),
        ({**OPS, "zone": "../../etc/passwd"}, "time zone"),
        ({**OPS, "settle": "soon"}, "settle"),
    ):
        [sentence] = problems(wrong)
        assert said in sentence
        assert "slack://" not in sentence
    assert problems(OPS, OPS) == ["channel ops: there are 2 of this name, the first is used"]


def test_it_comes_with_doai_under_its_name_and_the_broker_takes_its_schema() -> None:
    bot = load_bot(NOTIFY_BOT)
    assert bot.name == NOTIFY_BOT
    assert schema_mistakes(bot.registration().config_schema) == []


async def test_a_missing_secret_is_a_try_that_failed(autojump_clock: MockClock) -> None:
    senders = Kept()
    async with running(make_bot(senders), channels=[OPS]) as mesh:
        await say(mesh)
        await mesh.advance(10)
        assert senders.sent == []
        mesh.secrets["ops"] = "json://h.example"
        await mesh.advance(60)
        assert len(senders.sent) == 1
