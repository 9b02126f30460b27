"""The dashboard: pages for operators, drawn on the server from the reader, changed by the same commands (step 14).

Read visit.py first (who looks, in what language, how a page is drawn), then overview.py and the page that you want.
"""
