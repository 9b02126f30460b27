"""The bot's pure core: which handler is called for what and when, and what follows from its end (step 14).

`work.py` has its words as data. `subscription.py` orders the events of one handler, `boxes.py` keeps samples, times
and tasks; `dispatcher.py` starts what may run and cuts off what hangs; `session.py` is the conversation with the
broker. Nothing here does I/O or reads a clock.
"""
