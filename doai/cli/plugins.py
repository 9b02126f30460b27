"""`doai plugins`: what a plug-in's folder brings, and whether it can be used (step 8)."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import doai
from doai.cli import exits, show
from doai.cli.client import Client
from doai.errors import UserError
from doai.plugins.discovery import Found, Plugin, find_plugins, folders_with_manifest, read_plugin
from doai.plugins.manifest import FILE, ManifestError, unmet_needs

IMPORT_S: Final = 30.0
"""As long as a node waits."""


def show_list(client: Client, options: argparse.Namespace) -> int:
    """`doai plugins list [--node NAME]`: what each node told of its plug-ins."""
    nodes = [client.get(f"/nodes/{options.node}")] if options.node else list(client.items("/nodes", limit=500))
    found = [{"nodeId": node["nodeId"], **plugin} for node in nodes for plugin in node["plugins"]]
    if options.json:
        show.print_json(found)
        return exits.PASSED
    rows = (
        (
            item["name"],
            item["version"],
            item["digest"][:8],
            item["nodeId"],
            item["state"],
            ", ".join([*item["steps"], *item["drivers"], *item["bots"]]),
            item["reason"],
        )
        for item in sorted(found, key=lambda item: (item["name"], item["nodeId"]))
    )
    headings = ("plug-in", "version", "digest", "node", "state", "brings", "why")
    show.print_table(headings, rows, empty="No node has a plug-in: put its folder into plugin_dirs of one.")
    return exits.PASSED


def check(options: argparse.Namespace) -> int:
    """`doai plugins check [FOLDER...]`: every mistake as ``file:line:column: sentence``; 1 when there is one."""
    if not options.folders:
        return _check_installed(options.json)
    told: list[dict[str, Any]] = []
    for name in options.folders:
        folder = Path(name)
        if not folder.is_dir():
            raise UserError(f"there is no folder {name}: name that of a plug-in, with its {FILE}")
        told += [_checked(inner, quiet=options.json) for inner in folders_with_manifest(folder) or [folder]]
    if options.json:
        show.print_json(told)
    return exits.PASSED if all(item["valid"] for item in told) else exits.NOT_PASSED


def _checked(folder: Path, *, quiet: bool) -> dict[str, Any]:
    try:
        plugin = read_plugin(folder)
    except ManifestError as error:
        for mistake in error.mistakes if not quiet else ():
            place = f":{mistake.line}:{mistake.column}" if mistake.line else ""
            where = f"{mistake.path}: " if mistake.path else ""
            print(f"{folder / FILE}{place}: {where}{mistake.message}")
        mistakes = [str(mistake) for mistake in error.mistakes]
        return {"folder": str(folder), "valid": False, "mistakes": mistakes}
    unmet = unmet_needs(plugin.manifest) or _import_problems(plugin)
    if not quiet:
        for sentence in unmet:
            print(f"{folder / FILE}: {sentence}")
        if not unmet:
            print(f"{folder}: {_brings(plugin)}")
    return {**_as_json(plugin), "valid": not unmet, "mistakes": unmet}


def _import_problems(plugin: Plugin) -> list[str]:
    """Import the modules of its steps in a process of their own, as a node does; returns what is wrong."""
    if not plugin.manifest.steps:
        return []
    folder = str(plugin.folder.absolute())
    words = [sys.executable, "-P", "-m", "doai.plugins.host", "check", folder]
    env = os.environ | {"PYTHONPATH": str(Path(doai.__file__).parents[1]), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            words, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=IMPORT_S
        )
    except subprocess.TimeoutExpired:
        return [f"its modules were not imported within {IMPORT_S:g} s"]
    if done.returncode:
        return [f"its modules ended the process with exit code {done.returncode}: {done.stderr.strip()[-200:]}"]
    said = done.stdout.strip().splitlines()
    return said[-1:]


def _check_installed(as_json: bool) -> int:
    named = [Path(name.strip()) for name in os.environ.get("DOAI_PLUGIN_DIRS", "").split(",") if name.strip()]
    found: Found = find_plugins(named)
    if as_json:
        valid = [{**_as_json(plugin), "valid": True, "mistakes": []} for plugin in found.plugins]
        bad = [{"folder": out.folder, "valid": False, "mistakes": [out.reason]} for out in found.left_out]
        show.print_json([*valid, *bad])
    else:
        for plugin in found.plugins:
            print(f"{plugin.folder}: {_brings(plugin)}")
        for out in found.left_out:
            print(f"{out.name} is left out: {out.reason}")
        if not found.plugins and not found.left_out:
            print("no plug-in is installed here: name a folder")
    return exits.NOT_PASSED if found.left_out else exits.PASSED


def _brings(plugin: Plugin) -> str:
    manifest = plugin.manifest
    parts = [
        f"{group} {', '.join(entry.name for entry in entries)}"
        for group, entries in (("steps", manifest.steps), ("drivers", manifest.drivers), ("bots", manifest.bots))
        if entries
    ]
    return f"{plugin.label} has no mistakes; it brings {'; '.join(parts)}"


def _as_json(plugin: Plugin) -> dict[str, Any]:
    manifest = plugin.manifest
    return {
        "folder": str(plugin.folder),
        "name": manifest.name,
        "version": manifest.version,
        "digest": plugin.digest,
        "steps": [entry.name for entry in manifest.steps],
        "drivers": [entry.name for entry in manifest.drivers],
        "bots": [entry.name for entry in manifest.bots],
    }
