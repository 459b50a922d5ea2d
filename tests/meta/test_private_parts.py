"""What other modules do not promise is used in `_compat` modules only, with a way without it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.environment import as_installed

PACKAGES = Path(__file__).parents[2] / "packages"
PROGRAM = Path(__file__).with_name("public_program.py")

# Attributes of asyncio's and others' objects that some of ours have as well.
FOREIGN = {
    *("_abort", "_buffer", "_closed", "_closing", "_eof", "_limit", "_loop", "_paused"),
    *("_protocol", "_read_transport", "_sock", "_ssl_protocol", "_transport", "_waiter"),
}

# Documented under such names: of named tuples, whose fields have the others, of `os` and `sys`.
PUBLIC = {"_asdict", "_current_frames", "_exit", "_fields", "_is_gil_enabled", "_jit", "_make"}
PUBLIC |= {"_replace"}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name not in PUBLIC


def defined(tree: ast.AST) -> Iterator[str]:
    """Give the names that a module gives to parts of its own."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield from [node.attr] if ast.unparse(node.value) == "self" else []


def foreign_private(tree: ast.AST, own: set[str]) -> Iterator[str]:
    """Give what a module uses that is private to others than its distribution."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if "._" in f".{alias.name}")
        elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("sipyco"):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (
                name
                for name in names
                if (name.startswith("_") and node.module != "__future__") or "._" in name
            )
        elif isinstance(node, ast.Attribute) and is_private(node.attr):
            value = ast.unparse(node.value)
            if value not in ("self", "cls", "super()") and (
                node.attr in FOREIGN or node.attr not in own
            ):
                yield f"{value}.{node.attr}"
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr"):
            name = node.args[1]
            if isinstance(name, ast.Constant) and is_private(str(name.value)):
                yield ast.unparse(node)


@pytest.mark.parametrize("package", sorted(path.name for path in PACKAGES.iterdir()))
def test_what_is_private_to_others_is_used_in_one_place(package: str) -> None:
    trees = {path: ast.parse(path.read_text()) for path in (PACKAGES / package).rglob("*.py")}
    own = {name for tree in trees.values() for name in defined(tree)}
    assert {
        f"{path.name}: {use}"
        for path, tree in trees.items()
        if path.name != "_compat.py"
        for use in foreign_private(tree, own)
    } == set()


@pytest.mark.parametrize(
    ("source", "uses"),
    [
        ("import _json", {"_json"}),
        ("import asyncio._x", {"asyncio._x"}),
        ("from _json import make_encoder", {"_json.make_encoder"}),
        ("from asyncio import _get_running_loop", {"asyncio._get_running_loop"}),
        ("from __future__ import annotations", set()),
        ("from sipyco_rpc import _calls", set()),
        ("asyncio._get_running_loop()", {"asyncio._get_running_loop"}),
        ("len(reader._buffer)", {"reader._buffer"}),
        ("server._target(name)", set()),
        ("getattr(sock, '_sock', sock)", {"getattr(sock, '_sock', sock)"}),
        ("setattr(transport, '_closed', True)", {"setattr(transport, '_closed', True)"}),
        ("spec._asdict(); cls.__mro__; self._x; self._buffer", set()),
    ],
)
def test_each_kind_of_use_is_found(source: str, uses: set[str]) -> None:
    assert set(foreign_private(ast.parse(source), {"_target", "_buffer"})) == uses


@pytest.mark.parametrize("how", ["absent", "refusing"])
def test_everything_works_without_what_is_private(how: str) -> None:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), how], capture_output=True, text=True, env=as_installed()
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "all of it works\n")
