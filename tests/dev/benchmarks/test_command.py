"""The command as people use it, with as little work as there is. No figure is checked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dev.benchmarks import rows
from dev.benchmarks.cli import main
from dev.benchmarks.harness import Settings
from dev.benchmarks.machine import describe
from dev.benchmarks.model import Outcome
from dev.benchmarks.report.results import Results, load, store

pytestmark = pytest.mark.one_python


def test_one_row_from_the_measurement_to_a_file_and_back(tmp_path, capsys):
    file = str(tmp_path / "run.json")
    arguments = ["--quick", "--rounds", "2", "--only", "codec.floats.decode"]
    assert main([*arguments, "--json", file]) == 0
    run = load(file)
    assert list(run.outcomes) == ["codec.floats.decode"]
    samples = run.outcomes["codec.floats.decode"].samples
    assert set(samples) >= {"sipyco_pyon", "json"}
    assert all(len(figures) == 2 for figures in samples.values())
    measured = capsys.readouterr()
    assert "decode a list of 100,000 floats" in measured.out
    assert "codec.floats.decode" in measured.err
    assert main(["--from", file, "--compare", file]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(measured.out)
    assert "1.00×" in shown.out
    assert shown.err == ""
    in_ascii = subprocess.run(
        [sys.executable, "-m", "dev.benchmarks", "--from", file, "--compare", file],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
    )
    assert "1.00\\xd7" in in_ascii.stdout
    assert (in_ascii.stderr, in_ascii.returncode) == ("", 0)


def test_a_call_is_measured_over_a_connection(tmp_path, capsys):
    file = str(tmp_path / "run.json")
    assert main(["--quick", "--rounds", "1", "--only", "call.blocking", "--json", file]) == 0
    outcome = load(file).outcomes["call"]
    assert outcome.failed == {}
    assert {"sipyco Client", "raw asyncio.Protocol", "raw threads"} <= set(outcome.samples)


def test_mods_are_counted_by_readers(tmp_path, capsys):
    file = str(tmp_path / "run.json")
    assert main(["--quick", "--rounds", "1", "--only", "subscribers.3", "--json", file]) == 0
    assert load(file).outcomes["subscribers.3"].failed == {}


def test_rows_can_be_listed(capsys):
    assert main(["--list"]) == 0
    listed = {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    assert {"call.blocking", "arrays.up.8MB.asyncio", "arrays.mean.zeromq"} <= listed


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--only", "no.such.row"], "no row is called no.such.row"),
        (["--rounds", "0"], "--rounds must be at least 1, got 0"),
        (["--from", "no-such-file.json"], "cannot read figures"),
    ],
)
def test_a_wrong_command_line_is_refused_before_anything_runs(arguments, complaint, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert complaint in capsys.readouterr().err


def test_every_name_is_used_once_and_every_row_has_its_contenders():
    known = rows.experiments(Settings(rounds=1, peers=True))
    names = [row.name for experiment in known for row in experiment.rows]
    assert len(names) == len(set(names))
    for experiment in known:
        there = {*experiment.contenders, *experiment.derived}
        for row in experiment.rows:
            assert {row.subject, row.limit} <= there
    for composite in rows.composites():
        assert set(composite.rows) <= set(names)


@pytest.mark.parametrize(
    ("samples", "failed", "options", "status"),
    [
        ({"sipyco_pyon": [1.0], "json": [1.0]}, {}, ["--strict"], 0),
        ({"sipyco_pyon": [9.0], "json": [1.0]}, {}, [], 0),
        ({"sipyco_pyon": [9.0], "json": [1.0]}, {}, ["--strict"], 1),
        ({"json": [1.0]}, {"sipyco_pyon": "refused"}, [], 1),
    ],
)
def test_the_status_tells_of_failures_and_if_asked_of_targets(
    samples, failed, options, status, tmp_path, capsys
):
    name = "codec.floats.decode"
    outcome = Outcome(name, "ms", "less", samples, failed)
    store(Results(describe(), 1, True, False, {name: outcome}), tmp_path / "run.json")
    assert main(["--from", str(tmp_path / "run.json"), *options]) == status
