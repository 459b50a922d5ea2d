"""The modules of the distributions as they are written: their syntax trees, and their imports."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PACKAGES: Final = Path(__file__).parents[2] / "packages"


def _name(path: Path) -> str:
    *_, inside = path.as_posix().partition("/src/")
    return inside.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


MODULES: Final = {_name(path): path for path in sorted(PACKAGES.glob("*/src/**/*.py"))}


def distribution_of(module: str) -> str:
    return module.partition(".")[0]


@functools.cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text())


def imported_names(tree: ast.AST) -> Iterator[str]:
    """Give what is imported, also within functions and for type checkers only."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_modules(module: str) -> set[str]:
    """Return the modules of ours that a module imports, or takes names of."""
    found = set()
    for name in imported_names(tree_of(module)):
        parent = name.rpartition(".")[0]
        found |= {name} & MODULES.keys() or {parent} & MODULES.keys()
    return found - {module}
