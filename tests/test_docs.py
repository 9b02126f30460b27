"""Documents are true: every command that they show is run as it stands, every file that they name exists."""

from __future__ import annotations

import json
import re
import shlex
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from doai.bots.install.onboarding import NewPhones
from doai.bots.install.wish import InstallApp
from doai.cli import exits
from doai.drivers.xiaowei.config import XiaoweiConfig
from doai.phone.control import request_control
from doai.plugins.discovery import find_plugins
from doai.plugins.drivers import load_driver, split_settings
from tests.apk.builder import make_apk
from tests.browser.screenshots import PAGES, SHOWN
from tests.documents import ROOT, blocks, commands, name, run, running
from tests.integration.installed import COMMAND_S, FREE_PORTS, Up, up
from tests.unit.bots.notify.receivers import hook, inbox

TUTORIAL = ROOT / "docs/tutorials/first-workflow.md"
BACK_UP = ROOT / "docs/how-to/back-up-and-restore.md"
UPGRADE = ROOT / "docs/how-to/upgrade.md"
LABELS = ROOT / "docs/how-to/label-phones.md"
INCIDENTS = ROOT / "docs/how-to/incidents.md"
FILES = ROOT / "docs/how-to/files-for-phones.md"
KEEP = ROOT / "docs/how-to/keep-and-remove.md"
CI = ROOT / "docs/how-to/run-from-ci.md"
SECRETS = ROOT / "docs/how-to/secrets.md"
SCREENS = ROOT / "docs/how-to/compare-screens.md"
SCRIPT = ROOT / "docs/how-to/adopt-my-script.md"
OF_A_FLEET = [ROOT / "docs" / path for path in ("tutorials/first-fleet.md", "how-to/enrol-hosts.md")]
"""They need more than one node: tests/test_docs_fleet.py runs them."""
DEAD = ROOT / "docs/how-to/dead-letters.md"
QUEUES = ROOT / "docs/how-to/queues.md"
BOT = ROOT / "docs/tutorials/your-first-bot.md"
PLUGIN = ROOT / "docs/tutorials/your-first-plug-in.md"
XIAOWEI = ROOT / "docs/how-to/xiaowei.md"
PLAYBACK = ROOT / "docs/how-to/check-playback.md"
DASHBOARD = ROOT / "docs/how-to/dashboard.md"
HEALTH = ROOT / "docs/how-to/health.md"
NOTIFY = ROOT / "docs/how-to/notifications.md"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "proto/GRAMMAR.md"])
SHOWN_IN = [path for path in DOCUMENTS if path.name not in ("CHANGELOG.md", "GRAMMAR.md")]

RUN_ELSEWHERE = {
    "bin/demo": "tests/integration/test_demo.py runs it",
    "bin/test": "it is what runs this test",
    "bin/doai up": "tests/integration/test_cli.py runs it on free ports: those of the text may be in use here",
}
SETTINGS_CHECKED = ("bin/broker", "bin/admin", "bin/node")
"""They need a second machine: their settings are checked as a start would (test_programs_of_many_machines)."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """The installation of the tutorial, started with the flags of its text but for ports and folder."""
    [start] = [line for line in commands(TUTORIAL) if line.startswith("bin/doai up")]
    words = shlex.split(start)[2:]
    assert words == ["--phones", "3", "--no-usb", "--data-dir", "/tmp/doai-tutorial"]
    folder = tmp_path_factory.mktemp("tutorial")
    scripts = folder / "scripts"
    scripts.mkdir()
    with up(folder / "data", phones=3, words=(*FREE_PORTS, "--scripts", str(scripts))) as installation:
        installation.wait_for_phones(3)
        yield installation


def test_the_tutorial_step_by_step(site: Up, tmp_path: Path) -> None:
    shown = {step: blocks_of(step) for step in range(1, 6)}
    [recipe] = blocks(TUTORIAL, "yaml")
    assert "Save this as `hello.yaml`" in TUTORIAL.read_text()
    (tmp_path / "hello.yaml").write_text(recipe)

    [export, devices] = shown[1][1:]
    assert export == "export DOAI_DATA_DIR=/tmp/doai-tutorial"
    assert "SIM0003" in run(devices, tmp_path, site.data_dir)

    [add, wait, runs, get] = shown[3]
    assert "hello@1 stored" in run(add, tmp_path, site.data_dir)
    assert run(wait, tmp_path, site.data_dir).count("passed") == 4
    run_id = next(line.split()[0] for line in run(runs, tmp_path, site.data_dir).splitlines() if "hello@1" in line)
    assert "RUN_ID" in get
    run(get.replace("RUN_ID", run_id), tmp_path, site.data_dir)
    assert len(list((tmp_path / "pictures").rglob("*.png"))) == 3

    [add_again] = shown[4]
    (tmp_path / "hello.yaml").write_text(recipe.replace("use: ui.tap,", "use: ui.tapp,"))
    message = site.refused(*shlex.split(add_again)[1:-1], str(tmp_path / "hello.yaml"))
    assert re.search(r"hello\.yaml: line \d+, column \d+: .*did you mean 'ui\.tap'\?", message)
    assert [item["version"] for item in site.json("workflows", "list") if item["name"] == "hello"] == [1]
    (tmp_path / "hello.yaml").write_text(recipe.replace("max_length: 40", "max_length: 50"))
    assert "hello@2 stored" in run(add_again, tmp_path, site.data_dir)
    assert "`bin/doai run hello@1`" in TUTORIAL.read_text()
    assert "of hello@1: 3 tasks" in run("bin/doai run hello@1 --on all", tmp_path, site.data_dir)

    [tasks, story] = shown[5]
    task_id = run(tasks.replace("RUN_ID", run_id), tmp_path, site.data_dir).splitlines()[1].split()[0]
    told = run(story.replace("TASK_ID", task_id), tmp_path, site.data_dir)
    assert "Step type (ui.text) started on " in told


def blocks_of(step: int) -> list[str]:
    """Commands below the heading of a step of the tutorial."""
    text = TUTORIAL.read_text(encoding="utf-8")
    part = re.split(r"^## \d\. .*$", text, flags=re.MULTILINE)[step]
    lines = [line for block in re.findall(r"^```sh\n(.*?)^```", part, re.DOTALL | re.MULTILINE) for line in [block]]
    return [line for block in lines for line in block.splitlines() if line]


@pytest.mark.parametrize("path", [ROOT / "README.md", ROOT / "README.ko.md"], ids=name)
def test_the_commands_of_the_readme(site: Up, tmp_path: Path, path: Path) -> None:
    (tmp_path / "workflows").symlink_to(ROOT / "workflows")
    run_id = ""
    for command in commands(path):
        if command in RUN_ELSEWHERE or command.startswith(SETTINGS_CHECKED):
            continue
        shown = run(command.replace("RUN_ID", run_id), tmp_path, site.data_dir)
        found = re.search(r"^run (\w+) passed", shown, re.MULTILINE)
        run_id = found[1] if found else run_id
    assert run_id


def test_upgrade_check(site: Up, tmp_path: Path) -> None:
    [check] = commands(UPGRADE)
    [transcript] = blocks(UPGRADE, "text")
    run("bin/doai backup", tmp_path, site.data_dir)

    def lines(text: str) -> set[str]:
        return {line.partition(": ")[0] for line in text.splitlines()}

    assert lines(run(check, tmp_path, site.data_dir)) == lines(transcript)


def test_back_up_and_restore(site: Up, tmp_path: Path) -> None:
    [backup, backups, restore] = commands(BACK_UP)
    folder = re.findall(r"on the admin's host: (\S+)", run(backup, tmp_path, site.data_dir))
    assert len(folder) == 1
    assert Path(folder[0]).name in run(backups, tmp_path, site.data_dir)
    filled = restore.replace("BACKUP_FOLDER", folder[0]).replace("DATA_DIR", str(tmp_path / "new-machine"))
    assert "start the broker now" in run(filled, tmp_path, site.data_dir)
    assert (tmp_path / "new-machine" / "broker.db").exists()


SCHEDULES = ROOT / "docs/how-to/schedules.md"


def test_a_campaign_as_the_document_says(site: Up, tmp_path: Path) -> None:
    (tmp_path / "workflows").symlink_to(ROOT / "workflows")
    shown = [run(command, tmp_path, site.data_dir) for command in commands(SCHEDULES)]
    assert shown[0].count("03:00:00 +0900") == 5
    assert shown[1].count("02:30:00 -0") == 10
    assert "up to 10 min later" in shown[4]
    [fired] = re.findall(r"^run (\w+) of campaign nightly-reboot", shown[6], re.MULTILINE)
    assert fired in shown[7]
    assert re.search(f"^{fired} .* nightly-reboot +shelf-1$", shown[8], re.MULTILINE), shown[8]
    assert "nightly-reboot" not in site.json("campaigns", "list")


def test_what_is_kept_is_told_and_removed(site: Up, tmp_path: Path) -> None:
    [look, remove, use] = commands(KEEP)
    assert "90 days" in run(look, tmp_path, site.data_dir)
    assert "removed 0 tasks" in run(remove, tmp_path, site.data_dir)
    told = run(use, tmp_path, site.data_dir)
    assert "device time" in told or "Nothing was done yet" in told, "as the other tests have left it"


def test_phones_get_labels_as_the_document_says(site: Up, tmp_path: Path) -> None:
    shown = [run(command, tmp_path, site.data_dir) for command in commands(LABELS)]
    assert "Galaxy 7" in shown[1]
    assert "Galaxy 7" in (tmp_path / "shelf.csv").read_text(encoding="utf-8")


def test_incidents_are_listed_as_the_document_says(site: Up, tmp_path: Path) -> None:
    shown = [run(command, tmp_path, site.data_dir) for command in commands(INCIDENTS)]
    assert shown[0].startswith("No incidents.")
    assert shown[2].strip() == "[]"


def test_what_gave_up_as_the_document_says(site: Up, tmp_path: Path) -> None:
    shown = [run(command, tmp_path, site.data_dir) for command in commands(DEAD)]
    assert "/dead?" in shown[0]
    assert "tried again" in shown[2]
    assert "discarded" in shown[3]


def test_an_app_is_put_as_the_document_says(site: Up, tmp_path: Path) -> None:
    [recipe] = blocks(FILES, "yaml")
    (tmp_path / "install-shop.yaml").write_text(recipe)
    (tmp_path / "shop.apk").write_bytes(make_apk("com.example.shop", version_code=14, version_name="1.4"))
    [put, listing, show, install, remove] = commands(FILES)
    assert "shop@1.4 stored" in run(put, tmp_path, site.data_dir)
    assert "shop@1.4" in run(listing, tmp_path, site.data_dir)
    assert "application/vnd.android.package-archive" in run(show, tmp_path, site.data_dir)
    assert run(install, tmp_path, site.data_dir).count("passed") == 4
    assert "shop@1.4 removed" in run(remove, tmp_path, site.data_dir)


APPS = ROOT / "docs/how-to/install-apps.md"


def test_an_app_goes_to_many_phones_as_the_document_says(site: Up, tmp_path: Path) -> None:
    package = make_apk("com.example.many", version_code=14, permissions=("android.permission.CAMERA",))
    (tmp_path / "shop.apk").write_bytes(package)
    enroll, start, put, install, again, report, onboard = commands(APPS)
    assert "install-bot may speak as bot" in run(enroll, tmp_path, site.data_dir)
    with running(start, tmp_path, site.data_dir) as bot:
        bot.wait_for("the broker has taken the bot in")
        assert "shop@1.4 stored" in run(put, tmp_path, site.data_dir)
        told = run(install, tmp_path, site.data_dir)
        assert "com.example.many 14 on 3 phones: 3 installed" in told
        later = run(again, tmp_path, site.data_dir)
        task_id = later.splitlines()[-1].split()[-1]
        ends = time.monotonic() + COMMAND_S
        while "3 skipped" not in (told := run(report.replace("TASK_ID", task_id), tmp_path, site.data_dir)):
            assert time.monotonic() < ends, told
        told = run(onboard, tmp_path, site.data_dir)
        assert "SIM0003: health-sweep passed" in told
        assert "SIM0003 is taken in: passed" in told
        config, created = (json.loads(text) for text in blocks(APPS, "json"))
        msgspec.convert(created["params"], InstallApp)
        msgspec.convert(config, NewPhones)
    assert bot.code == exits.PASSED
    run("bin/doai files rm shop@1.4", tmp_path, site.data_dir)


def test_a_script_is_run_as_the_document_says(site: Up, tmp_path: Path) -> None:
    [text], [recipe] = (blocks(SCRIPT, language) for language in ("bash", "yaml"))
    path = site.data_dir.parent / "scripts/look.sh"
    path.write_text(text)
    path.chmod(0o755)
    (tmp_path / "look.yaml").write_text(recipe)
    start, ask, get = commands(SCRIPT)
    assert start == "bin/doai up --scripts scripts"  # as the fixture does
    shown = run(ask, tmp_path, site.data_dir)
    found = re.search(r"^run (\w+) passed", shown, re.MULTILINE)
    assert found, shown
    run(get.replace("RUN_ID", found[1]), tmp_path, site.data_dir)
    assert len(list((tmp_path / "pictures").rglob("*screen-1.png"))) == 3
    assert (tmp_path / "report.html").read_text().count("data:image/png;base64,") == 3
    outputs = [site.json("tasks", task["taskId"])["outputs"] for task in site.json("tasks", "--run", found[1])]
    assert all(told["model"] for told in outputs)


def test_screens_are_compared_as_the_document_says(site: Up, tmp_path: Path) -> None:
    [recipe] = blocks(SCREENS, "yaml")
    (tmp_path / "home-page.yaml").write_text(recipe)
    first, accept, again = commands(SCREENS)
    shown = run(first, tmp_path, site.data_dir, code=exits.NOT_PASSED)
    found = re.search(r"^run (\w+) failed", shown, re.MULTILINE)
    assert found, shown
    assert "baseline/home-page/home/" in run(accept.replace("RUN_ID", found[1]), tmp_path, site.data_dir)
    assert re.search(r"^run \w+ passed", run(again, tmp_path, site.data_dir), re.MULTILINE)
    assert "baseline/home-page/home/" in run("bin/doai files list baseline/", tmp_path, site.data_dir)


def test_queues_stop_and_go_on_as_the_document_says(site: Up, tmp_path: Path) -> None:
    # Four runs of it wait for each other, and what they watch is of no matter here.
    recipe = (ROOT / "workflows" / "playback-check.yaml").read_text()
    assert "default: 20, minimum: 5" in recipe
    (tmp_path / "brief.yaml").write_text(recipe.replace("default: 20, minimum: 5", "default: 5, minimum: 5"))
    run("bin/doai workflows add brief.yaml", tmp_path, site.data_dir)
    shown = {command: run(command, tmp_path, site.data_dir) for command in commands(QUEUES)}
    assert (
        "queue default is paused, priority 0" in shown['bin/doai queues pause default --why "the shelf is rewired"']
    )
    queued = [line.split()[0] for line in shown["bin/doai tasks --state queued"].splitlines() if "queued" in line]
    assert len(queued) >= 3
    assert "degraded above" in shown["bin/doai queues urgent"]
    assert "queue urgent is running, priority 10" in shown["bin/doai queues resume urgent"]
    assert "tried again" in shown["bin/doai queues retry-failed default"]


ASKS = """
from doai.bots import Bot

bot = Bot("asks")


@bot.every("100ms", timeout="5m")
async def look(ctx):
    if await ctx.state.get("asked"):
        return
    page = await ctx.query("/devices", state="online")
    serial = next(item["serial"] for item in page["items"] if item["serial"] == "SIM0002")
    result = await ctx.run("no-such-app", on=serial)
    for task in result.tasks:
        ctx.log.info("it %s: %s %s, %s", result.outcome, task.device_serial, task.state, task.failure.code)
    await ctx.state.put("asked", True)


if __name__ == "__main__":
    bot.run()
"""
"""A bot that uses the API: as the tutorial says of `ctx.query` and `ctx.run`."""


def test_your_first_bot(site: Up, tmp_path: Path) -> None:
    program, test = blocks(BOT, "python")
    [recipe] = blocks(BOT, "yaml")
    for file, text in (("two_strikes.py", program), ("test_two_strikes.py", test), ("no-such-app.yaml", recipe)):
        assert f"`{file}`" in BOT.read_text()
        (tmp_path / file).write_text(text)
    run(f"{shlex.quote(sys.executable)} test_two_strikes.py", tmp_path, site.data_dir)

    enroll, start, add, first, second, story, listing, about, rest, wake, again = commands(BOT)
    assert "its settings, key and token" in run(enroll, tmp_path, site.data_dir)
    with running(start, tmp_path, site.data_dir) as bot:
        bot.wait_for("the broker has taken the bot in")
        run(add, tmp_path, site.data_dir)
        for command in (first, second):
            run(command, tmp_path, site.data_dir, code=exits.NOT_PASSED)
        bot.wait_for("strike 2")
        ends = time.monotonic() + COMMAND_S
        while "failed 2 times" not in (told := run(story, tmp_path, site.data_dir)):
            assert time.monotonic() < ends, told
        assert "two-strikes" in told
        assert "Takes phones that failed twice" in run(listing, tmp_path, site.data_dir)
        assert "strike" in run(about, tmp_path, site.data_dir)
        assert "two-strikes is inactive" in run(rest, tmp_path, site.data_dir)
        bot.wait_for("the bot is inactive")
        assert "two-strikes is active" in run(wake, tmp_path, site.data_dir)
        assert "begins after position 0" in run(again, tmp_path, site.data_dir)
    assert bot.code == exits.PASSED
    run("bin/doai unquarantine SIM0001", tmp_path, site.data_dir)

    (tmp_path / "asks.py").write_text(ASKS)
    run("bin/doai bots enroll asks --program asks.py", tmp_path, site.data_dir)
    with running("bin/bot --config asks/bot.toml", tmp_path, site.data_dir) as asks:
        asks.wait_for("it failed: SIM0002 failed, app_not_installed")
    assert asks.code == exits.PASSED


def test_a_first_plug_in(site: Up, tmp_path: Path) -> None:
    manifest, recipe = blocks(PLUGIN, "yaml")
    [module] = blocks(PLUGIN, "python")
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme/plugin.yaml").write_text(manifest)
    (tmp_path / "acme/acme_steps.py").write_text(module)
    (tmp_path / "room.yaml").write_text(recipe)
    check, install, listing, add, start, change, again = commands(PLUGIN)
    assert "it brings steps acme.free_space" in run(check, tmp_path, site.data_dir)
    run(install, tmp_path, site.data_dir)

    def wait_listed(command: str, words: str) -> None:
        ends = time.monotonic() + COMMAND_S
        while words not in (told := " ".join(run(command, tmp_path, site.data_dir).split())):
            assert time.monotonic() < ends, told

    wait_listed(listing, "acme 1.0")
    run(add, tmp_path, site.data_dir)
    assert "passed" in run(start, tmp_path, site.data_dir)
    run(change, tmp_path, site.data_dir)
    wait_listed(again, "acme 1.1")


def test_how_videos_play_and_stalls_that_were_ordered_are_those_that_are_told(site: Up, tmp_path: Path) -> None:
    enroll, start, check, listing, by_model = commands(PLAYBACK)
    run(enroll, tmp_path, site.data_dir)
    log = (site.data_dir / "log/phones.log").read_text()
    port = re.search(r"control port (\d+)", log)
    assert port is not None
    stalls = {"SIM0001": [(1.5, 0.6), (3.3, 0.5)], "SIM0002": [(2.0, 1.0)], "SIM0003": []}
    for serial, plan in stalls.items():
        for at_s, for_s in plan:
            order = {"fault": "media_stalls", "at_media_s": at_s, "duration_s": for_s}
            trio.run(lambda s=serial, o=order: request_control(int(port[1]), op="fault", serial=s, **o))
    with running(start, tmp_path, site.data_dir) as bot:
        bot.wait_for("the broker has taken the bot in")
        assert "3 of 3 plays passed" in run(check, tmp_path, site.data_dir)
    assert bot.code == exits.PASSED
    shown = run(listing, tmp_path, site.data_dir)
    assert all(serial in shown for serial in stalls)
    assert "stalled" in run(by_model, tmp_path, site.data_dir)
    plays = site.json("plays")
    assert len(plays) == 3
    for play in plays:
        plan = stalls[play["device"]]
        if play["lookGapMs"] < 700:  # A look lasts as long at most, so two are never 1.4 s apart.
            told = (play["outcome"], play["stalls"], play["stalledMs"])
            assert told == ("passed", len(plan), pytest.approx(sum(for_s for _, for_s in plan) * 1000, abs=20)), (
                play
            )
        else:
            assert play["stalls"] <= len(plan), "a machine so slow that nobody looked between two stalls"
    for serial in stalls:
        trio.run(lambda s=serial: request_control(int(port[1]), op="clear", serial=s))


def test_the_commands_of_the_how_to_for_ci(site: Up, tmp_path: Path) -> None:
    (tmp_path / "workflows").symlink_to(ROOT / "workflows")
    run_id = ""
    for command in commands(CI):
        shown = run(command.replace("RUN_ID", run_id), tmp_path, site.data_dir)
        found = re.search(r"^run (\w+) passed", shown, re.MULTILINE)
        run_id = found[1] if found else run_id
    made = {"results.xml", "results.csv", "report.html", "steps.xml", "steps.csv", "graph.svg"}
    assert made <= {path.name for path in tmp_path.iterdir()}


def test_a_secret_is_used_as_the_document_says(site: Up, tmp_path: Path) -> None:
    [recipe] = blocks(SECRETS, "yaml")
    (tmp_path / "shop-login.yaml").write_text(recipe)
    [set_, listing, go, rotate, remove] = commands(SECRETS)
    run(set_, tmp_path, site.data_dir)
    assert "shop-password" in run(listing, tmp_path, site.data_dir)
    assert run(go, tmp_path, site.data_dir).count("passed") == 4
    assert "1 secret(s)" in run(rotate, tmp_path, site.data_dir)
    assert "shop-password is gone" in run(remove, tmp_path, site.data_dir)
    assert "shop-password" in site.refused("run", "shop-login", "--on", "all")


def test_people_and_tokens_step_by_step(site: Up, tmp_path: Path) -> None:
    add, role, password, users, remove, create, tokens, revoke = commands(DASHBOARD)
    shown = [run(command, tmp_path, site.data_dir).splitlines()[-1] for command in (add, password)]
    assert shown[0] != shown[1]
    assert all(line.startswith("password, shown once: ") for line in shown)
    run(role, tmp_path, site.data_dir)
    assert re.search(r"^ann +author", run(users, tmp_path, site.data_dir), re.MULTILINE)
    run(remove, tmp_path, site.data_dir)
    assert "ci-token" in run(create, tmp_path, site.data_dir)
    assert re.search(r"^ci +operator +runs, workflows +live", run(tokens, tmp_path, site.data_dir), re.MULTILINE)
    run(revoke, tmp_path, site.data_dir)


def test_notifications_step_by_step(site: Up, tmp_path: Path) -> None:
    [channels], [check] = blocks(NOTIFY, "json"), blocks(NOTIFY, "python")
    enroll, start, mail, key, configure, listing, night, program = commands(NOTIFY)
    with hook() as received, inbox() as letters:
        run(enroll, tmp_path, site.data_dir)
        address = f"mailto://{letters.address}?mode=insecure&from=doai@example.com&"
        assert "mailtos://user:password@mail.example.com?" in mail
        run(mail.replace("mailtos://user:password@mail.example.com?", address), tmp_path, site.data_dir)
        run(key.replace(" | ", " | tee key | "), tmp_path, site.data_dir)
        (tmp_path / "channels.json").write_text(channels.replace("https://hooks.example.com/doai", received.url))
        with running(start, tmp_path, site.data_dir) as bot:
            bot.wait_for("the broker has taken the bot in")
            run(configure, tmp_path, site.data_dir)
            assert "program" in run(listing, tmp_path, site.data_dir)
            assert "was sent" in run(night, tmp_path, site.data_dir)
            assert "was sent" in run(program, tmp_path, site.data_dir)
        assert "[doai] 시험 메시지" in [letter["subject"] for letter in letters.letters]
    assert bot.code == exits.PASSED
    # What earlier tests did to this installation may be told meanwhile, such as that a bot of theirs is down.
    told = {json.loads(body)["notices"][0]["thing"]: (headers, body) for headers, body in received.requests}
    headers, body = told["test"]
    receiver: dict[str, Any] = {}
    exec(check, receiver)
    is_ours, right = receiver["is_ours"], (tmp_path / "key").read_text()
    assert not is_ours("another key", headers, body)
    assert not is_ours(right, headers, body + b" ")
    assert not is_ours(right, {**headers, "webhook-timestamp": "1"}, body)
    assert is_ours(right, headers, body)
    assert not is_ours(right, headers, body), "it was handled before"


def test_how_phones_are(site: Up, tmp_path: Path) -> None:
    [config], [own] = blocks(HEALTH, "json"), blocks(HEALTH, "python")
    enroll, start, look, configure, reports = commands(HEALTH)
    run(enroll, tmp_path, site.data_dir)
    (tmp_path / "health.json").write_text(config.replace('"30s"', '"2s"'))
    with running(start, tmp_path, site.data_dir) as bot:
        bot.wait_for("the broker has taken the bot in")
        run(configure, tmp_path, site.data_dir)
        deadline_s = time.monotonic() + COMMAND_S
        while not site.json("devices", "samples", "SIM0001")["points"]:
            assert time.monotonic() < deadline_s, "no sample came"
        assert "battery %" in run(look, tmp_path, site.data_dir)
        assert "nothing yet" in run(reports, tmp_path, site.data_dir)
    assert bot.code == exits.PASSED
    example: dict[str, Any] = {}
    exec(own, example)
    assert list(example["bot"].handlers) == ["cool"]


def test_programs_of_many_machines(site: Up, tmp_path: Path) -> None:
    node = (site.data_dir / "node-1" / "node.toml").read_text()
    (tmp_path / "node.toml").write_text(node)
    checked = [line for line in commands(ROOT / "README.md") if line.startswith(SETTINGS_CHECKED)]
    assert [line.split()[0] for line in checked] == list(SETTINGS_CHECKED)
    for command in checked:
        command = f"unset DOAI_DATA_DIR; {command} --check-config"
        assert "data_dir = " in run(command, tmp_path, site.data_dir)


def test_the_stand_in_for_the_vendors_program(tmp_path: Path) -> None:
    [start] = commands(XIAOWEI)
    [settings] = blocks(XIAOWEI, "toml")
    named = set(re.findall(r"`xiaowei\.(\w+)`", XIAOWEI.read_text(encoding="utf-8")))
    assert named == set(XiaoweiConfig.__struct_fields__)
    table = tomllib.loads(settings)
    [driver] = table["drivers"]
    assert load_driver(find_plugins(), driver, split_settings(table["driver_settings"])[driver]).name == driver
    # The port of the text may be in use here.
    with running(start.replace("22222", "0"), tmp_path, tmp_path) as phones:
        phones.wait_for("ws://127.0.0.1:")
    assert phones.code == exits.PASSED


@pytest.mark.parametrize("path", SHOWN_IN, ids=name)
def test_every_command_shown_is_run_somewhere(path: Path) -> None:
    run_above = (
        TUTORIAL,
        BACK_UP,
        UPGRADE,
        KEEP,
        LABELS,
        INCIDENTS,
        FILES,
        CI,
        DEAD,
        QUEUES,
        BOT,
        PLUGIN,
        PLAYBACK,
        NOTIFY,
        HEALTH,
        XIAOWEI,
        DASHBOARD,
        SECRETS,
        SCREENS,
        SCRIPT,
        ROOT / "README.md",
        ROOT / "README.ko.md",
    )
    if path in (*run_above, *OF_A_FLEET):
        return  # wholly run, but for what is named here
    if path in (SCHEDULES, APPS):
        return  # run above, too
    for command in commands(path):
        known = command in RUN_ELSEWHERE or command.startswith(SETTINGS_CHECKED)
        assert known, f"{name(path)} shows {command!r}: run it in this module, or say here why not"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_links_lead_to_files(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (path.parent / target).exists(), f"{name(path)} links to {target}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_files_that_are_named_exist(path: Path) -> None:
    """A path in backquotes or in the way of a task is one from the root of the checkout."""
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"`((?:bin|docs|tests|doai|proto|workflows|changes\.d)/[\w./-]*)[ `]", text)
    for where in named:
        assert (ROOT / where).exists(), f"{name(path)} names {where}"


def test_the_way_of_a_task_names_real_files() -> None:
    [way] = [block for block in blocks(ROOT / "ARCHITECTURE.md", "") if block.startswith(" 1 ")]
    for line in way.splitlines():
        places = re.findall(r"[\w/]+(?:\.py|/)(?=,|\s|$)", line[60:])
        assert places, line
        folder = ""
        for place in places:
            folder = place.rpartition("/")[0] if place.startswith("doai/") else folder
            there = [ROOT / place, ROOT / folder / place]
            assert any(found.exists() for found in there), f"{place} is not there: {line}"


def test_the_picture_of_the_demo_is_shown_and_real() -> None:
    picture = (ROOT / "docs/demo.svg").read_text(encoding="utf-8")
    assert "docs/demo.svg" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert picture.startswith("<svg")
    assert "SIM0001" in picture


def test_the_gallery_shows_every_page_and_every_kept_picture() -> None:
    folder = ROOT / "docs" / "screenshots"
    kept = {f"{page}-{fleet}-{language}-{theme}.png" for fleet, page, language, theme in SHOWN}
    shown = re.findall(r"\]\(\./([^)]+)\)", (folder / "README.md").read_text(encoding="utf-8"))
    assert {path.name for path in folder.glob("*.png")} == kept == set(shown)
    assert {page for _, page, _, _ in SHOWN} == set(PAGES), "a page of the dashboard has no picture"
    assert sum(path.stat().st_size for path in folder.glob("*.png")) < 4 * 1024 * 1024
