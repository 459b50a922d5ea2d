"""From figures to text: verdicts, the table, JSON, the comparison, the page."""

from __future__ import annotations

import json

import pytest

from dev.benchmarks.model import Composite, Experiment, Outcome, Row, Target, Unit
from dev.benchmarks.report.markdown import FILES, write_page
from dev.benchmarks.report.numbers import number, size, target
from dev.benchmarks.report.results import Results, load, store
from dev.benchmarks.report.table import comparison, curve_table, heading, table
from dev.benchmarks.report.verdicts import judge

pytestmark = pytest.mark.one_python

MACHINE = {
    "cores": 2,
    "cpu": "a processor",
    "system": "Linux x86_64",
    "python": "CPython 3.11.7",
    "compiled": False,
    "versions": {"numpy": "2.4.6"},
}


def row(name, bound, **options):
    return Row(
        name=name,
        title=f"work {name}",
        subject="ours",
        limit="raw",
        target=Target(bound, "at most", compiled=1.0),
        **options,
    )


def experiment(name, *rows):
    return Experiment(name, Unit("µs", "less"), {}, rows)


def results(samples, failed=None, name="call", **options):
    outcome = Outcome(name, "µs", "less", samples, failed or {}, **options)
    return Results(dict(MACHINE), 2, False, False, {name: outcome})


def verdict_of(samples, failed=None, bound=2.0, **options):
    (verdict,) = judge(
        results(samples, failed), [experiment("call", row("call", bound, **options))], []
    )
    return verdict


def test_a_target_is_about_the_median_of_the_ratios_of_rounds():
    # The ratio of the medians would be 3.
    verdict = verdict_of({"ours": [2.0, 30.0, 300.0], "raw": [1.0, 20.0, 10.0]})
    assert verdict.limit.ratio.median == 2.0
    assert verdict.met is True


def test_a_missed_target():
    assert verdict_of({"ours": [3.0], "raw": [1.0]}).met is False


def test_a_compiled_serializer_has_a_target_of_its_own():
    run = results({"ours": [1.5], "raw": [1.0]})
    run.machine["compiled"] = True
    (verdict,) = judge(run, [experiment("call", row("call", 2.0))], [])
    assert verdict.met is False


def test_without_its_figure_a_target_is_missed_and_the_reason_told():
    verdict = verdict_of({"raw": [1.0]}, {"ours": "refused"})
    assert (verdict.figure, verdict.met) == (None, False)
    assert verdict.problems == ("ours: left out: refused",)
    assert "work call: no figure NOT MET" in table([verdict], False)


def test_the_table():
    verdict = verdict_of(
        {"ours": [3.0, 3.0], "raw": [2.0, 2.0], "peer": [12.0, 12.0]},
        {"other peer": "not installed: peer"},
        others=("peer", "other peer"),
    )
    assert table([verdict], False).splitlines() == [
        "work call: 3.00 [3.00-3.00] µs = 1.50× [1.50-1.50] of raw (2.00); target ≤ 2×: met",
        "         12.0 µs      peer; ours is 0.25× [0.25-0.25]",
        "    other peer: left out: not installed: peer",
        "",
        "1 of 1 targets met",
    ]


def test_the_heading_describes_the_run():
    assert heading(results({})) == (
        "CPython 3.11.7, 2 cores, a processor, Linux x86_64; 2 interleaved rounds;"
        " sipyco_pyon is not compiled\nnumpy 2.4.6"
    )


@pytest.mark.parametrize(("peer", "expected"), [([4.0], [0.5]), (None, [])])
def test_a_mean_of_rows_stands_where_all_of_them_have_figures(peer, expected):
    mean = Composite("mean", "both", ("a", "b"), "peer", Target(0.4, "at least"))
    samples = {"ours": [1.0], "raw": [1.0]}
    run = results({**samples, **({"peer": peer} if peer else {})}, name="a")
    run.outcomes |= results({**samples, **({"peer": [1.0]} if peer else {})}, name="b").outcomes
    known = [experiment(name, row(name, 2.0)) for name in "ab"]
    means = [verdict for verdict in judge(run, known, [mean]) if verdict.name == "mean"]
    assert [verdict.figure.median for verdict in means] == expected


def test_a_mean_tells_of_a_missing_cell():
    mean = Composite("mean", "both", ("a", "b"), "raw", Target(0.4, "at least"))
    run = results({"ours": [1.0], "raw": [1.0]}, name="a")
    run.outcomes |= results({"raw": [1.0]}, {"ours": "refused"}, name="b").outcomes
    known = [experiment(name, row(name, 2.0)) for name in "ab"]
    verdict = judge(run, known, [mean])[-1]
    assert (verdict.figure, verdict.met) == (None, False)


def test_what_is_stored_is_loaded(tmp_path):
    run = results({"ours": [1.0, 2.0]}, {"peer": "not installed: peer"}, curve="up", x=1e6)
    store(run, tmp_path / "run.json")
    assert load(tmp_path / "run.json") == run
    assert json.loads((tmp_path / "run.json").read_text())["format"] == 1


@pytest.mark.parametrize("text", ["[]", "{}", '{"format": 0}'])
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match="holds no results"):
        load(tmp_path / "run.json")


def test_a_comparison_is_new_divided_by_old():
    old = results({"ours": [10.0, 10.0], "gone": [1.0]})
    new = results({"ours": [5.0, 5.0], "fresh": [1.0]})
    assert comparison(old, new).splitlines() == [
        "new/old:",
        "call (less is better)",
        "     0.50×       10.0 ->      5.00 µs      ours",
    ]


def test_a_comparison_of_nothing_says_so():
    text = comparison(results({"ours": [1.0]}), results({"ours": [1.0]}, name="other"))
    assert text == "new/old:\n    nothing was measured in both"


def test_a_curve_is_a_table_of_its_points_in_order():
    run = results({"ours": [2.0], "raw": [9.0]}, name="far", curve="up", x=8e6)
    run.outcomes |= results({"ours": [1.0]}, name="near", curve="up", x=8e3).outcomes
    assert [line.split() for line in curve_table(run).splitlines()[2:]] == [
        ["8", "k", "1.00", "-"],
        ["8", "M", "2.00", "9.00"],
    ]


def test_the_page_has_its_files(tmp_path):
    run = results({"ours": [3.0], "raw": [2.0]}, {"peer": "not installed: peer"})
    verdicts = judge(run, [experiment("call", row("call", 2.0, others=("peer",)))], [])
    write_page(run, verdicts, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(FILES)
    assert (
        "| work call | 3.00 [3.00-3.00] µs | raw: 2.00 | 1.50× [1.50-1.50] | ≤ 2× | met |\n"
    ) in (tmp_path / "table.md").read_text(encoding="utf-8")
    assert "* peer: left out: not installed: peer" in (tmp_path / "peers.md").read_text()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.123, "0.12"), (12.34, "12.3"), (123.4, "123"), (1234.0, "1,230"), (123456.0, "123,500")],
)
def test_numbers_have_three_digits(value, text):
    assert number(value) == text


def test_places_and_targets_are_short():
    assert (size(100), size(8e4), size(8e7)) == ("100", "80 k", "80 M")
    assert target(Target(20, "at most", of="unit"), "ms", False) == "≤ 20 ms"
    assert target(Target(1.45, "at most", compiled=1.35), "µs", True) == "≤ 1.35×"
