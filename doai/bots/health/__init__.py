"""health-bot, as `bin/bot health-bot` runs it (step 14)."""

from doai.bots.health.checks import make_bot

bot = make_bot()
