"""Real application packages, built by the tests: compiled manifest, zip, v2 signature."""
