"""Flags of `doai campaigns` (step 1)."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from doai.cli.runs import add_run_flags

_AddCommand = Callable[..., argparse.ArgumentParser]


def add_campaigns(commands: Any, add: _AddCommand, count: Callable[[str], int]) -> None:
    """Add `doai campaigns`; ``add`` makes a command that talks to the API, ``count`` reads a number."""
    group = commands.add_parser("campaigns", help="Run workflows again and again by a schedule.")
    actions = group.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = add(actions, "list", "List campaigns (the default).", "campaigns", "listing")
    listing.add_argument("--state", choices=("active", "paused", "ended"))
    listing.add_argument("--project", metavar="TEXT", help="only those of this project")
    one = add(actions, "show", "Show a campaign with its progress and history.", "campaigns", "show_one")
    one.add_argument("name")
    one.add_argument("--limit", type=count, default=20, metavar="N", help="times of its history (20)")
    _add_new(add(actions, "add", "Make a campaign, or change one.", "campaigns", "add"), count)
    following = add(
        actions,
        "next",
        "Show the next times of a campaign, or of a schedule before anything has it.",
        "campaigns",
        "next_times",
    )
    following.add_argument("name", nargs="?")
    following.add_argument("--count", type=count, default=5, metavar="N", help="how many (5)")
    _add_schedule(following)
    for name, summary in (("pause", "Let its times pass by."), ("resume", "Let it fire again, from now on.")):
        parser = add(actions, name, summary, "campaigns", name)
        parser.add_argument("name")
        parser.add_argument("--why", default="", help="why, for its story")
    add(actions, "fire", "Make a run of it now.", "campaigns", "fire").add_argument("name")
    add(actions, "remove", "Remove it and its history; its runs stay.", "campaigns", "remove").add_argument("name")


def _add_new(parser: argparse.ArgumentParser, count: Callable[[str], int]) -> None:
    parser.add_argument("name", help="of the campaign")
    add_run_flags(parser)
    _add_schedule(parser)
    parser.add_argument(
        "--overlap",
        choices=("skip", "queue", "replace"),
        default="skip",
        help="while a run of it is open: make none, make it after that one, or cancel that one (skip)",
    )
    parser.add_argument(
        "--catch-up",
        default="latest",
        metavar="POLICY",
        help="times that passed while the broker was away: none, latest, all, or all:N for the newest N (latest)",
    )
    parser.add_argument("--runs", dest="runs_max", type=count, metavar="N", help="it ends after so many runs")
    parser.add_argument("--replace", action="store_true", help="change the campaign that has this name")


def _add_schedule(parser: argparse.ArgumentParser) -> None:
    when = parser.add_mutually_exclusive_group()
    when.add_argument("--cron", metavar="'M H D M W'", help="minute, hour, day, month, weekday: '0 3 * * *'")
    when.add_argument("--every", metavar="TIME", help="such as 15m or 6h; a minute at least")
    parser.add_argument("--zone", default="UTC", metavar="NAME", help="time zone, such as Asia/Seoul (UTC)")
    parser.add_argument("--jitter", metavar="TIME", help="begin each up to so much later, such as 10m")
    parser.add_argument("--from", dest="begin", metavar="WHEN", help="not before, such as 2026-12-24T18:00")
    parser.add_argument("--until", metavar="WHEN", help="not after")
