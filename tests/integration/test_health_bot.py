"""health-bot over real processes: a phone that gets hot is an incident and gets no tasks, until it is cool."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from subprocess import DEVNULL

import trio

from doai.drivers.adb.config import AdbConfig
from doai.drivers.adb.server import find_adb
from doai.messages import bots as b
from tests.integration.fleet import Fleet, open_fleet

PROGRAM = "from doai.bots.health import bot\n\nbot.run()\n"
CONFIG = {"interval": "2s", "battery_hot_from_c": 46, "battery_hot_until_c": 43}


async def order(fleet: Fleet, celsius_tenths: int) -> None:
    """Let the first phone have a temperature, as a person at the host's adb would."""
    port = fleet.children["phones"].ready["X_DOAI_PHONES"].split(",")[0]
    adb = [find_adb(AdbConfig()), "-P", str(fleet.adb_port("node")), "-s", f"127.0.0.1:{port}"]
    await trio.run_process([*adb, "shell", f"dumpsys battery set temp {celsius_tenths}"], stdout=DEVNULL)


def incident(fleet: Fleet, state: str) -> bool:
    sql = "SELECT count(*) FROM incidents WHERE type = 'BATTERY_HOT' AND state = ?"
    return fleet.store.ask(sql, state) == [(1,)]


def quarantined(fleet: Fleet) -> int:
    return int(fleet.store.ask("SELECT count(*) FROM devices WHERE quarantine IS NOT NULL")[0][0])


async def test_a_hot_phone_is_out_of_service_until_it_is_cool(tmp_path: Path) -> None:
    program = tmp_path / "health-bot.py"
    program.write_text(PROGRAM)
    async with open_fleet(tmp_path / "fleet", phones=2, bot=program) as fleet:
        await order(fleet, 465)
        await fleet.command(b.CONFIGURE_BOT, b.ConfigureBot(name="health-bot", config=CONFIG))
        await fleet.wait("a quarantine", lambda: quarantined(fleet) == 1)
        await fleet.wait("an incident", partial(incident, fleet, "open"))
        await fleet.children["bot"].stop()
        await fleet.start("bot")
        await order(fleet, 420)
        await fleet.wait("its end", partial(incident, fleet, "resolved"))
        await fleet.wait("a release", lambda: quarantined(fleet) == 0)
        stored = "SELECT count(DISTINCT serial) FROM device_samples"
        await fleet.wait("samples of both phones", lambda: fleet.store.ask(stored) == [(2,)])
        told = fleet.store.ask("SELECT count(*) FROM events WHERE type = 'device.error'")
        assert told == [(1,)], "once a crossing, over a restart of the bot"
