"""Imports run downwards, nobody reaches into another's private modules, versions are in step."""

from __future__ import annotations

import ast
import itertools
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGES = Path(__file__).parents[2] / "packages"
MAY_IMPORT = {
    "sipyco_pyon": {"sipyco_pyon"},
    "sipyco_rpc": {"sipyco_pyon", "sipyco_rpc"},
    "sipyco_sync": {"sipyco_pyon", "sipyco_rpc", "sipyco_sync"},
    "sipyco_tools": {"sipyco_pyon", "sipyco_rpc", "sipyco_tools"},
    "sipyco": {"sipyco_pyon", "sipyco_rpc", "sipyco_sync", "sipyco_tools", "sipyco"},
}


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_run_downwards(package: str) -> None:
    files = list(PACKAGES.glob(f"*/src/{package}/**/*.py"))
    assert files
    for path in files:
        for name in imported(ast.parse(path.read_text())):
            parts = name.split(".")
            if parts[0].startswith("sipyco"):
                assert parts[0] in MAY_IMPORT[package], f"{path}: {name}"
                if parts[0] != package:
                    private = [p for p in parts if p.startswith("_") and p != "__version__"]
                    assert not private, f"{path}: {name}"


def test_only_one_module_imports_numpy() -> None:
    importing = {
        path.name
        for path in PACKAGES.glob("*/src/**/*.py")
        if any(n.split(".")[0] == "numpy" for n in imported(ast.parse(path.read_text())))
    }
    assert importing == {"_numpy.py", "_rpctool_values.py"}  # the second for `np` on command lines


def test_only_one_module_imports_cryptography() -> None:
    importing = {
        path.name
        for path in PACKAGES.glob("*/src/**/*.py")
        if any(n.split(".")[0] == "cryptography" for n in imported(ast.parse(path.read_text())))
    }
    assert importing == {"_certificates.py"}


def test_versions_and_pins_are_in_step() -> None:
    versions = set()
    for path in PACKAGES.glob("*/src/*/__init__.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__":
                versions.add(ast.literal_eval(node.value))
    assert len(versions) == 1
    (version,) = versions
    projects = list(PACKAGES.glob("*/pyproject.toml"))
    assert len(projects) == 5
    for path in projects:
        project = tomllib.loads(path.read_text())["project"]
        extras = project.get("optional-dependencies", {})
        for requirement in [*project["dependencies"], *itertools.chain(*extras.values())]:
            if requirement.startswith("sipyco"):
                assert requirement.endswith(f"=={version}"), f"{path}: {requirement}"
