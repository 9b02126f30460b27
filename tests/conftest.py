"""What holds for every test: property tests are deterministic, untimed, and leave nothing behind."""

from hypothesis import settings

# A loaded machine is no failure, the same commit gives the same examples, and no .hypothesis folder is written.
settings.register_profile("doai", deadline=None, derandomize=True, database=None)
settings.load_profile("doai")
