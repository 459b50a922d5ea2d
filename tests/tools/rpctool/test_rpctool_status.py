"""`status`, `ping` and `bench` as processes; tables with `rich` and without."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from sipyco_tools._cli.terminal import show_code, show_table
from sipyco_tools._rpctool.ping import Durations
from sipyco_tools._rpctool.status import _show_rows, _shown, duration, size
from support.peers import DEADLINE, HOST, Peer, handshake, rpc_server, scripted_server
from support.terminals import Terminal

COMMAND = [sys.executable, "-m", "sipyco_tools.sipyco_rpctool", HOST]


class Lda:
    def __init__(self) -> None:
        self.entered = threading.Event()
        self.leave = threading.Event()

    def wait(self) -> None:
        self.entered.set()
        self.leave.wait(DEADLINE)

    def echo(self, value: Any = None) -> Any:
        return value

    def count(self) -> Any:
        yield from range(3)

    def fail(self) -> None:
        raise ValueError("bad value")


@pytest.fixture
def lda() -> Lda:
    return Lda()


@pytest.fixture
def port(lda: Lda) -> Iterator[int]:
    targets = {"lda": lda, "aux": Lda()}
    with rpc_server(targets, description="of the lab", threaded=True) as port:
        yield port


def run(port: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, str(port), *arguments], capture_output=True, text=True, timeout=DEADLINE
    )


def test_the_status_is_shown_while_a_method_runs(port: int, lda: Lda) -> None:
    calling = subprocess.Popen([*COMMAND, str(port), "call", "-t", "lda", "wait"])
    try:
        assert lda.entered.wait(DEADLINE)
        shown = run(port, "status")
    finally:
        lda.leave.set()
        assert calling.wait(DEADLINE) == 0
    assert shown.stderr == ""
    lines = shown.stdout.splitlines()
    assert lines[0] == f"{HOST} port {port}: of the lab"
    assert f"listens on: {HOST} port {port}" in lines
    (under_way,) = (line.split() for line in lines if " running " in line and "wait" in line)
    assert under_way[:2] == ["lda", "wait"]
    assert f"process {os.getpid()} on " in shown.stdout
    assert "\x1b" not in shown.stdout


def test_the_status_is_json_for_programs(port: int) -> None:
    shown = run(port, "status", "--json", "-t", "aux")
    status = json.loads(shown.stdout)
    assert status["process"]["pid"] == os.getpid()
    assert status["connections"][0]["target"] == "aux"


@pytest.mark.parametrize(
    ("arguments", "beginning"),
    [
        (("status", "--watch", "0.01"), f"{HOST} port "),
        (("status", "--watch", "0.01", "--json"), '{"'),
        (("ping", "--interval", "0.01"), "1: "),
        (("ping", "-i", "0.01", "--json"), '{"ping":1,"seconds":'),
    ],
)
def test_what_goes_on_ends_by_ctrl_c(
    arguments: tuple[str, ...], beginning: str, port: int
) -> None:
    process = subprocess.Popen(
        [*COMMAND, str(port), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    timer = threading.Timer(DEADLINE, process.kill)
    timer.start()
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(beginning)
        wanted = 60 if arguments == ("status", "--watch", "0.01") else 3
        for _ in range(wanted):
            assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE)
    finally:
        timer.cancel()
        process.kill()
        process.communicate()
    assert (err, process.returncode) == ("", 130)
    if arguments[0] == "ping":
        assert " answered\nround trip: min " in out or '"answered":' in out


def test_a_server_that_tells_no_status_is_said_to_be_one() -> None:
    with rpc_server({"lda": Lda()}, status=False) as port:
        done = run(port, "status")
        assert run(port, "ping", "-c", "2", "-i", "0.01").returncode == 0
    assert (done.stdout, done.returncode) == ("", 1)
    assert done.stderr.startswith("sipyco_rpctool: IncompatibleServer: ")
    assert len(done.stderr.splitlines()) == 1


def test_round_trips_are_counted(port: int) -> None:
    done = run(port, "ping", "-c", "3", "-i", "0.001")
    lines = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines[:3]] == ["1", "2", "3"]
    assert lines[3] == "3 sent, 3 answered"
    assert lines[4].startswith("round trip: min ")
    assert (len(lines), done.returncode) == (5, 0)
    *pings, summary = map(json.loads, run(port, "--json", "ping", "-c", "1").stdout.splitlines())
    assert len(pings) == 1
    assert summary["min_seconds"] == summary["max_seconds"] == pings[0]["seconds"]


def test_a_server_that_never_answers_is_a_failure() -> None:
    def play(peer: Peer) -> None:
        handshake(peer)
        while peer.line():
            pass

    with scripted_server(play) as port:
        done = run(port, "ping", "-c", "2", "-i", "0.01", "--timeout", "0.1")
    assert (
        done.stdout == "1: no answer within 0.1 s\n2: no answer within 0.1 s\n2 sent, 0 answered\n"
    )
    assert (done.stderr, done.returncode) == ("", 1)


def test_a_connection_that_is_lost_is_said_after_the_summary() -> None:
    def play(peer: Peer) -> None:
        handshake(peer)
        peer.line()
        peer.send(b'{"status":"ok","ret":null}\n')
        peer.line()

    with scripted_server(play) as port:
        done = run(port, "ping", "-i", "0.01")
    assert "\n2 sent, 1 answered\n" in done.stdout
    assert done.stderr.startswith(f"sipyco_rpctool: connection error: {HOST} port {port}: ")
    assert done.returncode == 1


def test_calls_per_second_are_measured(port: int) -> None:
    seconds = ("-s", "0.05")
    done = run(port, "bench", *seconds)
    assert " calls of ping in " in done.stdout
    done = run(port, "bench", *seconds, "-t", "lda", "echo", "b'x' * 10_000")
    assert " calls of `lda.echo` in " in done.stdout
    assert "\na call took: min " in done.stdout
    found = json.loads(
        run(port, "--json", "-t", "lda", "bench", *seconds, "echo", "b'x' * 100_000").stdout
    )
    assert found["received_bytes_per_second"] > 100_000 * found["calls_per_second"]
    # The arguments have a list around them.
    assert found["sent_bytes_per_second"] > found["received_bytes_per_second"]
    assert found["min_seconds"] <= found["median_seconds"] <= found["p99_seconds"]
    found = json.loads(run(port, "--json", "-t", "lda", "bench", *seconds, "count").stdout)
    assert found["received_bytes_per_second"] == pytest.approx(3 * found["calls_per_second"])


def test_a_method_that_fails_ends_the_measurement(port: int) -> None:
    done = run(port, "bench", "-t", "lda", "fail")
    assert (done.stdout, done.returncode) == ("", 1)
    assert done.stderr == "sipyco_rpctool: remote exception: ValueError: bad value\n"


def test_percentiles_are_those_of_the_sample() -> None:
    durations = Durations()
    durations.add(1.0)
    assert durations.summary((50,)) == {"min": 1.0, "mean": 1.0, "median": 1.0, "max": 1.0}
    for _ in range(150_000):
        durations.add(2.0)
    found = durations.summary((50, 90))
    assert (found["min"], found["median"], found["p90"], found["max"]) == (1.0, 2.0, 2.0, 2.0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (1.5e-5, "15 µs"),
        (0.0123, "12.3 ms"),
        (1.5, "1.5 s"),
        (90, "1 min 30 s"),
        (12000, "3 h 20 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_times_are_written_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (1 << 20, "1 MiB"),
        (1 << 60, "1.02e+03 PiB"),
    ],
)
def test_sizes_are_written_as_people_say_them(count: int, text: str) -> None:
    assert size(count) == text


def test_what_a_server_may_tell_is_shown_whatever_it_is() -> None:
    assert _shown("since", 1e300) == "1e+300"
    assert _shown("x_seconds", "soon") == "soon"
    assert _shown("tls", {"version": "TLSv1.3", "names": ["a", "b"]}) == (
        "version TLSv1.3, names a, b"
    )
    assert _shown("x", []) == _shown("x", None) == "-"


def test_tables_within_tables_are_below_them(capsys: pytest.CaptureFixture[str]) -> None:
    feed = {"name": "datasets", "subscribers": [{"peer": "a", "backlog_bytes": 2048}]}
    _show_rows("publishers", [feed, {"name": "other", "subscribers": []}])
    assert capsys.readouterr().out == (
        "\npublishers\n  name\n  datasets\n  other\n"
        "\npublishers: subscribers\n  name      peer  backlog\n  datasets  a       2 KiB\n"
    )


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


def test_a_terminal_with_rich_has_tables(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rich")
    monkeypatch.setattr(sys, "stdout", terminal)
    show_table(["name", "calls"], [["[bold]get[/bold]", 5], [None, 12]], "methods")
    assert "\x1b[1" in terminal.text
    assert "───" in terminal.text
    assert "[bold]get[/bold]" in terminal.text  # what a server says is no markup


def test_a_terminal_with_rich_has_values_in_colour(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rich")
    monkeypatch.setattr(sys, "stdout", terminal)
    value = f"['[red]a[/red]', {40 * '1, '}]"
    show_code(value)
    code = terminal.text.removesuffix("\n")
    assert "\x1b[1;36m1\x1b[0m, " in code
    assert re.sub(r"\x1b\[[0-9;]*m", "", code) == value  # whole, if it is copied


def test_a_terminal_without_rich_or_colours_has_plain_text(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    show_table(["name", "calls"], [["get", 5], [None, 12]], "methods")
    plain = "methods\n  name  calls\n  get       5\n           12\n"
    assert terminal.text == plain
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    show_table(["name", "calls"], [["get", 5], [None, 12]], "methods")
    assert terminal.text == 2 * plain


def test_a_table_that_is_too_wide_for_the_terminal_is_a_list(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "20")
    show_table(["client", "target"], [["::1 port 3253", "lda"], ["lab", None]], "connections")
    assert terminal.text == "connections\n  client ::1 port 3253, target lda\n  client lab\n"
