"""The playback-bot: lets phones play given videos, one's own or test content, and measures how that goes (step 14).

It opens an address and looks. It never acts as a viewer: no gesture is made up, nothing is liked, commented on or
subscribed to, and no play is there to be counted by anybody. `wish.py` is what it is asked for, `check.py` does it,
`bot.py` is the bot.
"""

from doai.bots.playback.bot import bot
from doai.bots.playback.check import KIND
from doai.bots.playback.report import CheckReport
from doai.bots.playback.wish import PlaybackCheck, Video

__all__ = ["KIND", "CheckReport", "PlaybackCheck", "Video", "bot"]
