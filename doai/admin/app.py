"""The ASGI application: which operations there are, who may use them, how errors look (steps 1, 10, 14)."""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from doai import __version__
from doai.admin.access import require_token
from doai.admin.dashboard import live
from doai.admin.dashboard.site import pages
from doai.admin.etags import answer_with_etags
from doai.admin.problems import answer_doai_error, answer_http_error, answer_unforeseen
from doai.admin.routes import (
    artifacts,
    audit,
    backups,
    baselines,
    bot_reports,
    bot_secrets,
    bots,
    campaigns,
    dead_letters,
    descriptions,
    enrolment,
    events,
    files,
    finished,
    fleet,
    health,
    holds,
    identifying,
    incidents,
    keys,
    logcats,
    logs,
    metrics,
    notifications,
    overview,
    plays,
    quarantine,
    queues,
    reruns,
    retention,
    runs,
    samples,
    screens,
    secrets,
    settings,
    statistics,
    users,
    versions,
    workflows,
)
from doai.admin.routes.parameters import provide_caller
from doai.admin.services import Services
from doai.errors import DoaiError
from doai.limits import REQUEST_BYTES_MAX

_PROBES: Final = frozenset({"/healthz", "/readyz"})
_POLLED: Final = frozenset({"/api/v1/screens", "/api/v1/logcats"})
"""Nodes ask here whether somebody looks, again and again."""
_SHIPPED: Final = "/static/"

_log: Final = logging.getLogger("doai.admin.access")

_OPERATIONS: Final = (
    runs.create_run,
    runs.list_runs,
    runs.show_run,
    runs.list_steps,
    runs.cancel_run,
    runs.list_tasks,
    runs.show_task,
    runs.cancel_task,
    fleet.list_devices,
    fleet.show_device,
    fleet.list_nodes,
    fleet.show_node,
    screens.look,
    logcats.read_logcat,
    logcats.stream_logcat,
    versions.show_versions,
    settings.show_settings,
    samples.list_samples,
    descriptions.describe_device,
    descriptions.describe_devices,
    quarantine.quarantine_device,
    quarantine.release_device,
    quarantine.quarantine_node,
    quarantine.release_node,
    holds.hold_device,
    holds.unhold_device,
    identifying.identify_device,
    incidents.list_incidents,
    incidents.acknowledge_incident,
    incidents.resolve_incident,
    dead_letters.list_dead_letters,
    dead_letters.show_dead_letter,
    dead_letters.retry_dead_letters,
    dead_letters.discard_dead_letters,
    bots.list_bots,
    bots.show_bot,
    bot_reports.list_reports,
    bots.configure_bot,
    bots.set_bot_status,
    bots.reset_subscription,
    notifications.list_channels,
    notifications.test_channel,
    queues.list_queues,
    queues.show_queue,
    queues.put_queue,
    queues.pause_queue,
    queues.resume_queue,
    queues.drain_queue,
    queues.discard_queue,
    finished.clean_queue,
    finished.retry_failed,
    workflows.list_workflows,
    workflows.show_workflow,
    workflows.store_workflow,
    workflows.check_workflow,
    workflows.list_versions,
    workflows.diff_versions,
    workflows.draw_graph,
    workflows.activate_version,
    workflows.archive_version,
    artifacts.list_artifacts,
    artifacts.fetch_artifact,
    files.list_files,
    files.show_file,
    files.show_app,
    files.put_file,
    files.remove_file,
    baselines.accept_baselines,
    events.list_events,
    events.stream_events,
    events.story,
    campaigns.list_campaigns,
    campaigns.put_campaign,
    campaigns.show_campaign,
    campaigns.list_times,
    campaigns.next_times,
    campaigns.pause_campaign,
    campaigns.resume_campaign,
    campaigns.fire_campaign,
    campaigns.remove_campaign,
    campaigns.preview_schedule,
    backups.list_backups,
    backups.make_backup,
    backups.check_backup,
    statistics.list_statistics,
    plays.list_plays,
    plays.report_plays,
    audit.list_audit,
    logs.list_logs,
    overview.show_overview,
    reruns.retry_task,
    reruns.rerun_failed,
    reruns.compare,
    statistics.show_trend,
    retention.show_retention,
    retention.begin_retention,
    retention.list_usage,
    keys.list_keys,
    keys.add_key,
    keys.revoke_key,
    keys.list_tokens,
    keys.add_token,
    keys.revoke_token,
    users.list_users,
    users.create_user,
    users.set_password,
    users.set_role,
    users.remove_user,
    users.show_me,
    enrolment.enrol_nodes,
    enrolment.list_enrolments,
    secrets.list_secrets,
    secrets.set_secret,
    secrets.remove_secret,
    secrets.rotate_secrets,
    secrets.show_adb_key,
    secrets.make_shared_adb_key,
)
"""Of people and programs: each needs a token."""


def make_app(services: Services) -> ASGIApp:
    """Return the application; all below /api/v1 needs a token, but for uploads, which need a node's secret."""
    return log_requests(answer_with_etags(_application(services)))


def describe_api() -> dict[str, Any]:
    """Return the OpenAPI description, for documents: nothing runs and nothing is opened."""
    return _application(None).openapi_schema.to_schema()


def _application(services: Services | None) -> Litestar:
    api = Router(
        path="/api/v1",
        guards=[require_token],
        dependencies={"caller": Provide(provide_caller, sync_to_thread=False)},
        route_handlers=_OPERATIONS,
    )
    return Litestar(
        route_handlers=[
            api,
            artifacts.store_artifact,
            files.fetch_content,
            enrolment.join,
            secrets.task_secrets,
            bot_secrets.bot_secret,
            screens.wanted_screens,
            screens.bring_screen,
            logcats.wanted_logcats,
            logcats.bring_logcat,
            live.stream,
            metrics.metrics,
            *pages(),
            health.healthz,
            health.readyz,
        ],
        dependencies={"services": Provide(lambda: services, sync_to_thread=False)},
        exception_handlers={
            DoaiError: answer_doai_error,
            HTTPException: answer_http_error,
            Exception: answer_unforeseen,
        },
        state=State({"services": services}, deep_copy=False),
        request_max_body_size=REQUEST_BYTES_MAX,
        openapi_config=_openapi(),
        logging_config=None,
        debug=False,
    )


def _openapi() -> OpenAPIConfig:
    schemes: dict[str, Any] = {
        "token": SecurityScheme(type="http", scheme="bearer", description="made by `doai up`, or POST /tokens"),
        "node": SecurityScheme(type="apiKey", name="X-Node-Id", security_scheme_in="header"),
        "nodeSecret": SecurityScheme(type="apiKey", name="X-Node-Auth", security_scheme_in="header"),
        "botSecret": SecurityScheme(type="apiKey", name="X-Bot-Auth", security_scheme_in="header"),
    }
    return OpenAPIConfig(
        title="doai",
        version=__version__,
        description="Runs versioned workflows on fleets of Android devices. Errors are application/problem+json.",
        path="/schema",
        # The description only: a page that draws it would load its parts from elsewhere.
        render_plugins=[JsonRenderPlugin(path=["/", "/openapi.json"])],
        components=Components(security_schemes=schemes),
        security=[{"token": []}],
    )


def log_requests(app: ASGIApp) -> ASGIApp:
    """Wrap an application so that every request is one log line, without its query and its headers."""

    async def logged(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        begun_s = time.monotonic()
        status = 0

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await app(scope, receive, note)
        finally:
            client = scope.get("client")
            caller = scope.get("auth")
            method, path = scope.get("method", ""), scope["path"]
            # A page that is open asks every second: what somebody read and got is said only to who wants all.
            is_read = method == "GET" and (caller is not None or path in _POLLED or path.startswith(_SHIPPED))
            _log.log(
                logging.DEBUG if path in _PROBES or (is_read and status < 400) else logging.INFO,
                "%s %s %d",
                method,
                path[:300],
                status,
                extra={
                    "client": client[0] if client else "",
                    "caller": getattr(caller, "name", ""),
                    "ms": round((time.monotonic() - begun_s) * 1000),
                },
            )

    return logged
