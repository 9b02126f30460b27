"""doai runs versioned workflows on fleets of Android devices and never loses a result."""

__version__ = "0.1.0"
