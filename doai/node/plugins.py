"""The plug-ins of a node: found, run in processes of their own, watched; what they offer now (step 8).

When the folder of a plug-in changes, a process of its new content is started beside the old one. Once it is
ready, tasks that begin use the new one, tasks that have begun go on with theirs, and the old one ends when it is
idle. A new content that can not be used is told, and the one before goes on. Modules are imported from a copy, so
that a running process never sees half of a change.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio

from doai.backoff import Backoff
from doai.codec import encode
from doai.errors import ErrorClass
from doai.limits import PLUGINS_BYTES_MAX
from doai.messages.plugins import PluginOffer, PluginState
from doai.node.core.effects import StartStep
from doai.node.plugin_host import HostEnded, PluginHost, TryContext
from doai.node.plugin_version import (
    CRASH_WINDOW_S,
    Version,
    check_schemas,
    offer_of,
    provider_of,
    resident_bytes,
    shorten,
)
from doai.node.steps.base import StepFunction, step_failed
from doai.plugins.discovery import (
    SHIPPED,
    Found,
    LeftOut,
    Plugin,
    copy_plugin,
    find_plugins,
    folders_with_manifest,
    signature_of,
)
from doai.plugins.manifest import ManifestError
from doai.workflow.step_schema import StepSchemaError, step_type_of
from doai.workflow.step_type import StepType

LOOK_S: Final = 1.0
"""A changed folder is used when it has been the same at two looks; memory is looked at as often."""
RESTART: Final = Backoff(first_s=0.5, longest_s=30.0)
KEPT_MAX: Final = 10
"""Earlier versions that tasks may still go on with; older ones nobody can be at any more."""
_log: Final = logging.getLogger(__name__)

Changed = Callable[[list[PluginOffer], Mapping[str, StepType]], None]
"""Is told what the plug-ins are, and the steps that can be performed now."""


class Plugins:
    """All of a node; `run` must be running."""

    def __init__(
        self,
        folders: Sequence[Path],
        copies: Path,
        steps: Mapping[str, StepFunction],
        *,
        memory_bytes: int,
        shipped: Path = SHIPPED,
        look_s: float = LOOK_S,
        restart: Backoff = RESTART,
    ) -> None:
        """``copies`` is a folder of this object alone; ``steps`` are those of doai that a step may ask for.

        A process with more resident memory than ``memory_bytes`` is replaced once it has performed a step, one with
        twice as much is killed.
        """
        self._folders = folders
        self._copies = copies
        self._steps = steps
        self._memory_bytes = memory_bytes
        self._shipped = shipped
        self._look_s = look_s
        self._restart = restart
        self._current: dict[str, Version] = {}
        self._versions: dict[str, Version] = {}
        self._failed: dict[str, LeftOut] = {}
        """Contents that could not be used, by the name of the plug-in."""
        self._left_out: dict[str, LeftOut] = {}
        self._told: list[PluginOffer] = []
        self._changed: Changed = lambda offers, types: None
        self._nursery: trio.Nursery
        self._names = 0

    async def run(self, changed: Changed, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look after the plug-ins until cancelled; ``changed`` is called whenever they are others than before."""
        self._changed = changed
        await _remove(self._copies)
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            used = before = await trio.to_thread.run_sync(self._signatures)
            await self._look()
            while True:
                await trio.sleep(self._look_s)
                now = await trio.to_thread.run_sync(self._signatures)
                if now != used and now == before:  # what still changes is left alone
                    used = now
                    await self._look()
                before = now

    async def perform(self, effect: StartStep, arguments: dict[str, Any], context: TryContext) -> dict[str, Any]:
        """Perform a try with the content of the plug-in that its task began with; raises StepError."""
        version = self._versions.get(effect.provider)
        if version is None:
            what = effect.provider[:50]
            message = f"Step {effect.key.step_id}: {what} was replaced too often for its task to go on."
            raise step_failed(ErrorClass.INFRASTRUCTURE, "plugin_gone", message)
        while (host := version.host) is None or not host.is_ready:
            if version.problem:
                raise step_failed(
                    ErrorClass.INFRASTRUCTURE,
                    "plugin_broken",
                    f"Step {effect.key.step_id} ({effect.use}): {version.plugin.label} is given up, because "
                    f"{version.problem}.",
                )
            self._keep(version)
            await version.news.wait()
        return await host.perform(effect, arguments, context)

    # --- what there is ----------------------------------------------------------------------------------------

    def _signatures(self) -> object:
        folders = [folder for parent in self._folders for folder in folders_with_manifest(parent)]
        folders += [version.plugin.folder for version in self._current.values() if not version.plugin.is_folder]
        return tuple((str(folder), signature_of(folder)) for folder in folders)

    async def _look(self) -> None:
        found: Found = await trio.to_thread.run_sync(partial(find_plugins, self._folders, shipped=self._shipped))
        # What ships with doai and brings no step is no news: the node's drivers are told among its capabilities.
        plugins = [
            plugin for plugin in found.plugins if plugin.manifest.steps or plugin.folder.parent != self._shipped
        ]
        # A manifest that can not be read may not tell its name: its folder does.
        names_of = {str(version.plugin.folder): name for name, version in self._current.items()}
        bad = [out for out in found.left_out if not out.is_older]
        self._left_out = {names_of.get(out.folder, out.name): out for out in bad}
        names = {plugin.manifest.name for plugin in plugins}
        for name in sorted(self._failed.keys() - names):
            del self._failed[name]
        for name in sorted(self._current.keys() - names - self._left_out.keys()):
            self._retire(self._current.pop(name))
        async with trio.open_nursery() as meanwhile:
            meanwhile.start_soon(self._offer_again_and_again)
            async with trio.open_nursery() as nursery:
                for plugin in plugins:
                    nursery.start_soon(self._take, plugin)
            meanwhile.cancel_scope.cancel()
        self._offer()

    async def _offer_again_and_again(self) -> None:
        """One plug-in that takes long to import keeps the others from nobody."""
        while True:
            await trio.sleep(2 * self._look_s)
            self._offer()

    async def _take(self, plugin: Plugin) -> None:
        """Use a plug-in, unless it is used already or its content could not be."""
        name, before = plugin.manifest.name, self._current.get(plugin.manifest.name)
        if before is not None and before.provider == provider_of(plugin):
            self._failed.pop(name, None)
            return
        version = self._versions.get(provider_of(plugin))
        if version is None or version.problem:
            try:
                folder = await self._copy(plugin)
            except ManifestError as error:
                self._fail(plugin, str(error))
                return
            if version is not None:
                self._forget(version)
            version = Version(plugin, folder)
        self._versions[version.provider] = version
        version.is_current = True
        if plugin.manifest.steps:
            self._keep(version)
            while not version.schemas and not version.problem:
                await version.news.wait()
        if version.problem:
            version.is_current = False
            self._fail(plugin, version.problem)
            if not version.schemas:  # no task can have begun with it
                self._forget(version)
            return
        self._failed.pop(name, None)
        self._current[name] = version
        if before is not None:
            self._retire(before)
        _log.info("plug-in %s is ready", plugin.label)

    async def _copy(self, plugin: Plugin) -> Path:
        if not plugin.is_folder:
            return plugin.folder
        self._names += 1
        folder = self._copies / f"{plugin.manifest.name}-{plugin.digest[:12]}-{self._names}"
        try:
            await trio.to_thread.run_sync(copy_plugin, plugin, folder)
        except ManifestError:
            await _remove(folder)
            raise
        return folder

    def _fail(self, plugin: Plugin, reason: str) -> None:
        name = plugin.manifest.name
        out = LeftOut(name=name, version=plugin.manifest.version, folder=str(plugin.folder), reason=reason)
        if self._failed.get(name) != out:
            _log.error("plug-in %s in %s is left out: %s", plugin.label, plugin.folder, reason)
        self._failed[name] = out

    def _retire(self, version: Version) -> None:
        version.is_current = False
        old = [other for other in self._versions.values() if not other.is_current and not other.is_kept]
        for other in old[: max(0, len(old) - KEPT_MAX)]:
            self._forget(other)

    def _forget(self, version: Version) -> None:
        """No task can go on with it; its copy goes, too."""
        known = self._versions.pop(version.provider, None) is not None
        if known and version.plugin.is_folder:
            self._nursery.start_soon(_remove, version.folder)

    # --- what is offered --------------------------------------------------------------------------------------

    def _offer(self) -> None:
        offers, types = self._offers()
        if offers != self._told:
            self._told = offers
            self._changed(offers, types)

    def _offers(self) -> tuple[list[PluginOffer], dict[str, StepType]]:
        bad = self._left_out | self._failed
        offers: list[PluginOffer] = []
        types: dict[str, StepType] = {}
        size_bytes = 0
        for name in sorted(self._current.keys() | bad.keys()):
            version, out = self._current.get(name), bad.get(name)
            if version is None:
                assert out is not None
                offer = PluginOffer(
                    name=name, version=out.version, state=PluginState.BROKEN, reason=shorten(out.reason)
                )
            else:
                offer = offer_of(version, "" if out is None else out.reason)
            size_bytes += len(encode(offer))
            if size_bytes > PLUGINS_BYTES_MAX:
                limit = (
                    f"the plug-ins of this node together are described in more than {PLUGINS_BYTES_MAX // 1024} KiB"
                )
                offer = PluginOffer(name=name, version=offer.version, state=PluginState.BROKEN, reason=limit)
            offers.append(offer)
            if offer.state is PluginState.READY and version is not None:
                types |= {schema.name: step_type_of(schema, version.provider) for schema in offer.steps}
        return offers, types

    # --- processes --------------------------------------------------------------------------------------------

    def _keep(self, version: Version) -> None:
        """See to it that it has a process."""
        if not version.is_kept:
            version.is_kept = True
            self._nursery.start_soon(self._run, version)

    async def _run(self, version: Version) -> None:
        label = version.plugin.label
        while True:
            host = PluginHost(version.plugin, version.folder, self._steps)
            try:
                await self._nursery.start(host.run)
                check_schemas(host.schemas, version.provider)
            except (HostEnded, StepSchemaError) as error:
                host.stop()
                if not version.schemas or not self._crashed(version, str(error)):
                    version.problem = version.problem or str(error)
                    break
            else:
                version.schemas = version.schemas or host.schemas
                version.put(host)
                await self._attend(version, host)
                version.put(None)
                if host.has_ended.is_set() and host.reason and not self._crashed(version, host.reason):
                    break
                if not version.is_current:
                    break
            if version.crashes:
                await trio.sleep(self._restart.delay_s(len(version.crashes), 1.0))
        version.is_kept = False
        version.tell()
        if version.problem and version.is_current:
            _log.error("plug-in %s is given up: %s", label, version.problem)
            self._offer()

    def _crashed(self, version: Version, reason: str) -> bool:
        _log.error("the process of plug-in %s is no more: %s", version.plugin.label, reason)
        return version.crashed(reason, trio.current_time())

    async def _attend(self, version: Version, host: PluginHost) -> None:
        """Return when the process has ended, is replaced, or is not needed any more."""
        while True:
            with trio.move_on_after(self._look_s):
                await host.has_ended.wait()
                return
            size_bytes = resident_bytes(host.pid)
            if size_bytes > self._memory_bytes and await self._too_large(version, host, size_bytes):
                return
            if version.note and trio.current_time() - version.noted_s > CRASH_WINDOW_S:
                version.note = ""
                self._offer()
            if not version.is_current and not host.running:
                version.host = None
                host.stop()
                return

    async def _too_large(self, version: Version, host: PluginHost, size_bytes: int) -> bool:
        """Note it, and return whether the process is replaced: another one in place of it would do better."""
        used, limit = size_bytes // 2**20, self._memory_bytes // 2**20
        note = f"a process of it uses more memory than its limit of {limit} MB, and is replaced after its steps"
        must_end, may_end = size_bytes > 2 * self._memory_bytes, host.has_performed
        if must_end or may_end or version.note != note:
            _log.warning("plug-in %s: %s (%d MB)", version.plugin.label, note, used)
        version.note, version.noted_s = note, trio.current_time()
        self._offer()
        if must_end:
            host.kill(f"it used {used} MB of memory, more than twice its limit of {limit} MB")
            await host.has_ended.wait()
        elif may_end:
            self._nursery.start_soon(self._end_when_idle, host)
        # One that has performed nothing has imported so much: the next one would, too.
        return must_end or may_end

    async def _end_when_idle(self, host: PluginHost) -> None:
        while host.running and not host.has_ended.is_set():
            with trio.move_on_after(self._look_s):
                await host.has_ended.wait()
            if resident_bytes(host.pid) > 2 * self._memory_bytes:
                host.kill(f"it used more than twice its limit of {self._memory_bytes // 2**20} MB of memory")
        host.stop()


async def _remove(folder: Path) -> None:
    await trio.to_thread.run_sync(partial(shutil.rmtree, folder, ignore_errors=True))
