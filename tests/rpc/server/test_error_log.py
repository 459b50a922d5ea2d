"""What methods raise is in the log of the server: once with its traceback, then counted."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import re
import subprocess
import sys
import types
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from sipyco_rpc._server.error_log import ErrorLog
from sipyco_rpc.pc_rpc import (
    AsyncioClient,
    Client,
    GenericRemoteException,
    Server,
    simple_server_loop,
)
from support.gates import GatedTarget
from support.peers import DEADLINE, HOST, connected, rpc_server, until
from support.programs import free_port
from support.records import recorded

HELLO = b"ARTIQ pc_rpc\n"


class Device(GatedTarget):
    """Methods that fail."""

    def fail(self, value: Any = None) -> None:
        raise ValueError(f"no {value}")

    async def fail_later(self, value: Any = None) -> None:
        await asyncio.sleep(0)
        raise KeyError(value)

    def give(self, value: Any = None) -> Any:
        return value

    def strange(self) -> object:
        return object

    def items(self) -> Iterator[int]:
        yield 1
        raise OSError("no more")

    async def items_async(self) -> AsyncIterator[int]:
        yield 1
        raise OSError("no more")

    def strange_items(self) -> Iterator[object]:
        yield object

    def leave(self) -> None:
        raise SystemExit(3)


SERVER_LINES = "serving |stopping: |stopped "  # what a server says of itself, and not of calls


def client_of(port: int, **options: Any) -> Client:
    return Client(HOST, port, timeout=DEADLINE, **options)


def errors_in(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str, bool]]:
    """Give what was logged of calls: level, text without the client, whether with traceback."""
    return [
        (
            record.levelno,
            re.sub(r", called by [\d.]+ port \d+,", "", record.getMessage()),
            bool(record.exc_info),
        )
        for record in caplog.records
    ]


@pytest.fixture(autouse=True)
def _level(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    def is_of_a_call(record: logging.LogRecord) -> bool:
        return re.match(SERVER_LINES, record.getMessage()) is None

    caplog.set_level(logging.INFO, "sipyco.pc_rpc")
    caplog.handler.addFilter(is_of_a_call)
    yield
    caplog.handler.removeFilter(is_of_a_call)


@pytest.mark.parametrize("threaded", [False, True], ids=["plain", "threaded"])
@pytest.mark.parametrize("allow_parallel", [False, True], ids=["one", "parallel"])
def test_it_has_method_arguments_and_traceback_once(
    threaded: bool, allow_parallel: bool, either_protocol: bool, caplog: pytest.LogCaptureFixture
) -> None:
    options: Any = {"threaded": threaded, "allow_parallel": allow_parallel}
    with rpc_server({"t": Device()}, **options) as port, client_of(port) as client:
        for number in range(4):
            with pytest.raises(ValueError, match="no"):
                client.fail(number)
        with pytest.raises(KeyError):
            client.fail_later(value="key")
    assert errors_in(caplog) == [
        (logging.INFO, "`t.fail(0)` raised ValueError: no 0", True),
        (logging.INFO, "`t.fail_later(value='key')` raised KeyError: 'key'", True),
        (logging.INFO, "`t.fail(3)` raised ValueError: no 3 (the latest of 3 like it)", False),
    ]
    assert caplog.text.count("Traceback") == 2
    assert "in fail_later\n    raise KeyError(value)\n" in caplog.text
    assert "sipyco_rpc" not in caplog.text.replace("sipyco.pc_rpc", "")  # no frames of ours


def test_it_names_the_client(caplog: pytest.LogCaptureFixture) -> None:
    with rpc_server({"t": Device()}) as port, connected(port) as peer:
        peer.send(HELLO + b"t pyon_v2\n")
        peer.send(b'{"action":"call","name":"fail","args":[],"kwargs":{}}\n')
        assert b"failed" in [peer.line() for _ in range(3)][2]
        host, own_port = peer.socket.getsockname()
    assert caplog.messages == [
        f"`t.fail()`, called by {host} port {own_port}, raised ValueError: no None"
    ]


def test_generators_are_named_as_they_were_called(caplog: pytest.LogCaptureFixture) -> None:
    with rpc_server({"t": Device()}, frames=True) as port, client_of(port) as client:
        for method in (client.items, client.items_async):
            with pytest.raises(OSError, match="no more"):
                list(method())
        with pytest.raises(TypeError):
            list(client.strange_items())
    first, second, third = errors_in(caplog)
    assert first == (logging.INFO, "`t.items()` raised OSError: no more", True)
    assert second == (logging.INFO, "`t.items_async()` raised OSError: no more", True)
    assert third[1].startswith("`t.strange_items()` returned what cannot be sent: TypeError: ")
    assert not third[2]


@pytest.mark.parametrize("threaded", [False, True], ids=["plain", "threaded"])
def test_what_has_no_place_in_the_program_is_one_line(
    threaded: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with rpc_server({"t": Device()}, threaded=threaded) as port, client_of(port) as client:
        with pytest.raises(TypeError, match="argument"):
            client.give(1, 2, 3)
        with pytest.raises(TypeError, match="type"):
            client.strange()
    wrong, strange = errors_in(caplog)
    assert wrong[1].startswith("`t.give(1, 2, 3)` raised TypeError: Device")
    assert strange[1].startswith("`t.strange()` returned what cannot be sent: TypeError: ")
    assert not wrong[2]
    assert not strange[2]
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    "request_line",
    [
        b'{"action":"explode"}\n',
        b'{"action":"call","name":"missing","args":[],"kwargs":{}}\n',
        b"nonsense\n",
    ],
)
def test_what_is_refused_is_one_line(
    request_line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with rpc_server({"t": Device()}) as port, connected(port) as peer:
        peer.send(HELLO + b"t pyon_v2\n" + 3 * request_line)
        assert all(peer.line() for _ in range(5))
    first, summary = caplog.messages
    assert first.startswith("a request of 127.0.0.1 port ")
    assert " was refused: " in first
    assert summary == f"{first} (the latest of 2 like it)"
    assert "Traceback" not in caplog.text


def test_arguments_and_texts_are_shortened(caplog: pytest.LogCaptureFixture) -> None:
    with rpc_server({"t": Device()}) as port, client_of(port) as client:
        with pytest.raises(ValueError, match="no x"):
            client.fail("x" * 100_000)
    assert len(caplog.text) < 1000
    assert caplog.messages[0].startswith("`t.fail('xxxx")


def long_note() -> None:
    exc = ValueError("short")
    exc.add_note("x" * 100_000)
    raise exc


def long_cause() -> None:
    raise ValueError("short") from KeyError("x" * 100_000)


def long_chain() -> None:
    exc = ValueError("short")
    for _ in range(1000):
        later = ValueError("short")
        later.__cause__ = exc
        exc = later
    raise exc


def long_member() -> None:
    group = ExceptionGroup("group", [KeyError("x" * 100_000)])
    group.__cause__ = group  # a circle
    raise group


@pytest.mark.parametrize("fail", [long_note, long_cause, long_chain, long_member])
def test_what_belongs_to_an_exception_does_not_fill_the_log(
    fail: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    target = types.SimpleNamespace(fail=fail)
    with rpc_server({"t": target}) as port, client_of(port) as client:
        with pytest.raises((ValueError, ExceptionGroup)):
            client.fail()
    assert len(caplog.text) < 1000
    assert caplog.messages[0].startswith("`t.fail()`, called by ")


def test_an_exception_whose_text_leaves_does_not_end_the_server() -> None:
    class Leaving(Exception):
        def __str__(self) -> str:
            raise SystemExit("no text")

    def fail() -> None:
        raise Leaving

    with rpc_server({"t": types.SimpleNamespace(fail=fail)}) as port, client_of(port) as client:
        for _ in range(2):
            with pytest.raises(GenericRemoteException, match="text of this exception"):
                client.fail()


def test_what_was_cancelled_has_not_failed(caplog: pytest.LogCaptureFixture) -> None:
    target = Device()

    async def main(port: int) -> None:
        async with AsyncioClient(timeout=DEADLINE) as client:
            await client.connect_rpc(HOST, port)
            call = asyncio.create_task(client.wait())
            await asyncio.to_thread(target.entered.wait, DEADLINE)
            call.cancel()
            await asyncio.wait({call})
            items = await client.items()
            await items.aclose()
            await client.ping_rpc()

    with rpc_server({"t": target}, frames=True) as port:
        asyncio.run(main(port))
    assert not caplog.messages


def test_a_method_that_leaves_has_failed_where_it_does_not_end_the_server(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with rpc_server({"t": Device()}) as port, client_of(port) as client:
        with pytest.raises(Exception, match="3"):
            client.leave()
    assert errors_in(caplog) == [(logging.INFO, "`t.leave()` raised SystemExit: 3", True)]


@pytest.mark.parametrize("level", [None, logging.DEBUG])
def test_nothing_is_made_for_a_log_that_nobody_reads(
    level: int | None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sipyco_rpc._server.error_log.short_message", None)
    options: Any = {"error_log_level": level}
    with rpc_server({"t": Device()}, **options) as port, client_of(port) as client:
        with pytest.raises(ValueError, match="no 1"):
            client.fail(1)
    assert not caplog.messages


def test_the_level_can_be_chosen(caplog: pytest.LogCaptureFixture) -> None:
    options: Any = {"error_log_level": logging.ERROR}
    with rpc_server({"t": Device()}, **options) as port, client_of(port) as client:
        with pytest.raises(ValueError, match="no 1"):
            client.fail(1)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


@pytest.mark.parametrize("level", ["INFO", 1.5, -1, True])
def test_a_level_is_a_number(level: Any) -> None:
    with pytest.raises(ValueError, match=r"error_log_level is a level such as logging.INFO"):
        Server({"t": Device()}, error_log_level=level)


class Failing(logging.Handler):
    """Raises whatever is logged, as that of Python does where `sys.stderr` is closed."""

    def emit(self, record: logging.LogRecord) -> None:
        raise ValueError("I/O operation on closed file")


def test_a_log_that_fails_does_not_end_the_server(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("sipyco.pc_rpc", "asyncio"):
        monkeypatch.setattr(logging.getLogger(name), "handlers", [Failing(logging.INFO)])
    with rpc_server({"t": Device()}) as port:
        for _ in range(2):
            with client_of(port) as client:
                with pytest.raises(ValueError, match="no 1"):
                    client.fail(1)
                assert client.give(2) == 2
    text = "an error of a method could not be logged: ValueError('I/O operation on closed file')"
    assert text in capsys.readouterr().err.splitlines()


def test_a_filter_that_fails_is_told_to_the_loop_and_nobody_else() -> None:
    def fail(record: logging.LogRecord) -> bool:
        raise RuntimeError("a filter of the program")

    async def main() -> list[dict[str, Any]]:
        told: list[dict[str, Any]] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context))
        ErrorLog(logging.INFO).raised(lambda: "`t.f()`", "a client", ValueError("no"))
        return told

    logger = logging.getLogger("sipyco.pc_rpc")
    logger.addFilter(fail)
    try:
        [told] = asyncio.run(main())
    finally:
        logger.removeFilter(fail)
    assert told["message"] == "an error of a method could not be logged"
    assert str(told["exception"]) == "a filter of the program"


def test_what_a_relayed_method_raises_is_told_in_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with rpc_server({"t": Device()}, error_log_level=None) as port, client_of(port) as target:
        with rpc_server({"r": target}) as relay, client_of(relay) as client:
            for number in range(2):
                with pytest.raises(ValueError, match="no"):
                    client.fail(number)
    assert errors_in(caplog) == [
        (logging.INFO, "`r.fail(0)` raised ValueError: no 0", False),
        (logging.INFO, "`r.fail(1)` raised ValueError: no 1", False),
    ]


def test_exceptions_do_not_outlive_their_replies() -> None:
    kept: list[weakref.ref[Any]] = []

    class Big(ValueError):
        def __init__(self) -> None:
            super().__init__("no")
            kept.append(weakref.ref(self))

    class Target:
        def fail(self) -> None:
            raise Big

        async def fail_later(self) -> None:
            raise Big

        def items(self) -> Iterator[int]:
            yield 1
            raise Big

    def none_is_left() -> bool:
        return [ref() for ref in kept] == 6 * [None]

    with recorded("sipyco.pc_rpc"), rpc_server({"t": Target()}, frames=True) as port:
        with client_of(port) as client:
            gc.disable()  # what waits for it may be gigabytes of arrays
            try:
                for call in (client.fail, client.fail_later, lambda: list(client.items())):
                    for _ in range(2):
                        with pytest.raises(Exception, match="no"):
                            call()
                until(none_is_left)
            finally:
                gc.enable()


PROGRAM = """
from sipyco_rpc.pc_rpc import simple_server_loop
class Device:
    def fail(self):
        raise ValueError("no light")
simple_server_loop({{"t": Device()}}, "127.0.0.1", {port}{more})
"""


def said_by_program(more: str = "") -> str:
    """Run a program of `simple_server_loop`; have a method fail twice; give its stderr."""
    port = free_port()
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(port=port, more=more)],
        stderr=subprocess.PIPE,
        text=True,
        # Not in development mode, in which asyncio tells of what is slow on a busy machine.
        env={key: value for key, value in os.environ.items() if key != "PYTHONDEVMODE"},
    )
    try:
        clients: list[Client] = []

        def connect() -> bool:
            try:
                clients.append(client_of(port))
            except ConnectionRefusedError:
                return False
            return True

        until(connect)
        with clients[0] as client:
            for _ in range(2):
                with pytest.raises(ValueError, match="no light"):
                    client.fail()
            client.terminate()
        _, said = program.communicate(timeout=DEADLINE)
    finally:
        program.kill()
        program.wait()
    assert program.returncode == 0
    return said


def test_a_program_without_logging_says_it_on_standard_error() -> None:
    said = said_by_program()
    assert said.splitlines()[1].startswith("`t.fail()`, called by 127.0.0.1 port ")
    assert "raised ValueError: no light\nTraceback (most recent call last):\n" in said
    assert said.count("Traceback") == 1
    assert said.count("raised ValueError: no light") == 2


def test_a_program_can_switch_it_off() -> None:
    said = said_by_program(", error_log_level=None").splitlines()
    assert [line for line in said if not re.match(SERVER_LINES, line)] == []


def test_simple_server_loop_takes_a_level_before_it_listens() -> None:
    with pytest.raises(ValueError, match="error_log_level"):
        simple_server_loop({"t": Device()}, HOST, 0, error_log_level="loud")  # type: ignore[arg-type]
