"""The Pythons that are supported are the same wherever they are said, and are tested."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.one_python

ROOT = Path(__file__).parents[2]
PROJECTS = sorted(ROOT.glob("packages/*/pyproject.toml"))

SUPPORTED = ["3.11", "3.12", "3.13", "3.14", "3.15"]
FIRST, LAST = SUPPORTED[0], SUPPORTED[-1]


def toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text())


@pytest.mark.parametrize("path", PROJECTS, ids=lambda path: path.parent.name)
def test_each_distribution_names_them(path: Path) -> None:
    project = toml(path)["project"]
    prefix = "Programming Language :: Python :: 3."
    assert [c.rpartition(" ")[2] for c in project["classifiers"] if c.startswith(prefix)] == (
        SUPPORTED
    )
    # Without an upper bound: one to come is not to be kept from trying.
    assert project["requires-python"] == f">={FIRST}"
    assert f"Python {FIRST} to {LAST}." in path.with_name("README.md").read_text()


def test_the_tests_run_on_each_of_them() -> None:
    [matrix] = toml(ROOT / "hatch.toml")["envs"]["hatch-test"]["matrix"]
    assert matrix == {"python": SUPPORTED}
    [versions] = re.findall(r"^for version in (.*); do$", (ROOT / ".ci/run").read_text(), re.M)
    assert sorted(versions.split()) == SUPPORTED
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in SUPPORTED


def test_the_pages_say_them() -> None:
    for page in ("README.md", "docs/install.md"):
        text = (ROOT / page).read_text()
        assert f"Python {FIRST} to {LAST}." in text
        assert set(re.findall(r"Python (3\.\d+)", text)) == {FIRST}
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    assert f"hatch test --python {LAST} " in contributing
    assert f"# on all of them, from {FIRST} to {LAST}\n" in contributing


def test_what_is_checked_is_written_for_the_first() -> None:
    tools = toml(ROOT / "pyproject.toml")["tool"]
    assert tools["mypy"]["python_version"] == FIRST
    assert tools["ruff"]["target-version"] == "py" + FIRST.replace(".", "")
