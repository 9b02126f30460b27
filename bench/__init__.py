"""Benchmarks, one module each, run by `bin/bench NAME`; each has `run()`, which yields `Line`s (report.py)."""
