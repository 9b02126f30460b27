"""Names of all DOAI_* variables, so that a misspelt one is an error and that of another program is not.

Every program looks at the whole environment, which one host's programs often share; a test compares this list with
their settings.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

from doai.errors import ConfigError

PREFIX: Final = "DOAI_"
OF_SETTINGS: Final = frozenset(
    {
        "DOAI_ADB_CONNECT",
        "DOAI_ADB_HOME",
        "DOAI_ADB_PATH",
        "DOAI_ADB_PORT",
        "DOAI_ADB_START_SERVER",
        "DOAI_ADB_USB",
        "DOAI_ADMIN_CA",
        "DOAI_ADMIN_FINGERPRINT",
        "DOAI_ADMIN_KEY",
        "DOAI_ADMIN_PLAIN_HTTP",
        "DOAI_ADMIN_URL",
        "DOAI_API_TOKEN",
        "DOAI_ARTIFACTS_DIR",
        "DOAI_BACKUPS_DIR",
        "DOAI_BACKUPS_KEEP",
        "DOAI_BACKUP_CRON",
        "DOAI_BACKUP_EVERY_H",
        "DOAI_BACKUP_ZONE",
        "DOAI_BEHIND_PROXY",
        "DOAI_BOT_DIR",
        "DOAI_BROKER_PUBLIC_KEY",
        "DOAI_DATA_DIR",
        "DOAI_DISK_RESERVE_MB",
        "DOAI_DRAIN_S",
        "DOAI_DRIVERS",
        "DOAI_DRIVER_SETTINGS",
        "DOAI_ENDPOINT",
        "DOAI_FAKE_COUNT",
        "DOAI_FAKE_LATENCY_S",
        "DOAI_FAKE_PREFIX",
        "DOAI_FAKE_SEED",
        "DOAI_FILES_DIR",
        "DOAI_FILE_CACHE_MB",
        "DOAI_FILE_MAX_MB",
        "DOAI_FIRST_TOKEN_FILE",
        "DOAI_HOST",
        "DOAI_HOST_SCRIPTS",
        "DOAI_KEEP_ARTIFACTS_DAYS",
        "DOAI_KEEP_ARTIFACTS_DISK_PERCENT",
        "DOAI_KEEP_AUDIT_DAYS",
        "DOAI_KEEP_AUDIT_MAX",
        "DOAI_KEEP_EVENTS_DAYS",
        "DOAI_KEEP_EVENTS_MAX",
        "DOAI_KEEP_SAMPLES_HOURS",
        "DOAI_KEEP_SAMPLE_HOURS_DAYS",
        "DOAI_KEEP_LOG_DAYS",
        "DOAI_KEEP_LOG_LINES",
        "DOAI_KEEP_TASKS_DAYS",
        "DOAI_KEEP_TASKS_MAX",
        "DOAI_LEASE_S",
        "DOAI_LOG_FORM",
        "DOAI_LOG_LEVEL",
        "DOAI_NAME",
        "DOAI_PLUGIN_DIRS",
        "DOAI_PLUGIN_MEMORY_MB",
        "DOAI_PORT",
        "DOAI_PROGRAM",
        "DOAI_PUBLIC_ENDPOINT",
        "DOAI_PUBLIC_URL",
        "DOAI_QUARANTINE_AFTER",
        "DOAI_QUARANTINE_FIRST_S",
        "DOAI_QUARANTINE_MAX_S",
        "DOAI_QUEUES",
        "DOAI_RETENTION_EVERY_H",
        "DOAI_SECRET",
        "DOAI_SECRETS_DIR",
        "DOAI_SLOTS",
        "DOAI_STORE_WRITER",
        "DOAI_SUPERVISE",
        "DOAI_TAGS",
        "DOAI_TLS_CERT",
        "DOAI_TLS_KEY",
    }
)
"""Of the settings of broker, node, bots and admin."""
OTHERS: Final = frozenset(
    {
        "DOAI_ADB_SERVER_OF",
        "DOAI_CA_FILE",
        "DOAI_CONFIG",
        "DOAI_CONTROL_PORT",
        "DOAI_FILES",
        "DOAI_FINGERPRINT",
        "DOAI_PHONES",
        "DOAI_PYTHON",
        "DOAI_STEP",
        "DOAI_TOKEN",
        "DOAI_URL",
        "DOAI_VENV",
    }
)
"""Of the command line, of host scripts, and of the programs' own start."""


def check_variables(environment: Iterable[str], own: Iterable[str] = ()) -> None:
    """Raise ConfigError for a DOAI_* name that no program knows, with the nearest: first of the program's own."""
    mine = sorted(own)
    known = OF_SETTINGS | OTHERS | set(mine)
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, mine, n=1, cutoff=0.7)
            near = near or difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.7)
            hint = f"did you mean {near[0]}?" if near else "unset it, or correct its name (--help names all)"
            raise ConfigError(f"there is no variable {name}: {hint}")
