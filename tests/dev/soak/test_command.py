"""The command as people use it, with processes that are killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from dev.soak.accounts import Tally
from dev.soak.cli import main
from dev.soak.conductor import Outcome
from dev.soak.growth import Sample, judge
from dev.soak.peers import KINDS
from dev.soak.report import is_good, report
from support.peers import until

ROOT = Path(__file__).parents[3]
TIMEOUT = 120.0  # seconds: a run has deadlines of its own, for machines that are busy

pytestmark = [pytest.mark.one_python, pytest.mark.timeout(TIMEOUT + 30)]
needs_linux = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="it needs /proc")


def started(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "dev.soak", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )


def children_of(pid: int) -> set[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return {int(child) for task in tasks for child in task.read_text().split()}


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@needs_linux
def test_a_short_run_passes_and_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    process = started("--minutes", "0.06", "--clients", "10", "--seed", "8", "--keep", str(folder))
    try:
        until(lambda: (folder / "worker-0-0.ledger").exists() or process.poll() is not None)
        children = children_of(process.pid)
        out, err = process.communicate(timeout=TIMEOUT)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, out + err
    assert err.startswith("seed 8\n")
    assert re.search(r"^passed: 0 lost, in \d+ s; --seed 8$", out, re.MULTILINE)
    for kind in KINDS:
        row = re.search(rf"^{kind} +(\d+) +([\d,]+) +([\d,]+) +([\d,]+) +0$", out, re.MULTILINE)
        assert row, out
        assert int(row[1]) == {"Client": 3, "AsyncioClient": 2}.get(kind, 1)
        assert int(row[3].replace(",", "")) > 0
    assert " \\u2192 " in out  # an arrow, where there is ASCII only
    assert re.search(r"^faults of processes: .*[1-9]", out, re.MULTILINE)
    assert len(children) >= 4
    assert not any(is_running(child) for child in children)


@needs_linux
def test_ctrl_c_ends_it_with_what_there_is_so_far() -> None:
    process = started("--clients", "4", "--seed", "8")
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if "warming up" in line:
                break
        children = children_of(process.pid)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIMEOUT)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130, out + err
    assert re.search(r"^passed: 0 lost, interrupted after \d+ s; --seed 8$", out, re.MULTILINE)
    assert len(children) == 4
    assert not any(is_running(child) for child in children)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--minutes", "0"], "--minutes must be from 0.05 to 1440, got 0"),
        (["--clients", "0"], "--clients must be from 1 to 500, got 0"),
        (["--clients", "501"], "--clients must be from 1 to 500, got 501"),
        (["--seed", "x"], "argument --seed: invalid int value: 'x'"),
        (["--keep", str(ROOT)], f"--keep needs an empty directory, got {ROOT}"),
    ],
)
def test_a_wrong_command_line_is_refused_before_anything_runs(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert complaint in capsys.readouterr().err


def test_the_help_says_what_it_does_and_how_to_read_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for word in ("--minutes N", "--seed N", "what is checked", "exit status", "130", "SIGSTOP"):
        assert word in text


FLAT = "       5 → 5  flat"
EARLY = Sample(100.0, 40 << 20, 20, 3, 5)


def outcome(*, complaints: list[str], interrupted: bool = False, late: Sample = EARLY) -> Outcome:
    tally = Tally(9, 6, Counter({"EOFError": 2}), 1 if complaints else 0)
    return Outcome(
        5,
        61.2,
        interrupted,
        Counter({"Client": 3}),
        {"Client": tally},
        7,
        Counter({"kill": 2, "cut": 1}),
        [("publisher", 2, judge([EARLY, late]))],
        complaints,
    )


def test_the_report_of_a_good_run() -> None:
    good = outcome(complaints=[], late=EARLY._replace(at=160.0, memory=41 << 20))
    assert is_good(good)
    assert report(good).splitlines() == [
        "kind of peer       peers  attempted  completed  failed  lost",
        "Client                 3          9          6       2     0",
        "           2 EOFError",
        "forwarders said that they dropped 7 records",
        "",
        "faults of processes: 2 kill, 0 restart, 0 pause",
        "faults of links: 1 cut, 0 reset, 0 slow, 0 stall, 0 split, 0 truncate",
        "",
        "process        started  looked at       memory, MiB   descriptors    threads       tasks",
        f"publisher            2       60 s       40.0 → 41.0       20 → 20      3 → 3{FLAT}",
        "",
        "passed: 0 lost, in 61 s; --seed 5",
    ]


def test_the_report_of_a_bad_run() -> None:
    bad = outcome(complaints=["lost: echo 7"], late=EARLY._replace(at=160.0, descriptors=99))
    assert not is_good(bad)
    lines = report(bad).splitlines()
    assert lines[-2:] == ["WRONG  lost: echo 7", "FAILED: 1 lost, in 61 s; --seed 5"]
    assert any(line.endswith("20 → 99      3 → 3       5 → 5  NOT FLAT") for line in lines)


def test_the_report_of_a_run_that_was_interrupted() -> None:
    lines = report(outcome(complaints=[], interrupted=True)).splitlines()
    assert lines[-1] == "passed: 0 lost, interrupted after 61 s; --seed 5"
    assert any(line.endswith("too short to tell") for line in lines)
    assert any(line.endswith(" ended too soon to tell whether they grow") for line in lines)
