"""Measure each package with its own tests, and hold it to what it has reached.

Every test runs once: those of the packages under measurement, the others plainly, if they may say
something else on another Python. So this is also a run of the tests on its Python. What is
measured, and what is left out of it, is said in `pyproject.toml`, not here.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).parent.parent
MODULE_LEVEL: Final = 90  # per cent of each module: a good package hides no bad one

# A trace function interrupts at every point; coverage has the only one that there can be.
UNTRACED: Final = Path("tests/rpc/client/test_loopback_interrupts.py")

PYTEST: Final = [sys.executable, "-m", "pytest", "-n", "auto", "--dist", "worksteal"]


class Measured(NamedTuple):
    """Tests of a package, and the level that it keeps, in per cent of lines and branches."""

    tests: Path
    level: int


PACKAGES: Final = {
    "sipyco_pyon": Measured(Path("tests/pyon"), 98),
    "sipyco_rpc": Measured(Path("tests/rpc"), 97),
    "sipyco_sync": Measured(Path("tests/sync"), 98),
    "sipyco_tools": Measured(Path("tests/tools"), 98),
    "sipyco": Measured(Path("tests/meta"), 98),
}


def low_modules(report: dict[str, Any]) -> list[str]:
    """Tell which modules of a JSON report are below the level of each."""
    shares = {name: file["summary"]["percent_covered"] for name, file in report["files"].items()}
    return [
        f"{name} is covered to {share:.2f} %, where each module needs {MODULE_LEVEL} %"
        for name, share in sorted(shares.items())
        if share < MODULE_LEVEL
    ]


def unmeasured(tests: Path) -> list[Path]:
    """Give the directories of tests that belong to no package."""
    measured = {package.tests.name for package in PACKAGES.values()}
    return sorted(
        path
        for path in tests.iterdir()
        if path.name not in measured and any(path.glob("**/test_*.py"))
    )


def measure(package: str, data: Path) -> list[str]:
    """Run a package's tests, print its report, and tell what is wrong."""
    tests, level = PACKAGES[package]
    coverage = [sys.executable, "-m", "coverage"]
    file = f"--data-file={data / package}"

    def runs(*arguments: object) -> bool:
        return subprocess.run([*coverage, *map(str, arguments)], cwd=ROOT).returncode == 0

    wrong = []
    if not runs("run", file, f"--source={package}", *PYTEST[1:], tests):
        wrong.append(f"{tests} fails")
    runs("combine", "--quiet", file)
    if not runs("report", file, "--show-missing", "--skip-covered", f"--fail-under={level}"):
        wrong.append(f"{package} needs {level} % of its lines and branches")
    listing = data / f"{package}.json"
    if runs("json", "--quiet", file, "-o", listing):
        wrong += low_modules(json.loads(listing.read_text()))
    return wrong


def main(packages: list[str]) -> int:
    """Measure some packages, or run everything; return the status of the process."""
    wrong = []
    with tempfile.TemporaryDirectory() as directory:
        for package in packages or PACKAGES:
            wrong += measure(package, Path(directory))
    if not packages:
        others = [*unmeasured(ROOT / "tests"), ROOT / UNTRACED]
        if subprocess.run(
            [*PYTEST, "-m", "not one_python", *map(str, others)], cwd=ROOT
        ).returncode:
            wrong.append("what belongs to no package, or cannot be measured, fails")
    for line in wrong:
        print(f"coverage: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
