"""Forwarding log records: the bytes on the wire, and that it never hurts the program."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from unittest import mock

import pytest

from dev.faults.proxy import FaultProxy
from sipyco_rpc.net.keepalive import async_open_connection
from sipyco_rpc.net.tls import SimpleSSLConfig
from sipyco_tools._logging import connection, queue, sender
from sipyco_tools._logging import forwarder as forwarder_module
from sipyco_tools._logging.connection import LogConnection
from sipyco_tools._logging.queue import QueuedEntry
from sipyco_tools.logging_tools import LogForwarder, Server, SourceFilter
from support.certificates import paths_of
from support.event_loops import every_loop, loop_factory
from support.feeds import comes_true, is_asked, serving
from support.peers import DEADLINE, HOST, until
from support.programs import free_port
from support.records import OFFER, recorded

BANNER = b"ARTIQ logging\n"

Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def attached(logger: logging.Logger, port: int, **options: Any) -> LogForwarder:
    forwarder = LogForwarder(HOST, port, **{"reconnect_timer": 0.001, **options})
    forwarder.addFilter(SourceFilter(logging.DEBUG, "mine"))
    logger.addHandler(forwarder)
    return forwarder


class Sink:
    """A server that keeps the lines of each connection, and ends those that it is told to."""

    def __init__(self) -> None:
        self.connections: list[list[bytes]] = []
        self.lines_before_end: list[int | None] = []  # of each connection in turn; then None
        self.reset = False

    @property
    def lines(self) -> list[bytes]:
        return [line for lines in self.connections for line in lines]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines: list[bytes] = []
        index = len(self.connections)
        self.connections.append(lines)
        ends = self.lines_before_end[index : index + 1] or [None]
        is_there = await is_asked(reader, BANNER)
        if is_there:
            offer = await reader.readline()
            assert offer.endswith(OFFER) or not offer
        while is_there and (ends[0] is None or len(lines) < ends[0]):
            line = await reader.readline()
            if not line:
                break
            lines.append(line)
        if self.reset:
            linger = struct.pack("ii", 1, 0)
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.close()

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator[int]:
        server = await asyncio.start_server(self.serve, HOST, port)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()


def arrived(sock: socket.socket) -> bool:
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False


def own_messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [message for name, _, message in caplog.record_tuples if name == "sipyco.logs"]


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(DEADLINE):
            await main()

    asyncio.run(limited())


def test_the_bytes_of_records(logger: logging.Logger) -> None:
    async def main() -> None:
        sink = Sink()
        async with sink.running() as port:
            forwarder = attached(logger, port)
            logger.warning("before the start")
            forwarder.start()
            logger.error("one line")
            logger.info("two\nlines %s", "é")
            logger.error("cr\rlf")
            logger.log(5, "below the level of the filter")
            logger.log(33, "odd level")
            logger.error("other's", extra={"source": "other"})
            await comes_true(lambda: len(sink.lines) == 7)
            await forwarder.stop()
            await forwarder.stop()
        assert b"".join(sink.lines).decode() == (
            "mine:WARNING:under.test:before the start\n"
            "mine:ERROR:under.test:one line\n"
            "mine:INFO<2>:under.test:two\nlines é\n"
            "mine:ERROR:under.test:cr\\rlf\n"
            "mine:WARNING:under.test:odd level\n"
            "other:ERROR:under.test:other's\n"
        )

    run(main)


def record(message: Any, *args: object, level: int = logging.ERROR, **extra: Any) -> Any:
    """Make a record; of some, the handlers of pytest could make nothing."""
    logger = logging.getLogger("under.test")
    return logger.makeRecord(logger.name, level, "", 0, message, args, None, extra=extra)


def test_records_that_are_not_as_they_should_be() -> None:
    async def main() -> None:
        sink = Sink()
        async with sink.running() as port:
            forwarder = LogForwarder(HOST, port)
            forwarder._source = "program"
            forwarder.start()
            forwarder.handle(record("without a source"))
            forwarder.handle(record("%d", "no number"))
            forwarder.handle(record("odd source", source="a:b\nc"))
            forwarder.handle(record("\udc80 surrogate"))
            forwarder.handle(record("x" * 1_000_000))
            forwarder.handle(record("\n" * 20_000))
            forwarder.handle(record("last"))
            await comes_true(lambda: sink.lines[-1:] == [b"program:ERROR:under.test:last\n"])
            await forwarder.stop()
        lines = sink.lines
        assert lines[0] == b"program:ERROR:under.test:without a source\n"
        assert lines[1].startswith(b"program:ERROR:under.test:message that cannot be formatted")
        assert b"'%d'" in lines[1]
        assert lines[2] == b"a_b_c:ERROR:under.test:odd source\n"
        assert lines[3] == b"program:ERROR:under.test:\\udc80 surrogate\n"
        assert lines[4].startswith(b"program:ERROR<2>:under.test:xxx")
        assert len(lines[4]) < 2**16
        assert lines[5] == b"(990000 characters more are left out)\n"
        assert lines[6] == b"program:ERROR<5000>:under.test:\n"
        assert lines[6 + 4999] == b"(15002 characters more are left out)\n"
        assert len(lines) == 6 + 5000 + 1

    run(main)


def test_a_record_that_nothing_can_be_made_of_does_not_raise(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Unprintable:
        def __str__(self) -> str:
            raise ZeroDivisionError

        __repr__ = __str__

    forwarder = LogForwarder(HOST, 1)
    forwarder.handle(record(Unprintable()))
    forwarder.handle(record("next"))
    assert len(forwarder._queue) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_threads_are_never_kept_waiting_and_the_oldest_are_dropped(
    logger: logging.Logger,
) -> None:
    async def main() -> None:
        sink = Sink()
        async with sink.running() as port:
            forwarder = attached(logger, port, queue_size=10)

            def work() -> None:
                for i in range(100):
                    logger.info("%d", i)

            threads = [threading.Thread(target=work) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            logger.info("newest")
            forwarder.start()
            await comes_true(lambda: len(sink.lines) == 11)
            await forwarder.stop()
        assert sink.lines[0].endswith(
            b":WARNING:sipyco.logs:291 log messages were dropped, as they could not be sent\n"
        )
        assert sink.lines[10] == b"mine:INFO:under.test:newest\n"

    run(main)


def dropping(logger: logging.Logger, port: int = 1) -> tuple[LogForwarder, QueuedEntry]:
    """Give a forwarder that has dropped 3 records, and what it says of that as it sends it."""
    forwarder = attached(logger, port, queue_size=2, reconnect_timer=1000.0)
    for i in range(5):
        logger.info("%d", i)
    notice = forwarder._queue.take()
    assert notice is not None
    assert notice.text.endswith(b":3 log messages were dropped, as they could not be sent\n")
    return forwarder, notice


def text_of(entry: QueuedEntry | None) -> bytes:
    assert entry is not None
    return entry.text


def test_a_count_that_was_not_sent_is_not_lost(logger: logging.Logger) -> None:
    forwarder, notice = dropping(logger)
    forwarder._queue.retry(notice)  # the connection broke; there is no room to keep it
    assert text_of(forwarder._queue.take()) == notice.text
    logger.info("5")  # the queue was full: one more goes
    assert text_of(forwarder._queue.take()) == notice.text.replace(
        b":3 log messages were dropped, as they", b":1 log message was dropped, as it"
    )
    forwarder, notice = dropping(logger)
    forwarder._queue.take()
    forwarder._queue.retry(notice)  # there is room
    logger.info("6")  # it is the oldest now, and has to go
    assert text_of(forwarder._queue.take()) == notice.text


def test_a_count_that_is_refused_whenever_it_comes_is_not_lost(logger: logging.Logger) -> None:
    forwarder, notice = dropping(logger)
    forwarder._queue.take()
    for _ in range(queue.MAX_ATTEMPTS - 1):
        forwarder._queue.retry(notice)
        assert forwarder._queue.take() is notice
    forwarder._queue.retry(notice)
    assert text_of(forwarder._queue.take()) == notice.text


def test_stop_counts_what_a_notice_stands_for(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        forwarder, notice = dropping(logger)
        forwarder._queue.take()
        forwarder._queue.retry(notice)
        await forwarder.stop()

    run(main)
    assert own_messages(caplog)[-1].startswith("4 log messages were not sent to ")


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_what_was_being_sent_when_the_connection_broke_is_sent_again(
    reset: bool, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A server that closes, and has read into a buffer what it makes nothing of, cannot be told
    # from one that has made something of it.
    monkeypatch.setattr(connection, "_IN_FLIGHT", 0 if reset else DEADLINE)

    async def main() -> None:
        sink = Sink()
        sink.reset = reset
        sink.lines_before_end = [1]
        async with sink.running() as port:
            forwarder = attached(logger, port)
            forwarder.start()
            logger.info("one")
            logger.info("two")
            await comes_true(lambda: sink.lines[-1:] == [b"mine:INFO:under.test:two\n"])
            await forwarder.stop()
        assert sink.connections[0] == [b"mine:INFO:under.test:one\n"]
        assert sink.connections[1][-1] == b"mine:INFO:under.test:two\n"

    run(main)


def test_what_a_server_left_unread_is_sent_again(
    logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_IN_FLIGHT", 0)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server((HOST, 0)) as listening:
            listening.setblocking(False)
            forwarder = attached(logger, listening.getsockname()[1])
            offer = forwarder._source.encode() + OFFER
            forwarder.start()
            first, _ = await loop.sock_accept(listening)
            with first:
                assert await loop.sock_recv(first, 200) == BANNER + offer
                logger.info("one")
                # It is there, and then it is never read.
                await comes_true(lambda: arrived(first))
            second, _ = await loop.sock_accept(listening)
            with second:
                received = b""
                while b"\n" not in received.removeprefix(BANNER + offer):
                    received += await loop.sock_recv(second, 200)
                assert received == BANNER + offer + b"mine:INFO:under.test:one\n"
            await forwarder.stop()

    run(main)


def test_what_has_arrived_is_not_sent_twice(
    logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_IN_FLIGHT", 0)

    async def main() -> None:
        with recorded() as records:
            server = Server()
            async with serving(server) as port:
                forwarder = attached(logger, port)
                forwarder.start()
                logger.info("one")
                await comes_true(lambda: len(records) == 1)
            async with Server() as again:
                await again.start(HOST, port)
                logger.info("two")
                await comes_true(lambda: len(records) == 2)
                await forwarder.stop()
        assert [message for _, _, message, _ in records] == ["one", "two"]

    run(main)


def test_nothing_is_sent_into_a_tunnel_whose_server_is_away(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> list[bytes]:
        sink = Sink()
        sink.lines_before_end = [0, 0, 0]  # it accepts, and then knows better
        async with sink.running() as port:
            forwarder = attached(logger, port)
            forwarder.start()
            for number in range(50):
                logger.info("%d", number)
            await comes_true(lambda: len(sink.lines) >= 50)
            await forwarder.stop()
        return sink.lines

    lines = asyncio.run(main())
    assert lines == [b"mine:INFO:under.test:%d\n" % number for number in range(50)]
    said = [record.getMessage() for record in caplog.records if record.name == "sipyco.logs"]
    assert len(said) == 1  # and not once for each attempt
    assert said[0].startswith("no connection to the log server")


@every_loop
def test_nothing_is_sent_on_a_connection_that_has_ended(loop: str) -> None:
    async def main() -> None:
        sink = Sink()
        async with sink.running() as port:
            reader, writer = await asyncio.open_connection(HOST, port)
            connection = LogConnection(reader, writer, asyncio.Event())
            one = QueuedEntry(b"one\n")
            await connection.begin(b"s" + OFFER)
            assert await connection.send(one)
            await comes_true(lambda: sink.lines == [b"one\n"])
            writer.transport.abort()
            await asyncio.wait([connection._watching], timeout=DEADLINE)
            assert not await connection.send(QueuedEntry(b"two\n"))
            assert connection.ended
            assert await connection.in_doubt() in (None, one)  # it was sent just now
            await connection.close()

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(main())


def test_nothing_is_written_with_tls_to_a_peer_that_has_gone() -> None:
    ours = SimpleSSLConfig(**paths_of("client", "server")).create_client_context()
    theirs: dict[str, Any] = paths_of("server", "client")

    def has_gone(sock: socket.socket) -> bool:
        try:
            sock.getpeername()
        except OSError:
            return True
        return False

    async def main() -> None:
        async with serving(Server(), **theirs) as port:
            with FaultProxy(port) as proxy:
                reader, writer = await async_open_connection(HOST, proxy.port, ssl=ours)
                connection = LogConnection(reader, writer, asyncio.Event())
                await connection.begin(b"s" + OFFER)
                proxy.reset()
                until(lambda: has_gone(writer.get_extra_info("socket")))  # the loop stands still
                assert not any([await connection.send(QueuedEntry(b"lost\n")) for _ in range(20)])
                assert connection.ended
                await connection.close()

    with recorded("asyncio", logging.WARNING) as complaints:
        asyncio.run(main())
    assert [text for _, _, text, _ in complaints if not text.startswith("Executing ")] == []


@pytest.mark.parametrize("tls", ["plain", "trusting", "verifying"])
@every_loop
def test_many_records_over_one_connection(loop: str, tls: str, logger: logging.Logger) -> None:
    theirs, ours = paths_of("server", "client"), paths_of("client", "server")
    listening, connecting = {
        "plain": ({}, {}),
        "trusting": (
            {"ssl_config": SimpleSSLConfig(**theirs)},
            {"ssl_config": SimpleSSLConfig(**ours)},
        ),
        "verifying": (theirs, ours),
    }[tls]

    async def main() -> None:
        with recorded() as records:
            async with asyncio.timeout(DEADLINE), serving(Server(), **listening) as port:
                forwarder = attached(logger, port, **connecting)
                forwarder.start()
                for number in range(200):
                    logger.info("%d\n%s", number, "x" * 1000)
                await comes_true(lambda: len(records) == 200)
                await forwarder.stop()
        assert [int(text.split()[0]) for _, _, text, _ in records] == list(range(200))

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(main())


def test_a_message_that_is_refused_whenever_it_comes_does_not_stop_the_others(
    logger: logging.Logger,
) -> None:
    async def main() -> None:
        with recorded() as records:
            async with serving(Server(max_lines=3)) as port:
                forwarder = attached(logger, port)
                forwarder.start()
                logger.info("1\n2\n3\n4")
                await comes_true(lambda: any("1 log message was" in r[2] for r in records))
                logger.info("next")
                await comes_true(lambda: any(r[2] == "next" for r in records))
                await forwarder.stop()

    run(main)


def test_who_cannot_connect_says_so_once_and_not_to_itself(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        port = free_port()
        forwarder = attached(logger, port)
        own = logging.getLogger("sipyco.logs")
        own.addHandler(forwarder)
        forwarder.start()
        try:
            logger.info("kept")
            attempts = 0
            real = sender.async_open_connection

            async def counted(*args: Any, **kwargs: Any) -> Any:
                nonlocal attempts
                attempts += 1
                return await real(*args, **kwargs)

            with mock.patch.object(sender, "async_open_connection", counted):
                await comes_true(lambda: attempts >= 3)
            assert len(own_messages(caplog)) == 1
            assert own_messages(caplog)[0].startswith(
                f"no connection to the log server at {HOST} port {port}: "
            )
            sink = Sink()
            async with sink.running(port):
                await comes_true(lambda: sink.lines == [b"mine:INFO:under.test:kept\n"])
                own.warning("of another kind")
                await comes_true(lambda: len(sink.lines) == 2)
                await forwarder.stop()
        finally:
            own.removeHandler(forwarder)

    caplog.set_level(logging.INFO)
    run(main)
    assert len(own_messages(caplog)) == 3
    assert own_messages(caplog)[1].startswith("connected to the log server")


def test_stop_sends_what_waits(logger: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarder_module, "FLUSH_TIMEOUT", 2 * DEADLINE)  # it is not needed

    async def main() -> None:
        sink = Sink()
        async with sink.running() as port:
            forwarder = attached(logger, port)
            forwarder.start()
            for i in range(100):
                logger.info("%d", i)
            async with asyncio.timeout(DEADLINE):
                await forwarder.stop()
            await comes_true(lambda: len(sink.lines) == 100)

    run(main)


def test_stop_says_what_it_could_not_send(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        port = free_port()
        forwarder = attached(logger, port, reconnect_timer=1000.0)
        await forwarder.stop()  # it may never have been started
        forwarder.start()
        await comes_true(lambda: forwarder._sender and forwarder._sender.retrying)
        logger.info("1")
        logger.info("2")
        await forwarder.stop()
        await forwarder.stop()

    run(main)
    assert len(own_messages(caplog)) == 2
    assert own_messages(caplog)[1].startswith("2 log messages were not sent to ")


def test_a_server_that_does_not_read_keeps_nobody(
    logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "ANSWER_TIMEOUT", 0)  # it never answers either

    async def main() -> None:
        with socket.create_server((HOST, 0)) as sock:
            forwarder = attached(logger, sock.getsockname()[1], queue_size=5)
            forwarder.start()
            for _ in range(1000):
                forwarder.handle(record("\n".join(["x" * 9_000] * 10)))
                await asyncio.sleep(0)
            assert len(forwarder._queue) == 5
            await forwarder.stop()

    run(main)


def test_programs_may_run_the_coroutine_themselves(logger: logging.Logger) -> None:
    async def main() -> None:
        sink = Sink()
        async with sink.running() as port:
            forwarder = attached(logger, port)
            task = asyncio.create_task(forwarder._do())
            logger.info("one")
            await comes_true(lambda: sink.lines == [b"mine:INFO:under.test:one\n"])
            task.cancel()
            await asyncio.wait([task])
            await forwarder.stop()
            logger.info("kept for another loop")

    run(main)


def test_a_flood_schedules_one_call_and_not_one_for_each_record() -> None:
    async def main() -> None:
        sink = Sink()
        async with sink.running() as port:
            forwarder = LogForwarder(HOST, port)
            forwarder.start()
            await comes_true(lambda: sink.connections)
            calls: list[Any] = []
            loop = asyncio.get_running_loop()
            real = loop.call_soon_threadsafe
            loop.call_soon_threadsafe = lambda *args: calls.append(args) or real(*args)  # type: ignore
            for _ in range(1000):
                forwarder.handle(record("x"))
            await comes_true(lambda: len(sink.lines) == 1000)
            assert len(calls) == 1
            forwarder.handle(record("y"))
            await comes_true(lambda: len(sink.lines) == 1001)
            await forwarder.stop()

    run(main)


def test_no_record_of_a_thread_is_left_behind() -> None:
    async def main() -> None:
        sink = Sink()
        async with sink.running() as port:
            forwarder = LogForwarder(HOST, port, queue_size=100_000)
            forwarder.start()

            def work() -> None:
                for number in range(2000):
                    forwarder.handle(record("%d", number))
                    threading.Event().wait(0.00001)  # lets the loop run in between

            threads = [threading.Thread(target=work) for _ in range(3)]
            for thread in threads:
                thread.start()
            await comes_true(lambda: len(sink.lines) == 6000)
            for thread in threads:
                thread.join()
            await forwarder.stop()

    run(main)


def test_a_closed_loop_is_no_error(logger: logging.Logger) -> None:
    forwarder = LogForwarder(HOST, 1)
    logger.addHandler(forwarder)

    async def started() -> sender.LogSender:
        return sender.LogSender(HOST, 1, lambda: None, 1.0, b"", forwarder._queue, forwarder._log)

    forwarder._sender = asyncio.run(started())
    logger.error("nobody listens")
    assert len(forwarder._queue) == 1


@pytest.mark.parametrize("options", [{"queue_size": 0}, {"reconnect_timer": -1.0}])
def test_arguments_that_make_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        LogForwarder(HOST, 1, **options)


def test_tls_and_its_absence(logger: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    server = SimpleSSLConfig(**paths_of("server", "client"))
    paths = paths_of("client", "server")

    async def main() -> None:
        with recorded() as records:
            async with serving(Server(), ssl_config=server) as port:
                for number, options in enumerate(
                    [{"ssl_config": SimpleSSLConfig(**paths)}, paths], start=1
                ):
                    forwarder = attached(logger, port, **options)
                    forwarder.start()
                    logger.info("hello")
                    await comes_true(lambda: len(records) == number)
                    await forwarder.stop()
                    logger.removeHandler(forwarder)
                plain = attached(logger, port)
                plain.start()
                logger.info("in the clear")
                await comes_true(lambda: "TLS handshake" in caplog.text)
                await plain.stop()
        assert len(records) == 2

    run(main)
    with pytest.raises(ValueError, match="either"):
        LogForwarder(HOST, 1, ssl_config=SimpleSSLConfig(**paths), **paths)
