"""What bots find wrong with devices: told once when it begins and ends, an incident while it is so (steps 12, 14).

A bot tells all that is wrong with a device; what is another than before is an event. The rows outlive bot and
broker: neither tells again what was told. What a bot found that does not work any more counts for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any

import msgspec

from doai import topics
from doai.broker.core.bot_reports import publish_report
from doai.broker.core.condition_symptoms import conditions_of, sentence
from doai.broker.core.decision import Decision
from doai.broker.core.incidents import Incidents
from doai.broker.core.state import State
from doai.broker.core.terms import device_of
from doai.changes.conditions import ConditionRow, PutCondition
from doai.envelope import Envelope, Message
from doai.errors import ErrorClass, Failure, UserError
from doai.messages.bot_reports import PUBLISH_REPORT
from doai.messages.events import DeviceError, HealthCheckCompleted
from doai.messages.health import REPORT_HEALTH, Condition, HealthReported, HealthRule, ReportHealth
from doai.messages.link import Role


class Conditions:
    """Takes what bots tell."""

    def __init__(self, state: State, incidents: Incidents) -> None:
        self._state = state
        self._incidents = incidents
        self.handlers: dict[str, Callable[[Decision, Envelope, Any], Message]] = {
            REPORT_HEALTH: self.report,
            PUBLISH_REPORT: publish_report,
        }
        """Of commands: what bots find, and what they have to say of it."""

    def report(self, decision: Decision, command: Envelope, told: ReportHealth) -> HealthReported:
        """Compare with what the bot told before, and tell what is another."""
        speaker = decision.speaker
        if speaker is None or speaker.role is not Role.BOT:
            raise UserError("only a bot tells what is wrong with devices", code="not_a_bot")
        rules = [condition.rule for condition in told.conditions]
        if len(set(rules)) != len(rules):
            raise UserError("a rule is named twice: each holds or does not", code="bad_report")
        for condition in told.conditions:
            if not (isfinite(condition.value) and isfinite(condition.limit)):
                # As JSON, in which the row is kept, there is no such number.
                raise UserError(f"{condition.rule.value} has a measure that is no number", code="bad_report")
        device = device_of(self._state, told.serial)
        key = told.serial, speaker.name
        row = self._state.conditions.get(key)
        before = {} if row is None else {condition.rule: condition for condition in conditions_of(row)}
        began = [rule for rule in rules if rule not in before]
        ended = [rule for rule in before if rule not in rules]
        if began or ended or row is None:
            # What goes on keeps the measure with which it began, so that the same told again changes nothing.
            now = [before.get(condition.rule, condition) for condition in told.conditions]
            after = ConditionRow(
                serial=told.serial,
                bot=speaker.name,
                body=msgspec.json.encode(now),
                changed_at_ms=decision.now.utc_ms,
            )
            self._state.conditions[key] = after
            decision.ops.append(PutCondition(after))
            self._incidents.look_soon(decision)
            self._tell(decision, command, device.row.node_id if device.row else "", after, now, began, ended)
        subject, wrong = topics.device_subject(told.serial), sorted(rule.value for rule in rules)
        decision.changed(subject, {"wrong": sorted(rule.value for rule in before)}, {"wrong": wrong})
        return HealthReported(began=began, ended=ended)

    def _tell(
        self,
        decision: Decision,
        command: Envelope,
        node_id: str,
        row: ConditionRow,
        now: list[Condition],
        began: list[HealthRule],
        ended: list[HealthRule],
    ) -> None:
        subject = topics.device_subject(row.serial)
        for condition in now:
            if condition.rule in began:
                failure = Failure(
                    error_class=ErrorClass.DEVICE,
                    code=condition.rule.value,
                    message=sentence(row.serial, condition),
                )
                wrong = DeviceError(serial=row.serial, node_id=node_id, failure=failure)
                decision.event(topics.DEVICE_ERROR, subject, wrong, actor=command.actor)
        checked = HealthCheckCompleted(
            serial=row.serial,
            node_id=node_id,
            healthy=not now,
            values={condition.rule.value: condition.value for condition in now},
            began=[rule.value for rule in began],
            ended=[rule.value for rule in ended],
            bot=row.bot,
        )
        decision.event(topics.HEALTH_CHECK_COMPLETED, subject, checked, actor=command.actor)
