"""What holds packages and modules to their coverage."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.one_python

PROGRAM = Path(__file__).parents[2] / ".ci" / "coverage_check.py"


@pytest.fixture
def check() -> Any:
    spec = importlib.util.spec_from_file_location("coverage_check", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_module_below_the_level_is_named(check: Any) -> None:
    shares = {"b.py": 89.9, "a.py": 12.5, "c.py": 90.0, "d.py": 100.0}
    report = {"files": {name: {"summary": {"percent_covered": n}} for name, n in shares.items()}}
    assert check.low_modules(report) == [
        "a.py is covered to 12.50 %, where each module needs 90 %",
        "b.py is covered to 89.90 %, where each module needs 90 %",
    ]


def test_every_package_is_measured_and_no_test_is_forgotten(check: Any) -> None:
    packages = {path.name for path in check.ROOT.glob("packages/*/src/*")}
    assert set(check.PACKAGES) == packages
    tests = check.ROOT / "tests"
    measured = {check.ROOT / package.tests for package in check.PACKAGES.values()}
    run = {*measured, *check.unmeasured(tests)}
    for path in tests.rglob("test_*.py"):
        assert run & set(path.parents), path
    assert check.UNTRACED.name in {path.name for path in tests.rglob("test_*.py")}


def test_what_fails_is_told_of_and_is_the_status(
    check: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[list[str]] = []
    failing = ("run", "report")

    def run(command: list[str], cwd: Path) -> Any:
        ran.append(command)
        name = command[3] if command[2] == "coverage" else command[2]
        if name == "json":
            report = {"files": {"m.py": {"summary": {"percent_covered": 5.0}}}}
            Path(command[-1]).write_text(json.dumps(report))
        return subprocess.CompletedProcess(command, 1 if name in failing else 0)

    monkeypatch.setattr(check.subprocess, "run", run)
    assert check.main(["sipyco_sync"]) == 1
    level = check.PACKAGES["sipyco_sync"].level
    assert capsys.readouterr().err.splitlines() == [
        "coverage: tests/sync fails",
        f"coverage: sipyco_sync needs {level} % of its lines and branches",
        "coverage: m.py is covered to 5.00 %, where each module needs 90 %",
    ]
    assert [command[3] for command in ran] == ["run", "combine", "report", "json"]
    assert f"--fail-under={level}" in ran[2]
