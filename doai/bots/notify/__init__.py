"""notify-bot, as `bin/bot notify-bot` runs it (step 14)."""

from doai.bots.notify.notifier import make_bot

bot = make_bot()
