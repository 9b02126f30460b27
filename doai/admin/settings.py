"""Settings of the admin: one name, three spellings (before step 1)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from doai.configuration import check_endpoint
from doai.errors import ConfigError
from doai.limits import DISK_RESERVE_MB, FILE_MAX_MB
from doai.schedule import Schedule, ScheduleError, check_schedule, zone_of
from doai.store.retention_reader import Policy
from doai.tls import check_server_files, fingerprint_of, is_http_url, is_loopback


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What `bin/admin` can be told; `checked` says what can not go together."""

    data_dir: Annotated[Path, Meta(description="folder of the broker's data (broker.db, keys)")]
    endpoint: Annotated[str, Meta(description="where the broker is, tcp://host:port")] = "tcp://127.0.0.1:7701"
    public_endpoint: Annotated[
        str, Meta(description="the broker's address as nodes elsewhere reach it; empty = the endpoint")
    ] = ""
    artifacts_dir: Annotated[Path | None, Meta(description="folder of artifacts; empty = data_dir/artifacts")] = (
        None
    )
    files_dir: Annotated[Path | None, Meta(description="folder of files for phones; empty = data_dir/files")] = None
    file_max_mb: Annotated[
        int, Meta(ge=1, le=1_000_000, description="largest file for phones that can be put, in MB")
    ] = FILE_MAX_MB
    disk_reserve_mb: Annotated[
        int, Meta(ge=0, description="with less free disk (MB) no file is taken in; 0 = always")
    ] = DISK_RESERVE_MB
    host: Annotated[str, Meta(description="address to listen on")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="port to listen on; 0 = any free one")] = 7700
    behind_proxy: Annotated[
        bool, Meta(description="a proxy with TLS is in front: listening beyond loopback is allowed")
    ] = False
    tls_cert: Annotated[
        Path | None, Meta(description="certificate in PEM form (with its chain): HTTPS is served")
    ] = None
    tls_key: Annotated[Path | None, Meta(description="its private key in PEM form, mode 0600")] = None
    public_url: Annotated[
        str, Meta(description="http(s):// address of this API as nodes elsewhere reach it; empty = as it was asked")
    ] = ""
    first_token_file: Annotated[
        Path | None, Meta(description="where the first token is written; empty = it is printed once")
    ] = None
    backups_dir: Annotated[Path | None, Meta(description="folder of backups; empty = data_dir/backups")] = None
    backup_every_h: Annotated[
        float, Meta(ge=0, le=8760, description="hours between scheduled backups; 0 = only on demand")
    ] = 24.0
    backup_cron: Annotated[
        str, Meta(description="times of scheduled backups, such as '30 3 * * *', in the place of backup_every_h")
    ] = ""
    backup_zone: Annotated[str, Meta(description="time zone of backup_cron, such as Asia/Seoul")] = "UTC"
    backups_keep: Annotated[int, Meta(ge=1, le=10_000, description="backups that stay, the newest")] = 7
    retention_every_h: Annotated[
        float, Meta(ge=0, le=8760, description="hours between passes of retention; 0 = only on demand")
    ] = 6.0
    keep_tasks_days: Annotated[
        float, Meta(ge=0, description="days that runs stay after their end, with tasks and events; 0 = for ever")
    ] = 90.0
    keep_tasks_max: Annotated[
        int, Meta(ge=0, description="tasks that stay at most; the oldest runs go first; 0 = all")
    ] = 2_000_000
    keep_events_days: Annotated[
        float, Meta(ge=0, description="days that events of devices, nodes and the system stay; 0 = for ever")
    ] = 90.0
    keep_events_max: Annotated[int, Meta(ge=0, description="such events that stay at most; 0 = all")] = 2_000_000
    keep_artifacts_days: Annotated[
        float, Meta(ge=0, description="days that artifacts stay, as long as their run at most; 0 = as long as it")
    ] = 30.0
    keep_artifacts_disk_percent: Annotated[
        float, Meta(ge=0, le=100, description="share of their disk that artifacts take at most; 0 = all of it")
    ] = 50.0
    keep_log_days: Annotated[
        float, Meta(ge=0, description="days that log lines of all processes stay; 0 = none are kept")
    ] = 7.0
    keep_log_lines: Annotated[int, Meta(ge=1000, description="log lines that stay at most")] = 2_000_000
    keep_audit_days: Annotated[float, Meta(ge=0, description="days that rows of the audit stay; 0 = for ever")] = (
        400.0
    )
    keep_audit_max: Annotated[int, Meta(ge=0, description="rows of the audit that stay at most; 0 = all")] = (
        2_000_000
    )
    keep_samples_hours: Annotated[
        float, Meta(ge=0, description="hours that samples of devices stay, one a minute; 0 = for ever")
    ] = 24.0
    keep_sample_hours_days: Annotated[
        float, Meta(ge=0, description="days that what hours of samples came to stays; 0 = for ever")
    ] = 90.0
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="least severe lines that are logged")
    ] = "info"
    log_form: Annotated[
        Literal["auto", "json", "terminal", "journal"], Meta(description="form of log lines; auto = what stderr is")
    ] = "auto"

    @property
    def store_path(self) -> Path:
        """The broker's file, which is only read here."""
        return self.data_dir / "broker.db"

    @property
    def scheme(self) -> str:
        """Of the addresses this admin serves itself."""
        return "http" if self.tls_cert is None else "https"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, by which a client may pin it; empty without one."""
        return "" if self.tls_cert is None else fingerprint_of(self.tls_cert)

    @property
    def artifacts_path(self) -> Path:
        return self.artifacts_dir or self.data_dir / "artifacts"

    @property
    def files_path(self) -> Path:
        return self.files_dir or self.data_dir / "files"

    @property
    def log_path(self) -> Path:
        """The file of log lines."""
        return self.data_dir / "log.db"

    @property
    def backups_path(self) -> Path:
        return self.backups_dir or self.data_dir / "backups"

    @property
    def backup_schedule(self) -> Schedule | None:
        """When backups are made; None = every so many hours."""
        return Schedule(cron=self.backup_cron, zone=self.backup_zone) if self.backup_cron else None

    @property
    def policy(self) -> Policy:
        """What retention lets go."""
        return Policy(
            tasks_days=self.keep_tasks_days,
            tasks_max=self.keep_tasks_max,
            events_days=self.keep_events_days,
            events_max=self.keep_events_max,
            artifacts_days=self.keep_artifacts_days,
            artifacts_disk_percent=self.keep_artifacts_disk_percent,
            audit_days=self.keep_audit_days,
            audit_max=self.keep_audit_max,
            samples_hours=self.keep_samples_hours,
            sample_hours_days=self.keep_sample_hours_days,
        )


def checked(settings: Settings) -> Settings:
    """Return the settings, or raise ConfigError with what can not be."""
    check_endpoint("endpoint", settings.endpoint)
    if settings.public_endpoint:
        check_endpoint("public_endpoint", settings.public_endpoint)
    if settings.public_url and not is_http_url(settings.public_url):
        raise ConfigError(f"public_url can not be {settings.public_url[:200]!r}: write https://HOST:PORT")
    try:
        zone_of(settings.backup_zone)
    except ScheduleError as error:
        raise ConfigError(f"backup_zone: {error}") from error
    if settings.backup_schedule is not None:
        try:
            check_schedule(settings.backup_schedule, time.time_ns() // 1_000_000)
        except ScheduleError as error:
            raise ConfigError(f"backup_cron: {error}") from error
    _check_tls(settings)
    if 0 < settings.keep_tasks_days < settings.keep_artifacts_days:
        raise ConfigError(
            f"keep_artifacts_days = {settings.keep_artifacts_days:g} is more than keep_tasks_days = "
            f"{settings.keep_tasks_days:g}: artifacts go with their run at the latest: give them no more days"
        )
    return settings


def _check_tls(settings: Settings) -> None:
    certificate, key = settings.tls_cert, settings.tls_key
    if certificate is not None and key is not None:
        check_server_files(certificate, key)
    elif certificate is not None or key is not None:
        missing = "tls_key" if key is None else "tls_cert"
        raise ConfigError(f"{missing} is needed too: a certificate and its key make HTTPS together")
    elif not settings.behind_proxy and not is_loopback(settings.host):
        raise ConfigError(
            f"host {settings.host} is reached from outside, and tokens and secrets would travel unencrypted: give "
            "--tls-cert and --tls-key, or put a proxy with TLS in front and set behind_proxy = true, or listen on "
            "127.0.0.1"
        )
