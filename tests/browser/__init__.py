"""What operators do, in a browser: one fleet for all tests of this package."""
