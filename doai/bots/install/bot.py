"""The install-bot itself: what it is called for (step 14)."""

from __future__ import annotations

from doai import __version__
from doai.bots.bot import Bot
from doai.bots.context import Context
from doai.bots.install.report import Report
from doai.bots.install.rollout import Rollout
from doai.bots.install.wish import KIND, InstallApp

bot = Bot(
    "install-bot",
    title="Installs apps on many phones, a few first",
    type="install",
    version=__version__,
    capabilities=["app.install"],
    max_tasks=4,
)


@bot.task(KIND, name="install")
async def install(wish: InstallApp, ctx: Context) -> Report:
    """Install an app on phones."""
    return await Rollout(wish, ctx).perform()
