"""`pip install .` in the root installs every distribution of the tree, and the README says so."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path
from typing import Any
from zipfile import Path as ZipPath
from zipfile import ZipFile

import pytest

pytestmark = pytest.mark.one_python

ROOT = Path(__file__).parents[2]
MEMBERS = {path.parent.name: path.parent for path in ROOT.glob("packages/*/pyproject.toml")}

CALL = """
import importlib, sys
print(getattr(importlib.import_module(sys.argv[1]), sys.argv[2])(sys.argv[3]))
"""


def project_of(name: str) -> dict[str, Any]:
    return tomllib.loads((MEMBERS[name] / "pyproject.toml").read_text("utf-8"))


def call_backend(hook: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Call a hook as an installer does: in a process of its own, in the root."""
    system = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["build-system"]
    assert system["requires"] == []  # so that it works without an index
    assert system["backend-path"] == ["."]
    return subprocess.run(
        [
            sys.executable,
            "-c",
            CALL,
            system["build-backend"],
            hook,
            str(directory),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
    )


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    done = call_backend("build_wheel", tmp_path)
    assert done.stderr == ""
    return tmp_path / done.stdout.strip()


def metadata_of(wheel: Path) -> Distribution:
    (directory,) = ZipPath(wheel).iterdir()
    return PathDistribution(directory)  # type: ignore[arg-type]  # it is path enough


def test_the_root_requires_every_distribution_of_the_tree_by_its_path(wheel: Path) -> None:
    requires = metadata_of(wheel).requires or []
    plain = dict(line.split(" @ ") for line in requires if ";" not in line)
    assert len(MEMBERS) == 5
    assert plain == {name: f"{path.as_uri()}/." for name, path in MEMBERS.items()}


def test_the_extras_of_the_whole_are_those_of_the_root(wheel: Path) -> None:
    extras = project_of("sipyco")["project"]["optional-dependencies"]
    assert "certs" in extras
    found = metadata_of(wheel)
    assert found.metadata.get_all("Provides-Extra") == list(extras)
    url = f"{MEMBERS['sipyco'].as_uri()}/."
    assert [line for line in found.requires or [] if ";" in line] == [
        f"sipyco[{extra}] @ {url} ; extra == '{extra}'" for extra in extras
    ]


def test_the_wheel_records_each_of_its_files(wheel: Path) -> None:
    found = metadata_of(wheel)
    assert f"{found.name}-{found.version}" == "sipyco-workspace-0"
    recorded = {str(path) for path in found.files or ()}
    assert recorded == set(ZipFile(wheel).namelist())


@pytest.mark.parametrize(
    ("hook", "typed"),
    [
        ("build_editable", ["pip", "install"]),
        ("build_sdist", ["hatch", "build", "--all"]),
    ],
)
def test_what_the_root_cannot_do_is_refused_with_a_line_of_what_to_type(
    hook: str, typed: list[str], tmp_path: Path
) -> None:
    done = call_backend(hook, tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    command = shlex.split(line.partition("type: ")[2])
    assert command[: len(typed)] == typed
    if hook == "build_editable":
        paths = command[3::2]
        assert command[2::2] == ["-e"] * len(MEMBERS)
        assert sorted(paths) == sorted(f"packages/{name}" for name in MEMBERS)


@pytest.mark.parametrize("page", ["README.md", "docs/install.md"])
def test_what_a_page_installs_by_path_is_there_with_all_that_it_requires(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    assert re.search(r"^pip install \. |`pip install \.`", text, re.MULTILINE)
    commands = re.findall(r"pip install (packages/[\w-]+(?: packages/[\w-]+)*)", text)
    assert commands
    for command in commands:
        names = [path.removeprefix("packages/") for path in command.split()]
        for name in names:
            required = project_of(name)["project"]["dependencies"]
            assert {re.split(r"[\[=]", text)[0] for text in required} <= set(names), command


@pytest.mark.parametrize("name", MEMBERS)
def test_uv_does_not_install_what_it_built_from_older_sources(name: str) -> None:
    assert {"file": "src/**/*.py"} in project_of(name)["tool"]["uv"]["cache-keys"]
