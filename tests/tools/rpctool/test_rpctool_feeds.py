"""`watch`, `snapshot` and `log` as processes, against publishers and programs that log."""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from sipyco_rpc.pc_rpc import SimpleSSLConfig
from sipyco_sync.broadcast import Broadcaster
from sipyco_sync.sync_struct import Notifier, Publisher
from sipyco_tools._rpctool import feeds, logs
from sipyco_tools._rpctool.feeds import mod_text
from sipyco_tools._rpctool.values import UsageError
from sipyco_tools.logging_tools import LogForwarder
from support.certificates import paths_of
from support.environment import without_durations
from support.peers import DEADLINE, HOST, running_server, until
from support.programs import free_port

COMMAND = [sys.executable, "-m", "sipyco_tools.sipyco_rpctool", HOST]


@pytest.fixture
def notifier() -> Notifier:
    return Notifier({"temperatures": [20.5], "label": "µ"})


@contextlib.contextmanager
def publisher(notifier: Notifier, **start: Any) -> Iterator[int]:
    with running_server(lambda: Publisher({"datasets": notifier}), **start) as port:
        yield port


def run(port: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*COMMAND, str(port), *arguments], capture_output=True, text=True, timeout=DEADLINE
    )
    done.stderr = without_durations(done.stderr)
    return done


@contextlib.contextmanager
def started(port: int, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*COMMAND, str(port), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    timer = threading.Timer(DEADLINE, process.kill)
    timer.start()
    try:
        yield process
    finally:
        timer.cancel()
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str]) -> tuple[str, str]:
    out, err = process.communicate(timeout=DEADLINE)
    return out, without_durations(err)


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_a_snapshot_is_printed(notifier: Notifier) -> None:
    with publisher(notifier) as port:
        shown = run(port, "snapshot", "datasets")
        assert (shown.stdout, shown.stderr) == ("{'label': 'µ', 'temperatures': [20.5]}\n", "")
        shown = run(port, "snapshot", "--json", "datasets")
        assert json.loads(shown.stdout) == {"result": {"label": "µ", "temperatures": [20.5]}}
        shown = run(port, "snapshot", "nosuch")
    assert shown.returncode == 1
    assert f"connection error: {HOST} port {port}: ConnectionLost: " in shown.stderr
    assert "no notifier `nosuch`" in shown.stderr
    assert len(shown.stderr.splitlines()) == 1


def test_a_structure_is_watched_until_ctrl_c(notifier: Notifier) -> None:
    with publisher(notifier) as port, started(port, "watch", "datasets") as process:
        assert line_of(process) == "datasets = {'temperatures': [20.5], 'label': 'µ'}\n"
        notifier["temperatures"].append(21.0)
        assert line_of(process) == "datasets['temperatures'].append(21.0)\n"
        notifier["label"] = "b"
        assert line_of(process) == "datasets['label'] = 'b'\n"
        process.send_signal(signal.SIGINT)
        out, err = ended(process)
    assert (out, err, process.returncode) == ("", "", 130)


def test_a_structure_is_watched_by_programs_with_tls(notifier: Notifier) -> None:
    config = SimpleSSLConfig(*paths_of("server", "client").values())
    client = paths_of("client", "server").values()
    with publisher(notifier, ssl_config=config) as port:
        with started(port, "watch", "--json", "--ssl", *client, "datasets") as process:
            assert json.loads(line_of(process))["action"] == "init"
            notifier["temperatures"].insert(0, 19.0)
            assert json.loads(line_of(process)) == {
                "action": "insert",
                "path": ["temperatures"],
                "i": 0,
                "x": 19.0,
            }


@pytest.mark.parametrize("action", ["watch", "snapshot"])
def test_a_publisher_that_ends_or_is_not_there_is_one_line(
    action: str, notifier: Notifier
) -> None:
    done = run(free_port(), action, "datasets")
    assert ": ConnectionRefusedError: " in done.stderr
    assert (len(done.stderr.splitlines()), done.returncode) == (1, 1)


def test_the_end_of_a_publisher_is_said(notifier: Notifier) -> None:
    with contextlib.ExitStack() as stack:
        with publisher(notifier) as port:
            process = stack.enter_context(started(port, "watch", "datasets"))
            line_of(process)
        out, err = ended(process)
    assert (out, process.returncode) == ("", 1)
    where = f"sipyco_rpctool: connection error: {HOST} port {port}"
    assert err.startswith(f"{where}: ConnectionLost: lost ")
    assert len(err.splitlines()) == 1
    with publisher(notifier) as port:
        done = run(port, "watch", "nosuch")
    assert "it has probably no notifier `nosuch`" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_server_that_says_nothing_is_given_up() -> None:
    with contextlib.closing(socket.create_server((HOST, 0))) as silent:
        port = silent.getsockname()[1]
        for action in ("watch", "snapshot"):
            done = run(port, action, "datasets", "--timeout", "0.2")
            assert ": TimeoutError: " in done.stderr
            assert "0.2 seconds" in done.stderr
            assert len(done.stderr.splitlines()) == 1


def test_a_watch_that_nobody_reads_ends_quietly(notifier: Notifier) -> None:
    with publisher(notifier) as port, started(port, "watch", "datasets") as process:
        line_of(process)
        assert process.stdout is not None
        process.stdout.close()
        notifier["label"] = "c"
        assert process.wait(DEADLINE) == 1
        assert process.stderr is not None
        assert without_durations(process.stderr.read()) == ""
        process.stdout = None


@pytest.mark.parametrize(
    ("mod", "text"),
    [
        ({"action": "init", "struct": [1]}, "x = [1]"),
        ({"action": "append", "path": [], "x": 1}, "x.append(1)"),
        ({"action": "insert", "path": ["a"], "i": 0, "x": 1}, "x['a'].insert(0, 1)"),
        ({"action": "pop", "path": ["a", 1], "i": 0}, "x['a'][1].pop(0)"),
        ({"action": "setitem", "path": [], "key": "k", "value": 2}, "x['k'] = 2"),
        ({"action": "delitem", "path": [3], "key": "k"}, "del x[3]['k']"),
    ],
)
def test_a_change_reads_as_the_statement_that_makes_it(mod: dict[str, Any], text: str) -> None:
    assert mod_text("x", mod, repr) == text


def test_without_sipyco_sync_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sipyco_sync", "sipyco_sync.broadcast", "sipyco_sync.sync_struct"):
        monkeypatch.setitem(sys.modules, name, None)
    for module in ("broadcast", "sync_struct"):
        with pytest.raises(UsageError, match=r"pip install 'sipyco-tools\[sync\]'"):
            feeds.sync_module(module)


@contextlib.contextmanager
def forwarder(port: int, **options: Any) -> Iterator[logging.Logger]:
    logger = logging.getLogger("under.test")
    handler = LogForwarder(HOST, port, reconnect_timer=0.05, **options)
    logger.addHandler(handler)
    logger.setLevel(1)
    logger.propagate = False
    handler.start()
    try:
        yield logger
    finally:
        handler.close()
        logger.removeHandler(handler)
        logger.propagate = True


def listening(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    line = process.stderr.readline()
    while line and not without_durations(line):
        line = process.stderr.readline()
    assert "listening on" in line


def test_what_programs_log_is_printed() -> None:
    port = free_port()
    with started(port, "log") as process:
        listening(process)
        with forwarder(port) as logger:
            logger.warning("two lines:\n\x1b[31mred")
            first, second = line_of(process), line_of(process)
        process.send_signal(signal.SIGINT)
        out, err = ended(process)
    assert first.endswith(" WARNING:under.test:two lines:\n")
    assert second == "    \\x1b[31mred\n"
    assert (out, err, process.returncode) == ("", "", 130)


def test_what_programs_log_is_json_for_programs() -> None:
    port = free_port()
    with started(port, "log", "--json") as process:
        listening(process)
        with forwarder(port) as logger:
            logger.error("locked")
            record = json.loads(line_of(process))
        assert process.stdout is not None
        process.stdout.close()
        with forwarder(port) as logger:
            logger.error("nobody reads this")
            assert process.wait(DEADLINE) == 1
        process.stdout = None
    found = [record[name] for name in ("level", "logger", "message", "time_of_arrival")]
    assert found == ["ERROR", "under.test", "locked", False]


def test_a_port_that_is_taken_is_one_line(notifier: Notifier) -> None:
    with publisher(notifier) as port:
        done = run(port, "log")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "in use" in done.stderr


@contextlib.contextmanager
def broadcasts(*options: str) -> Iterator[subprocess.Popen[str]]:
    """Run `log --broadcast` beside a server that broadcasts two messages again and again."""
    servers: list[Broadcaster] = []

    def make() -> Broadcaster:
        servers.append(Broadcaster())
        return servers[0]

    with running_server(make) as port, started(port, "log", "--broadcast", *options) as process:
        sending = threading.Event()

        def send() -> None:
            while not sending.wait(0.02):  # until somebody listens
                servers[0].broadcast("log", (logging.ERROR, "laser", 1.0, "unlocked"))
                servers[0].broadcast("log", {"what": "else"})

        thread = threading.Thread(target=send)
        thread.start()
        try:
            yield process
        finally:
            sending.set()
            thread.join()


def two_lines(process: subprocess.Popen[str]) -> set[str]:
    """Give two lines that differ, and end the program as a person does."""
    found: set[str] = set()
    until(lambda: found.add(line_of(process)) or len(found) == 2)  # type: ignore[func-returns-value]
    process.send_signal(signal.SIGINT)
    _, errors = ended(process)
    assert (errors, process.returncode) == ("", 130)
    return found


def test_broadcasts_are_printed() -> None:
    with broadcasts() as process:
        found = two_lines(process)
    assert "{'what': 'else'}\n" in found
    (message,) = found - {"{'what': 'else'}\n"}
    assert message.endswith(" laser ERROR:unlocked\n")


def test_broadcasts_are_json_for_programs() -> None:
    with broadcasts("--json") as process:
        found = [json.loads(line) for line in two_lines(process)]
    assert {"result": {"what": "else"}} in found
    (message,) = [each for each in found if "message" in each]
    expected = {"created": 1.0, "source": "laser", "level": "ERROR", "message": "unlocked"}
    assert expected.items() <= message.items()


@pytest.mark.parametrize(
    ("message", "is_one"),
    [
        ((30, "laser", 1.5, "text"), True),
        ([30, "laser", 1, "text"], True),
        ((30, "laser", -1.0, "text"), False),
        ((30, "laser", float("nan"), "text"), False),
        ((30, "laser", 1e300, "text"), False),
        ((30, "laser", 253402300000, "text"), False),  # east of Greenwich, in the year 10000
        ((True, "laser", 1.5, "text"), False),
        ("text", False),
        ((1, 2, 3), False),
    ],
)
def test_what_is_no_log_message_is_a_value(message: Any, is_one: bool) -> None:
    assert logs.is_log_message(message) is is_one
