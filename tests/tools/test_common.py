"""Options, log format and asyncio helpers that programs have in common."""

from __future__ import annotations

import argparse
import asyncio
import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import sipyco_tools
from sipyco_rpc.pc_rpc import Client
from sipyco_tools import common_args, sipyco_certs, sipyco_logs, sipyco_logserver, sipyco_rpctool
from sipyco_tools.asyncio_tools import BackgroundTaskPool, Condition, TaskObject
from sipyco_tools.logging_tools import (
    TRACE,
    MultilineFormatter,
    SourceFilter,
    multiline_log_config,
    parse_log_message,
)
from support.environment import as_installed, without_durations
from support.peers import DEADLINE, HOST, until

SERVICE = """
import argparse
from sipyco_rpc.pc_rpc import simple_server_loop
from sipyco_tools.common_args import *

parser = argparse.ArgumentParser()
simple_network_args(parser, 3253, port_file=True)
verbosity_args(parser)
args = parser.parse_args()
init_logger_from_args(args)
simple_server_loop(
    {"t": object()}, bind_address_from_args(args), args.port, port_file=args.port_file
)
"""


def parse(*arguments: str, ports: common_args.Ports = 3253) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    common_args.simple_network_args(parser, ports, ssl=True)
    common_args.verbosity_args(parser)
    return parser.parse_args(arguments)


def test_network_options() -> None:
    args = parse()
    assert (args.port, args.bind, args.no_localhost_bind, args.ssl) == (3253, [], False, None)
    assert common_args.bind_address_from_args(args) == ["127.0.0.1", "::1"]
    args = parse("--bind", "a", "--bind", "b", "--no-localhost-bind", "-p", "1", "--ssl", *"ckp")
    assert common_args.bind_address_from_args(args) == ["a", "b"]
    assert (args.port, args.ssl) == (1, ["c", "k", "p"])
    assert common_args.bind_address_from_args(parse("--bind", "*")) is None
    args = parse("--port-notify", "7", ports=[("notify", "sync", 3250), ("control", "rpc", 3251)])
    assert (args.port_notify, args.port_control) == (7, 3251)


def test_a_port_file_is_an_option_of_programs_that_want_it() -> None:
    parser = argparse.ArgumentParser()
    common_args.simple_network_args(parser, 0, port_file=True)
    assert parser.parse_args([]).port_file is None
    assert parser.parse_args(["--port-file", "p"]).port_file == "p"
    assert "port_file" not in vars(parse())
    with pytest.raises(ValueError, match="for programs with one port"):
        common_args.simple_network_args(argparse.ArgumentParser(), [("a", "b", 1)], port_file=True)


def test_a_program_with_the_common_options_says_when_it_is_ready(tmp_path: Path) -> None:
    for options, start in (
        ([], "INFO:sipyco.pc_rpc:"),
        (["-v"], "INFO:sipyco.pc_rpc:"),
        (["-q"], None),
    ):
        path = tmp_path / "port"
        process = subprocess.Popen(
            [sys.executable, "-c", SERVICE, "-p", "0", "--port-file", str(path), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=as_installed(),
        )
        try:
            until(lambda: path.exists() or process.poll() is not None)
            port = int(path.read_text())
            with Client(HOST, port) as client:
                client.terminate()
                peer = client.get_local_host()
            stdout, stderr = process.communicate(timeout=DEADLINE)
        finally:
            process.kill()
            process.communicate()
        assert (process.returncode, stdout) == (0, "")
        lines = without_durations(stderr).splitlines()
        if start is None:
            assert lines == []
            continue
        assert len(lines) == 2
        assert lines[0].startswith(f"{start}serving t on {HOST} port {port} ")
        assert lines[0].endswith("(this computer only, no TLS)")
        assert lines[1].startswith(f"{start}stopping: `terminate` called by {peer} port ")


def test_a_port_is_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("70000", "-1", "http"):
        with pytest.raises(SystemExit):
            parse(f"--port={text}")
        expected = f"a port is a whole number from 0 to 65535, got '{text}'"
        assert expected in capsys.readouterr().err


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize(
    ("options", "level"), [((), 30), (("-v",), 20), (("-vv",), 10), (("-q",), 40), (("-qq",), 50)]
)
def test_the_level(options: tuple[str, ...], level: int, root: logging.Logger) -> None:
    before = len(root.handlers)
    common_args.init_logger_from_args(parse(*options))
    common_args.init_logger_from_args(parse(*options))
    assert root.level == level
    assert len(root.handlers) == before + 1


def test_a_second_set_up_changes_the_level_only(root: logging.Logger) -> None:
    before = len(root.handlers)
    multiline_log_config(10)
    multiline_log_config(20)
    assert (root.level, len(root.handlers)) == (20, before + 1)


def record(message: str, level: int = logging.ERROR) -> logging.LogRecord:
    return logging.LogRecord("some.logger", level, "", 0, message, (), None)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("one line", "ERROR:some.logger:one line"),
        ("two\nlines", "ERROR<2>:some.logger:two\nlines"),
        ("trailing\n", "ERROR<2>:some.logger:trailing\n"),
        ("", "ERROR:some.logger:"),
    ],
)
def test_records_as_text(message: str, text: str) -> None:
    assert MultilineFormatter().format(record(message)) == text


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("ERROR:some.logger:one:line", (0, 40, "some.logger", "one:line")),
        ("WARN<3>:a:first", (2, 30, "a", "first")),
        ("TRACE:a:", (0, TRACE, "a", "")),
        ("just text", (0, 20, "print", "just text")),
        ("NOLEVEL:a:b", (0, 20, "print", "NOLEVEL:a:b")),
        ("ERROR<x>:a:b", (0, 20, "print", "ERROR<x>:a:b")),
        ("ERROR<0>:a:b", (0, 20, "print", "ERROR<0>:a:b")),
        ("ERROR:a", (0, 20, "print", "ERROR:a")),
    ],
)
def test_text_as_records(text: str, parsed: tuple[int, int, str, str]) -> None:
    assert parse_log_message(text) == parsed


def test_the_source_of_records() -> None:
    source = SourceFilter(logging.WARNING, "me")
    own, foreign = record("", logging.INFO), record("", logging.INFO)
    foreign.source = "other"  # type: ignore[attr-defined]
    assert not source.filter(own)
    assert own.source == "me"  # type: ignore[attr-defined]
    assert source.filter(foreign)
    assert source.filter(record("", logging.WARNING))


def test_task_objects(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(TaskObject):
        async def _do(self) -> None:
            raise ValueError("bad")

    class Waiting(TaskObject):
        async def _do(self) -> None:
            await asyncio.Event().wait()

    async def main() -> None:
        failing, waiting = Failing(), Waiting()
        await waiting.stop()
        failing.start()
        waiting.start()
        await failing.task
        await waiting.stop()
        await waiting.stop()
        assert waiting.task.cancelled()

    asyncio.run(main())
    assert "unhandled exception in Failing" in caplog.text


def test_tasks_may_begin_before_their_loop_runs() -> None:
    done: list[str] = []

    class Object(TaskObject):
        async def _do(self) -> None:
            done.append("object")

    async def coroutine() -> None:
        done.append("pool")

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        started = Object()
        started.start()
        explicit = Object()
        explicit.start(loop=loop)
        task = BackgroundTaskPool(loop).create(coroutine())
        other = BackgroundTaskPool().create(coroutine())
        loop.run_until_complete(asyncio.wait([started.task, explicit.task, task, other]))
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    assert sorted(done) == ["object", "object", "pool", "pool"]


def test_conditions_and_pools(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError("bad")

    async def main() -> None:
        condition = Condition()
        waiting = [asyncio.create_task(condition.wait()) for _ in range(2)]
        await asyncio.sleep(0)
        condition.notify()
        await asyncio.gather(*waiting)
        pool = BackgroundTaskPool()
        await asyncio.wait([pool.create(fail())])

    asyncio.run(main())
    assert "background task failed" in caplog.text


def test_who_waits_no_more_is_not_woken() -> None:
    async def main() -> None:
        condition = Condition()
        leaving, staying = (asyncio.create_task(condition.wait()) for _ in range(2))
        await asyncio.sleep(0)
        leaving.cancel()
        condition.notify()
        await staying
        with pytest.raises(asyncio.CancelledError):
            await leaving

    asyncio.run(main())


AT_EXIT = """\
import asyncio, atexit
from sipyco_tools.asyncio_tools import atexit_register_coroutine

loop, closed = asyncio.new_event_loop(), asyncio.new_event_loop()
closed.close()
asyncio.set_event_loop(loop)
atexit.register(loop.close)  # what is registered first runs last


def says(name):
    async def coroutine():
        print(name, asyncio.get_running_loop() is loop)

    return coroutine


atexit_register_coroutine(says("of the current loop:"))
atexit_register_coroutine(says("of a loop:"), loop=loop)
atexit_register_coroutine(says("of a closed loop:"), loop=closed)
asyncio.run(says("now:")())  # after this there is no current loop
atexit_register_coroutine(says("of no loop:"))
"""


def test_coroutines_run_at_exit_and_the_latest_comes_first() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", AT_EXIT], capture_output=True, text=True
    )
    assert (done.returncode, without_durations(done.stderr)) == (0, "")
    assert done.stdout.splitlines() == [
        "now: False",
        "of no loop: False",
        "of a closed loop: False",
        "of a loop: True",
        "of the current loop: True",
    ]


PROGRAM = """
import argparse, asyncio, logging
logging.getLogger("asyncio").setLevel(logging.ERROR)  # it tells how long things take
from sipyco_tools.common_args import (
    bind_address_from_args, init_logger_from_args, simple_network_args, verbosity_args
)
from sipyco_tools.logging_tools import Server

async def serve(args):
    async with Server() as server:
        await server.start(bind_address_from_args(args), args.port, local_cert=args.cert,
            local_key=args.cert, peer_cert=args.cert)

parser = argparse.ArgumentParser()
simple_network_args(parser, 1066)
verbosity_args(parser)
parser.add_argument("--cert")
args = parser.parse_args()
init_logger_from_args(args)
asyncio.run(serve(args))
"""


@pytest.mark.parametrize("options", [[], ["-vv"]])
def test_a_program_with_common_options_that_cannot_listen_says_so_in_one_line(
    options: list[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_program("-p", str(port), *options)
    assert done.returncode == 1
    line = f"Address already in use: could not listen on 127.0.0.1 port {port} ("
    assert line in done.stderr
    assert ("Traceback" in done.stderr) == bool(options)  # who wants to see all of it does
    if not options:
        assert done.stderr.startswith(f"-c: {line}")
        assert done.stderr.count("\n") == 1


def test_a_program_with_common_options_whose_certificate_is_missing_says_so_in_one_line() -> None:
    done = run_program("--cert", "nowhere.pem")
    expected = "-c: No such file or directory: our certificate (local_cert): nowhere.pem\n"
    assert (done.returncode, done.stderr) == (1, expected)


@pytest.mark.parametrize("module", [sipyco_certs, sipyco_logs, sipyco_logserver, sipyco_rpctool])
def test_each_command_tells_its_version(
    module: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        module.get_argparser().parse_args(["--version"])
    assert ended.value.code == 0
    assert f"sipyco-tools {sipyco_tools.__version__}" in capsys.readouterr().out.splitlines()


def run_program(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
