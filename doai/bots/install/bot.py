"""The install-bot itself: what it is called for (step 14)."""

from __future__ import annotations

from doai import __version__
from doai.bots.bot import Bot
from doai.bots.context import Context
from doai.bots.install import onboarding, wish
from doai.bots.install.onboarding import NewPhones, Onboard, Onboarded, Onboarding
from doai.bots.install.report import Report
from doai.bots.install.rollout import Rollout
from doai.bots.install.wish import InstallApp
from doai.messages.events import DeviceOnline

bot = Bot(
    "install-bot",
    title="Installs apps on many phones, a few first; takes new phones in",
    type="install",
    version=__version__,
    capabilities=["app.install", "device.onboard"],
    config=NewPhones,
    max_tasks=20,
)


@bot.task(wish.KIND, name="install")
async def install(wanted: InstallApp, ctx: Context) -> Report:
    """Install an app on phones."""
    return await Rollout(wanted, ctx).perform()


@bot.task(onboarding.KIND, name="onboard")
async def onboard(wanted: Onboard, ctx: Context) -> Onboarded:
    """Take a phone in."""
    return await Onboarding(wanted, ctx).perform()


@bot.on("device.online")
async def met(event: DeviceOnline, ctx: Context) -> None:
    """A phone that was never seen is taken in, where the configuration says so."""
    await onboarding.met(event.serial, ctx)
