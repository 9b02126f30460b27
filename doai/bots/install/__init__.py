"""The install-bot: an app on many phones, a few first, and back again when too many fail (step 14).

`wish.py` is what it is asked for, `verdict.py` decides which phones can take the app, `rollout.py` does it by runs
of shipped workflows (app-look, app-install, app-remove), `report.py` says what came of every phone. `bot.py` is the
bot.
"""
