"""Which devices a selector or a recipe's requirements match, and why one does not (step 2)."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from doai.errors import UserError
from doai.messages.commands import Selector, TargetKind, Targets
from doai.reasons import reason as because
from doai.workflow.language import Requires
from doai.workflow.mistakes import did_you_mean, shown

_COMPARISON: Final = re.compile(r"(>=|<=|!=|==|>|<|=)?\s*([0-9]{1,3})")
_OPERATORS: Final[Mapping[str, Callable[[int, int], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "!=": operator.ne,
    "=": operator.eq,
}


class SelectorError(UserError):
    """A selector can not be understood."""

    code = "bad_selector"


class DeviceFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a device when it is chosen."""

    serial: str
    node_id: str = ""
    model: str = ""
    sdk: int = 0
    """Android API level; 0 = not known, which satisfies no comparison."""
    tags: Sequence[str] = ()
    groups: Sequence[str] = ()


class SdkCondition(msgspec.Struct, frozen=True):
    """One comparison with the Android API level."""

    sign: str
    level: int

    def holds(self, sdk: int) -> bool:
        return sdk > 0 and _OPERATORS[self.sign](sdk, self.level)

    def __str__(self) -> str:
        return f"{self.sign}{self.level}"


def parse_sdk(text: str) -> tuple[SdkCondition, ...]:
    """Return the comparisons of ``>=28,<34`` (a bare number means equal); raises SelectorError."""
    found = []
    for part in text.split(","):
        match = _COMPARISON.fullmatch(part.strip())
        if match is None:
            raise SelectorError(f"{shown(text)} compares no Android API level; write such as >=28 or >=28,<34")
        sign = match[1] or "="
        found.append(SdkCondition("=" if sign == "==" else sign, int(match[2])))
    return tuple(found)


def check_selector(selector: Selector) -> None:
    """Raise SelectorError when the selector can not be understood; done once, before devices are compared."""
    if selector.sdk is not None:
        parse_sdk(selector.sdk)


def check_targets(targets: Targets) -> None:
    """Raise UserError for a part that targets of their kind do not look at: it would widen what was meant."""
    kind = targets.kind
    unused = {
        "serials": bool(targets.serials) and kind is not TargetKind.DEVICES,
        "selector": targets.selector != Selector() and kind not in (TargetKind.ALL, TargetKind.ANY),
        "count": targets.count != 1 and kind not in (TargetKind.ANY, TargetKind.BOT),
        "bot": bool(targets.bot) and kind is not TargetKind.BOT,
    }
    surplus = [name for name, is_there in unused.items() if is_there]
    if surplus:
        raise UserError(
            f"targets of kind {kind.value} take no {' and no '.join(surplus)}: leave that out, or name another "
            "kind (devices: serials; all, any: selector; any: count; bot: bot, count)",
            code="bad_targets",
        )


def matches(selector: Selector, facts: DeviceFacts) -> bool:
    """Whether the device fulfils every condition of the selector; raises SelectorError for a bad comparison."""
    if selector.nodes and facts.node_id not in selector.nodes:
        return False
    if selector.groups and not any(group in facts.groups for group in selector.groups):
        return False
    return _unmet(selector.sdk, selector.tags, selector.models, facts) is None


def why_none_matches(selector: Selector, devices: Sequence[DeviceFacts]) -> str:
    """Return one sentence on why no device matches: the first condition that none fulfils, and what there is."""
    count = len(devices)
    for what, wanted, found in (
        ("tag", selector.tags, {tag for facts in devices for tag in facts.tags}),
        ("group", selector.groups, {group for facts in devices for group in facts.groups}),
        ("node", selector.nodes, {facts.node_id for facts in devices}),
        ("model", selector.models, {facts.model for facts in devices}),
    ):
        # Every tag must be there; of groups, nodes and models one is enough.
        missing = [name for name in wanted if name not in found]
        if missing and (what == "tag" or len(missing) == len(wanted)):
            near = _those(missing[0], found)
            return because(f"none_has_{what}", count=count, name=repr(missing[0]), near=near)
    if selector.sdk is not None and not any(matches(Selector(sdk=selector.sdk), facts) for facts in devices):
        levels = ", ".join(sorted({str(facts.sdk or "unknown") for facts in devices}))
        return because("none_has_sdk", count=count, sdk=selector.sdk, levels=levels)
    return because("none_has_all", count=count)


def _those(name: str, found: set[str]) -> str:
    return did_you_mean(name, found - {""}) if found - {""} else because("have_none")


def unmet_requirement(requires: Requires, facts: DeviceFacts) -> str | None:
    """Return the first requirement that the device does not fulfil, for a sentence, or None when it is eligible."""
    return _unmet(requires.sdk, requires.tags, requires.models, facts)


def _unmet(sdk: str | None, tags: Iterable[str], models: Sequence[str], facts: DeviceFacts) -> str | None:
    for tag in tags:
        if tag not in facts.tags:
            return because("tag_missing", name=tag)
    if models and facts.model not in models:
        return because("model_is_none_of", model=facts.model or "unknown", names=", ".join(models))
    for condition in parse_sdk(sdk) if sdk is not None else ():
        if not condition.holds(facts.sdk):
            return because("sdk_does_not_fit", sdk=facts.sdk or "unknown", condition=condition)
    return None
