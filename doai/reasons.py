"""Why something is so, as broker and nodes say it: codes with facts, which are written as one English sentence.

A sentence is what is stored, sent and logged; `read_reason` finds code and facts in it again, so that people are
told in their language (doai/story). What no code fits, such as what a person wrote, stays the text that it is.
"""

from __future__ import annotations

import functools
import re
import string
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        # devices, as drivers and nodes see them
        "disconnected": "it was disconnected",
        "restarts": "it restarts",
        "never_seen_here": "it was never seen here",
        "adb_offline": "adb lists it as offline: check its cable, power and network",
        "adb_unauthorized": "it has not allowed this computer: unlock it and accept the USB debugging dialog",
        "adb_listed_as": "adb lists it as {state}",
        "adb_silent": "adb lists it and it does not answer ({why}): restart it if this lasts",
        "adb_server_gone": "the adb server of this node is gone ({why})",
        "not_found_since_start": "node {node} has not found it since it started",
        "holds_it_now": "node {node} holds it now",
        # nodes and bots
        "no_word": "no word for {seconds} s",
        "heard_again": "heard from again",
        "connected": "connected",
        "key_revoked": "its key was revoked",
        "place_taken": "{address} took its place",
        "node_stopped": "the node was stopped by {signal}",
        "bot_stopped": "the bot was stopped by {signal}",
        # quarantine and holds
        "in_a_row": "{count} failures in a row",
        "of_recent": "{failed} of {tried} attempts failed within {minutes} min",
        "probe_failed": "the task it was tried with failed",
        "verdict": "{why}; the last: {message}",
        "worked_again": "a task worked again",
        "term_over": "its term is over: it is tried with one task at a time",
        "given_back": "it was given back",
        "hold_over": "the time of the hold is over",
        # runs and tasks
        "stop_after": "{failed} tasks failed, and it stops after {most}",
        "stop_canary": "{failed} of {ended} of its canary failed, more than {share}",
        "stop_rate": "{failed} of {ended} of its tasks that ended failed, more than {share}",
        "run_stopped": "the run was stopped: {why}",
        "cancelled": "cancelled",
        "expired": "not begun before it expired",
        "not_held": "node {node} does not hold it any more",
        "not_vouched": "node {node} did not vouch for it for {seconds} s; it is held until that is settled",
        "not_heard_of": "node {node} was not heard of until it could no longer act on it",
        "attempt_follows": "attempt {attempt} of {most} follows in {seconds} s",
        "no_bot_takes": "no bot takes tasks of kind {kind}",
        "waits_for_process": "waits for a process that takes {kind}",
        "discarded": "discarded by {actor}",
        "discarded_because": "discarded by {actor}: {why}",
        # what a queued task waits for
        "queue_paused": "queue {queue} is paused",
        "queue_limited": "queue {queue} gives out {count} tasks a minute",
        "run_lets": "its run lets {count} tasks go now, and no more",
        "no_device": "waits for a device that matches",
        "device_not_seen": "device {serial} was not seen yet",
        "device_offline": "device {serial} is offline",
        "device_unresponsive": "device {serial} is unresponsive",
        "device_unauthorized": "device {serial} is unauthorized",
        "node_not_ready": "it is not connected or has not listed what it holds",
        "node_closed": "node {node} takes no tasks: {why}",
        "device_quarantined": "device {serial} is quarantined: {why}",
        "device_held": "device {serial} is held for {actor}",
        "node_quarantined": "node {node} is quarantined: {why}",
        "slots_busy": "all {count} slots of node {node} are busy",
        "step_nowhere": "no node offers {use}: install or mend its plug-in, `doai plugins list` tells where it is",
        "step_missing": (
            "node {node}, which holds {serial}, lacks {use}: install or mend its plug-in, `doai plugins list` "
            "tells where it is"
        ),
        # times of campaigns
        "nobody_there": "nobody was there when it was due, and its catch-up is {plan}",
        "takes_place": "run {run} of campaign {campaign} takes its place",
        "run_open": "its run {run} is still open",
        "run_waits": "a run of it waits",
        # targets and requirements
        "none_has_tag": "none of the {count} known devices has the tag {name}: {near}",
        "none_has_group": "none of the {count} known devices has the group {name}: {near}",
        "none_has_node": "none of the {count} known devices has the node {name}: {near}",
        "none_has_model": "none of the {count} known devices has the model {name}: {near}",
        "none_has_sdk": "none of the {count} known devices has an sdk {sdk}: theirs are {levels}",
        "none_has_all": (
            "each condition matches some of the {count} known devices and none matches all: leave one out"
        ),
        "have_none": "they have none at all",
        "near": "did you mean {name}?",
        "known": "known: {names}",
        "to_choose_from": "there are {count} to choose from",
        "tag_missing": "the tag {name} is missing",
        "model_is_none_of": "model {model} is none of {names}",
        "sdk_does_not_fit": "sdk {sdk} does not satisfy {condition}",
    }
)
"""Code -> the sentence; a test holds the words of doai/story to it."""
_NUMBERS: Final = frozenset({"attempt", "count", "ended", "failed", "minutes", "most", "seconds", "tried"})
_TEXTS: Final = frozenset(
    {"condition", "levels", "message", "model", "name", "names", "near", "sdk", "state", "why"}
)
"""What else is a fact has no blank in it: the narrower, the less of another sentence is taken for one."""
_FACT: Final = re.compile(r"\\{(\w+)\\}")
_READ_MAX: Final = 2000
"""A longer text is no sentence of these, and would cost."""


def reason(code: str, **facts: object) -> str:
    """Return the sentence of a code; raises KeyError for a code or a fact that is not there."""
    return REASONS[code].format_map(facts)


@functools.lru_cache(maxsize=512)
def read_reason(text: str) -> tuple[str, Mapping[str, str]] | None:
    """Return the code and the facts of a sentence; None for a text that was written otherwise.

    Which it is takes 70 us to say: a page has a reason a row, of which most are the same.
    """
    if not text or len(text) > _READ_MAX:
        return None
    for code, shape in _shapes():
        found = shape.fullmatch(text)
        if found is not None:
            return code, MappingProxyType(found.groupdict())
    return None


def facts_of(template: str) -> set[str]:
    """Return the names of the facts in a sentence."""
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


@functools.cache
def _shapes() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Return code and pattern, those that say most before those that are nearly all facts."""
    most_first = sorted(REASONS, key=lambda code: -len(_FACT.sub("", re.escape(REASONS[code]))))
    return tuple((code, re.compile(_FACT.sub(_shape, re.escape(REASONS[code])), re.DOTALL)) for code in most_first)


def _shape(found: re.Match[str]) -> str:
    name = found[1]
    return f"(?P<{name}>{r'[0-9]+' if name in _NUMBERS else '.+?' if name in _TEXTS else r'[^ ]+'})"
