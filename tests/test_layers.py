"""Arrows of import go one way; cores know no I/O; each outside library has one home."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "doai"

LAYERS = {
    # package -> what of doai it may import besides itself and the leaf modules (doai/*.py)
    "messages": set(),
    "changes": {"messages"},
    "link": {"messages", "changes"},
    "workflow": {"messages"},
    "wire": {"messages"},
    "store": {"messages", "changes"},
    "apk": set(),
    "story": set(),
    "phone": {"apk"},
    "report": set(),
    "drivers": {"phone"},
    "plugins": {"messages", "workflow", "drivers"},
    "broker": {"messages", "changes", "link", "workflow", "store", "wire"},
    "node": {"messages", "changes", "link", "workflow", "store", "wire", "drivers", "apk", "plugins"},
    "bots": {"messages", "changes", "link", "workflow", "store", "wire", "plugins"},
    "admin": {"messages", "changes", "workflow", "store", "wire", "apk", "story"},
    "cli": {
        "messages",
        "report",
        "story",
        "changes",
        "workflow",
        "store",
        "wire",
        "broker",
        "node",
        "bots",
        "admin",
        "phone",
        "drivers",
        "apk",
        "plugins",
    },
}
CORES = ("link", "broker/core", "node/core", "bots/core", "changes", "workflow", "messages", "report", "story")
CORE_MAY_NOT = {
    "trio",
    "zmq",
    "sqlite3",
    "apsw",
    "aiosqlite",
    "time",
    "random",
    "uuid",
    "logging",
    "socket",
    "asyncio",
}
CORE_NEVER_FROM_DOAI = {"store", "wire", "drivers", "phone", "admin", "cli"}
CORE_CONTRACTS = ("doai.drivers.base",)  # data and Protocols only
HOMES = {
    # outside library -> where alone it may be imported
    "zmq": ("wire",),
    "apsw": ("store",),
    "sqlite3": ("store",),
    "aiosqlite": ("store",),
    "litestar": ("admin",),
    "uvicorn": ("admin",),
    "adbutils": ("drivers", "cli"),
    "PIL": ("node", "phone", "report"),
    "jinja2": ("admin", "report"),
    "rich": ("cli",),
    "cel_expr_python": ("workflow",),
    "yaml": ("workflow",),
    "apprise": ("bots",),
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, also inside functions, but for those only type checkers see."""
    tree = ast.parse(path.read_text())
    hidden = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module == "doai")


def package_of(module: str) -> str | None:
    """The package below doai that a module name is in; None for a leaf module or something else."""
    parts = module.split(".")
    if parts[0] != "doai" or len(parts) < 2 or not (PACKAGE / parts[1]).is_dir():
        return None
    return parts[1]


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_point_one_way(path: Path) -> None:
    relative = path.relative_to(PACKAGE)
    own = relative.parts[0] if len(relative.parts) > 1 else None
    allowed = LAYERS[own] | {own} if own else set()
    is_core = relative.as_posix().startswith(CORES)
    for module in imports(path):
        package = package_of(module)
        assert package is None or package in allowed, f"{own or relative.stem} may not import {module}"
        top = module.split(".")[0]
        if top in HOMES and (own != "wire" or top != "zmq"):
            assert own in HOMES[top], f"{top} is imported only in {HOMES[top]}"
        if is_core:
            assert top not in CORE_MAY_NOT, f"a core may not import {module}"
            allowed_contract = module.startswith(CORE_CONTRACTS)
            assert package not in CORE_NEVER_FROM_DOAI or allowed_contract, f"a core may not import {module}"


def test_every_package_has_a_layer() -> None:
    found = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert found <= set(LAYERS)
