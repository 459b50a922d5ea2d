"""A forwarder of a program without a loop: it has a thread, and says what it cannot send."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sipyco_tools._logging import forwarder as forwarder_module
from sipyco_tools._logging import loop_thread, sender
from sipyco_tools.logging_tools import LogForwarder, Server
from support.peers import DEADLINE, HOST, running_server, until
from support.programs import free_port
from support.records import recorded


@pytest.fixture(autouse=True)
def without_a_loop() -> None:
    asyncio.set_event_loop(None)


@pytest.fixture
def logger() -> logging.Logger:
    return logging.Logger("script")  # of its own: nothing of it is left


@pytest.fixture
def port() -> Iterator[int]:
    with running_server(Server) as port:
        yield port


def forwarding(logger: logging.Logger, port: int, **options: Any) -> LogForwarder:
    forwarder = LogForwarder(HOST, port, **options)
    logger.addHandler(forwarder)
    forwarder.start()
    return forwarder


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("log forwarder")]


SCRIPT = """
import logging, sys
from sipyco_tools.logging_tools import LogForwarder

forwarder = LogForwarder("localhost", int(sys.argv[1]))
logging.getLogger().addHandler(forwarder)
logging.getLogger().setLevel(logging.INFO)
logging.getLogger("asyncio").setLevel(logging.ERROR)  # it tells how long things take
forwarder.start()
for number in range(50):
    logging.info("%d\\n%s", number, "x" * 1000)
"""


def run_script(port: int, script: str = SCRIPT) -> str:
    """Run a program, and return what it has printed."""
    done = subprocess.run(
        [sys.executable, "-c", script, str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE,
        check=True,
    )
    return done.stdout


def test_all_records_of_a_script_arrive(port: int) -> None:
    with recorded() as records:
        assert run_script(port) == ""
        until(lambda: len(records) == 50)
    assert [int(text.split()[0]) for _, _, text, _ in records] == list(range(50))


def test_a_script_says_that_there_is_no_log_server() -> None:
    said = run_script(free_port())
    assert "no connection to the log server at localhost port " in said
    assert "50 log messages were not sent to localhost port " in said


def test_a_script_whose_loop_never_runs_says_so(port: int) -> None:
    script = SCRIPT.replace(
        "forwarder.start()",
        "import asyncio; asyncio.set_event_loop(loop := asyncio.new_event_loop())\n"
        "forwarder.start()\n"
        "import atexit; atexit.register(loop.close)",
    )
    said = run_script(port, script)
    assert "50 log messages were not sent to localhost port " in said


def test_a_script_that_never_starts_it_says_so() -> None:
    said = run_script(free_port(), SCRIPT.replace("forwarder.start()", ""))
    assert "50 log messages were not sent to localhost port " in said


def test_records_arrive_while_the_script_goes_on_and_before_it_is_closed(
    logger: logging.Logger, port: int
) -> None:
    with recorded() as records:
        forwarder = forwarding(logger, port)
        logger.info("while it goes on")
        until(lambda: len(records) == 1)
        for number in range(100):
            logger.info("%d", number)
        forwarder.close()
        assert threads() == []
        until(lambda: len(records) == 101)
        forwarder.close()


def test_it_can_be_started_again(logger: logging.Logger, port: int) -> None:
    with recorded() as records:
        forwarder = forwarding(logger, port)
        with pytest.raises(RuntimeError, match="started already"):
            forwarder.start()
        forwarder.close()
        logger.info("between")
        forwarder.start()
        logger.info("after")
        until(lambda: len(records) == 2)
        forwarder.close()
    assert [text for _, _, text, _ in records] == ["between", "after"]


def test_it_can_be_stopped_from_a_loop(logger: logging.Logger, port: int) -> None:
    with recorded() as records:
        forwarder = forwarding(logger, port)
        logger.info("sent")
        asyncio.run(forwarder.stop())
        assert threads() == []
        until(lambda: len(records) == 1)
        asyncio.run(forwarder.stop())


def test_a_forwarder_of_a_loop_is_not_hurt_when_it_is_closed_early(
    logger: logging.Logger, port: int
) -> None:
    async def main() -> None:
        forwarder = forwarding(logger, port)
        assert threads() == []
        logger.info("sent")
        forwarder.close()
        await forwarder.stop()

    with recorded() as records:
        asyncio.run(main())
        until(lambda: len(records) == 1)


def test_it_can_be_stopped_in_another_loop_than_it_was_started_in(
    logger: logging.Logger, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def start() -> LogForwarder:
        return forwarding(logger, port)

    forwarder = asyncio.run(start())
    logger.info("late")
    asyncio.run(forwarder.stop())
    assert caplog.messages == [f"1 log message was not sent to {HOST} port {port}"]
    forwarder.close()
    assert len(caplog.messages) == 1


def test_the_end_of_a_program_does_not_wait_for_the_lock_that_it_holds(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = logging.getLogger("sipyco.logs")
    monkeypatch.setattr(forwarder_module, "THREAD_TIMEOUT", DEADLINE)
    forwarder = LogForwarder(HOST, free_port(), reconnect_timer=1000.0)
    own.addHandler(forwarder)
    logger.addHandler(forwarder)
    try:
        forwarder.acquire()  # as `logging.shutdown` does
        forwarder.start()
        logger.info("kept")
        forwarder.close()
    finally:
        forwarder.release()
        own.removeHandler(forwarder)
    assert threads() == []
    assert [message.split(" to ")[0] for message in caplog.messages] == [
        "no connection",
        "1 log message was not sent",
    ]


def test_what_the_thread_logs_is_not_forwarded(
    logger: logging.Logger, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sender.async_open_connection

    async def talkative(*args: Any, **kwargs: Any) -> Any:
        logger.info("connecting")
        return await real(*args, **kwargs)

    monkeypatch.setattr(sender, "async_open_connection", talkative)
    with recorded() as records:
        forwarder = forwarding(logger, port)
        logger.info("of the script")
        until(lambda: len(records) == 1)
        forwarder.close()
    assert [text for _, _, text, _ in records] == ["of the script"]


def test_a_thread_that_cannot_be_started_is_said(
    logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    forwarder = LogForwarder(HOST, free_port())
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            forwarder.start()
    forwarder.close()


def test_a_name_that_cannot_be_resolved_is_said(caplog: pytest.LogCaptureFixture) -> None:
    forwarder = LogForwarder("nosuch.invalid", free_port(), reconnect_timer=1000.0)
    forwarder.start()
    until(lambda: caplog.messages)
    forwarder.close()
    assert caplog.messages[0].startswith("no connection to the log server at nosuch.invalid")


def in_a_thread(function: Callable[[], Any]) -> Any:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join(DEADLINE)
    return results[0]


def test_which_loop_is_that_of_the_program() -> None:
    assert loop_thread.loop_of_program() is None
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        assert loop_thread.loop_of_program() is loop
        assert in_a_thread(loop_thread.loop_of_program) is None
    finally:
        loop.close()
    assert loop_thread.loop_of_program() is None
    asyncio.set_event_loop(None)

    async def main() -> bool:
        return loop_thread.loop_of_program() is asyncio.get_running_loop()

    assert asyncio.run(main())
    assert loop_thread.loop_of_program() is None
