"""All that a program logs, sent by one call or one option, whatever kind of program it is."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from sipyco_tools import common_args
from sipyco_tools._cli.arguments import Address
from sipyco_tools.logging_tools import LogForwarder, Server, forward_logs
from support.certificates import paths_of
from support.forks import in_child
from support.peers import DEADLINE, HOST, running_server, until
from support.programs import free_port
from support.records import recorded


@pytest.fixture(autouse=True)
def root() -> Iterator[logging.Logger]:
    """Give the root logger, as a program finds it, and have nothing left of what it gets."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    root.setLevel(logging.WARNING)
    yield root
    for handler in forwarders():
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


def forwarders() -> list[logging.Handler]:
    return [each for each in logging.getLogger().handlers if isinstance(each, LogForwarder)]


@pytest.fixture
def port() -> Iterator[int]:
    with running_server(Server) as port:
        yield port


def run_program(script: str, *arguments: object, status: int = 0) -> str:
    """Run a program; give what it has written to standard error."""
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert (done.returncode, done.stdout) == (status, "")
    return done.stderr


HEAD = """
import logging, sys
from sipyco_tools.logging_tools import forward_logs
port = int(sys.argv[1])
logging.getLogger("asyncio").setLevel(logging.ERROR)  # it tells how long things take
"""
CALL = "forward_logs('127.0.0.1', port, name='laser')\n"
LOG = """
logger = logging.getLogger("lock")
logger.debug("not sent")
logger.info("sent")
logger.warning("sent and printed")
"""
SENT = [("lock", 20, "sent", "laser"), ("lock", 30, "sent and printed", "laser")]


@pytest.mark.parametrize(
    "program",
    [
        CALL + LOG,
        "import asyncio\nasync def main():\n    "
        + (CALL + LOG).replace("\n", "\n    ")
        + "\nasyncio.run(main())\n",
        CALL + "import asyncio\nasync def main():\n    " + LOG.replace("\n", "\n    ")
        + "\nasyncio.run(main())\n",
        "import asyncio; asyncio.set_event_loop(asyncio.new_event_loop())\n" + CALL + LOG
        + "asyncio.get_event_loop().close()\n",
        CALL
        + "import threading\ndef main():\n    "
        + LOG.replace("\n", "\n    ")
        + "\nt = threading.Thread(target=main); t.start(); t.join()\n",
    ],
    ids=["script", "called in a loop", "called before a loop", "a loop never runs", "thread"],
)  # fmt: skip
def test_what_a_program_logs_is_sent_to_its_end_and_printed_as_ever(
    program: str, port: int
) -> None:
    with recorded() as records:
        assert run_program(HEAD + program, port) == "sent and printed\n"
        until(lambda: len(records) == 2)
    assert records == SENT


def test_ctrl_c_and_exceptions_lose_nothing(port: int) -> None:
    with recorded() as records:
        said = run_program(HEAD + CALL + LOG + "raise ZeroDivisionError\n", port, status=1)
        assert said.splitlines()[0] == "sent and printed"
        assert said.splitlines()[-1] == "ZeroDivisionError"
        until(lambda: len(records) == 2)
    interrupt = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"
    with recorded() as records:
        said = run_program(HEAD + CALL + LOG + interrupt, port, status=-signal.SIGINT)
        assert said.splitlines()[-1] == "KeyboardInterrupt"
        until(lambda: len(records) == 2)
    assert records == SENT


def test_a_program_without_its_log_server_ends_and_says_what_was_not_sent() -> None:
    said = run_program(HEAD + CALL + LOG, free_port())
    assert "sent and printed\n" in said
    assert "no connection to the log server at 127.0.0.1 port " in said
    assert "2 log messages were not sent to 127.0.0.1 port " in said


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs fork")
def test_a_child_that_is_forked_goes_on(port: int) -> None:
    def child() -> str:
        logging.warning("of the child")
        [forwarder] = forwarders()
        forwarder.close()
        return "closed"

    with recorded() as records:
        forward_logs(HOST, port, name="laser")
        logging.warning("of the parent")
        until(lambda: len(records) == 1)
        assert in_child(child) == "closed"
        until(lambda: len(records) == 2)
        logging.warning("goes on")
        until(lambda: len(records) == 3)
    assert [text for _, _, text, _ in records] == ["of the parent", "of the child", "goes on"]
    assert {source for _, _, _, source in records} == {"laser"}


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs fork")
def test_workers_that_are_forked_send_all_they_log(port: int) -> None:
    script = (
        "import multiprocessing, warnings; warnings.simplefilter('ignore')\n"
        "def work(): logging.info('of the worker')\n"
        "context = multiprocessing.get_context('fork')\n"
        "w = context.Process(target=work); w.start(); w.join()\n"
    )
    with recorded() as records:
        assert run_program(HEAD + CALL + script, port) == ""
        until(lambda: len(records) == 1)
    assert records == [("root", 20, "of the worker", "laser")]


def test_what_is_written_elsewhere_stays_as_it_was(port: int, root: logging.Logger) -> None:
    written: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: written.append(record.getMessage())  # type: ignore[method-assign]
    root.addHandler(handler)
    chatty = logging.getLogger("program.chatty")
    chatty.setLevel(logging.DEBUG)
    try:
        with recorded() as records:
            forwarder = forward_logs(HOST, port)
            logging.info("sent only")
            logging.warning("both")
            chatty.getChild("x").debug("written only")
            logging.getLogger("program").info("sent only, too")
            until(lambda: len(records) == 3)
            assert written == ["both", "written only"]
            assert forward_logs(HOST, port, level=logging.DEBUG) is forwarder
            logging.debug("sent only now")
            logging.info("and so is this")
            until(lambda: len(records) == 5)
            assert written == ["both", "written only"]
    finally:
        chatty.setLevel(logging.NOTSET)


def test_a_forwarder_that_is_closed_is_done_with(port: int) -> None:
    with recorded() as records:
        forwarder = forward_logs(HOST, port)
        logging.warning("one")
        forwarder.close()
        assert forwarders() == []
        until(lambda: len(records) == 1)
        again = forward_logs(HOST, port)
        assert again is not forwarder
        asyncio.run(again.stop())
        assert forwarders() == []


def test_levels_are_given_back_when_the_last_one_is_closed(
    port: int, root: logging.Logger
) -> None:
    handler = logging.NullHandler()
    root.addHandler(handler)
    first = forward_logs(HOST, port, level=logging.INFO)
    second = forward_logs("localhost", port, level=logging.DEBUG)
    assert root.level == logging.DEBUG
    second.close()
    second.close()
    assert (root.level, len(handler.filters)) == (logging.INFO, 1)
    asyncio.run(first.stop())
    assert (root.level, handler.filters) == (logging.WARNING, [])


@pytest.mark.parametrize(
    "configure",
    [
        "logging.basicConfig(force=True)\n",
        "import logging.config\nlogging.config.dictConfig({'version': 1})\n",
    ],
)
def test_logging_that_is_configured_anew_is_said_to_end_it(configure: str, port: int) -> None:
    text = (
        "logging was configured anew: call forward_logs after that; log messages are no longer "
        f"sent to 127.0.0.1 port {port}"
    )
    with recorded() as records:
        said = run_program(HEAD + CALL + configure + configure + CALL + LOG, port)
        assert [line for line in said.splitlines() if "anew" in line] == [text]
        until(lambda: len(records) == 2)
    assert records == SENT


def test_with_tls() -> None:
    with running_server(Server, **paths_of("server", "client")) as port, recorded() as records:
        forward_logs(HOST, port, **paths_of("client", "server"))  # type: ignore[arg-type]
        logging.warning("m")
        until(lambda: len(records) == 1)
    with pytest.raises(FileNotFoundError):
        forward_logs(HOST, 1, local_cert="none", local_key="none", peer_cert="none")


def test_the_name_of_a_program_is_that_of_its_file_or_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for path, name in [
        ("/lab/laser.py", "laser"),
        ("/lab/laser/__main__.py", "laser"),
        ("", "python"),
        ("-c", "-c"),
    ]:
        monkeypatch.setattr(sys, "argv", [path])
        assert LogForwarder(HOST, 1)._source == name
    monkeypatch.setattr(sys, "argv", [])
    assert LogForwarder(HOST, 1)._source == "python"


# --- the option ---


def parser(**options: Any) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="program")
    common_args.verbosity_args(parser, **options)
    return parser


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("lab", ("lab", 1066)),
        ("lab:1067", ("lab", 1067)),
        ("[::1]:1067", ("::1", 1067)),
        ("[::1]", ("::1", 1066)),
        ("::1", ("::1", 1066)),
        ("fe80::1%eth0", ("fe80::1%eth0", 1066)),
        ("127.0.0.1", ("127.0.0.1", 1066)),
    ],
)
def test_addresses_of_log_servers(text: str, address: tuple[str, int]) -> None:
    assert parser(log_server=True).parse_args(["--log-server", text]).log_server == address


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lab:", "a port is a whole number from 1 to 65535, got ''"),
        ("lab:http", "a port is a whole number from 1 to 65535, got 'http'"),
        (":1066", "a host is the name or address of a computer"),
        ("[::1", "expected [ADDRESS]:PORT, got '[::1'"),
        ("[::1]1066", "expected [ADDRESS]:PORT, got '[::1]1066'"),
    ],
)
def test_what_is_no_address(text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser(log_server=True).parse_args(["--log-server", text])
    assert said in capsys.readouterr().err


def test_programs_that_do_not_ask_for_the_option_are_as_they_were() -> None:
    own = parser()
    own.add_argument("--log-server")  # of their own, which means what they say
    args = own.parse_args(["--log-server", "lab"])
    assert vars(args) == {"verbose": 0, "quiet": 0, "log_server": "lab"}
    common_args.init_logger_from_args(args)
    assert forwarders() == []


SCRIPT = """
import argparse, logging
from sipyco_tools.common_args import init_logger_from_args, verbosity_args
parser = argparse.ArgumentParser()
verbosity_args(parser, log_server=True)
init_logger_from_args(parser.parse_args())
logging.getLogger("asyncio").setLevel(logging.ERROR)  # it tells how long things take
logger = logging.getLogger("lock")
logger.debug("fine")
logger.info("sent")
logger.warning("both")
"""


@pytest.mark.parametrize(
    ("options", "printed", "levels"),
    [
        ([], ["WARNING:lock:both"], [20, 30]),
        (["-q"], [], [20, 30]),
        (["-v"], ["INFO:lock:sent", "WARNING:lock:both"], [20, 30]),
        (["-vv"], ["DEBUG:lock:fine", "INFO:lock:sent", "WARNING:lock:both"], [10, 20, 30]),
    ],
)
def test_the_option_sends_what_is_of_interest_tomorrow(
    options: list[str], printed: list[str], levels: list[int], port: int
) -> None:
    with recorded() as records:
        said = run_program(SCRIPT, "--log-server", f"{HOST}:{port}", *options)
        assert [line for line in said.splitlines() if ":lock:" in line] == printed
        until(lambda: len([r for r in records if r[0] == "lock"]) == len(levels))
    assert [r[1] for r in records if r[0] == "lock"] == levels


def test_a_second_set_up_changes_the_level_only(port: int, root: logging.Logger) -> None:
    for verbose, level in [(0, 20), (1, 20), (2, 10), (0, 20)]:
        args = argparse.Namespace(quiet=0, verbose=verbose, log_server=Address(HOST, port))
        common_args.init_logger_from_args(args)
        assert root.level == level
        [forwarder] = forwarders()
        [stream] = [each for each in root.handlers if type(each) is logging.StreamHandler]
        assert len(forwarder.filters) == 1
        for levelno, least in [(30, 0), (20, 1), (10, 2)]:
            record = logging.makeLogRecord({"levelno": levelno, "name": "x"})
            assert bool(stream.filter(record) and root.isEnabledFor(levelno)) == (verbose >= least)


def test_the_log_server_may_have_tls() -> None:
    with running_server(Server, **paths_of("server", "client")) as port, recorded() as records:
        paths = paths_of("client", "server").values()
        said = run_program(SCRIPT, "--log-server", f"{HOST}:{port}", "--log-server-ssl", *paths)
        assert said == "WARNING:lock:both\n"
        until(lambda: len(records) == 2)
    said = run_program(SCRIPT, "--log-server-ssl", "a", "b", "c", status=1)
    assert said == "--log-server-ssl is for --log-server, which is missing\n"
