"""The time at which a record was made: as bytes, and between old and new programs and servers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dev.faults.proxy import FaultProxy
from sipyco_rpc.support.status import component_status
from sipyco_tools._logging import connection as connection_module
from sipyco_tools._logging.queue import QueuedEntry
from sipyco_tools._logging.session import LogSession
from sipyco_tools._logging.times import set_times
from sipyco_tools.logging_tools import LogForwarder, Server, SourceFilter
from support.certificates import paths_of
from support.event_loops import every_loop, loop_factory
from support.feeds import RawPeer, comes_true, port_of, serving
from support.peers import DEADLINE, HOST
from support.records import OFFER

BANNER = b"ARTIQ logging\n"
MADE = 1700000000.123456  # seconds since 1970, as the records of these tests were made
ANSWER = b"times\n"


@contextmanager
def arrivals() -> Iterator[list[logging.LogRecord]]:
    """Give the records that come from other programs."""
    found: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = found.append  # type: ignore[method-assign]
    target = logging.getLogger("fwd")
    target.addHandler(handler)
    target.setLevel(1)
    target.propagate = False
    try:
        yield found
    finally:
        target.removeHandler(handler)
        target.setLevel(logging.NOTSET)
        target.propagate = True


def made(message: str, created: Any = MADE) -> logging.LogRecord:
    record = logging.makeLogRecord({"name": "laser", "levelno": logging.INFO, "msg": message})
    record.created = created
    return record


def texts(records: list[logging.LogRecord]) -> list[str]:
    return [record.getMessage() for record in records]


def times_of(records: list[logging.LogRecord]) -> list[float | None]:
    """Give the times of records, where they are not those of arrival."""
    return [None if r.__dict__["time_of_arrival"] else r.created for r in records]


# --- bytes ---


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_a_program_that_can_send_times_is_answered_once_and_its_offer_is_no_record(
    step: int,
) -> None:
    said = (
        BANNER + b"s" + OFFER + b"s:INFO@1700000000.5:n:a\ns:ERROR<2>@17:n:b\nc\n" + b"s" + OFFER
    )
    answers: list[bytes] = []
    session = LogSession(200, 10, answer=answers.append)
    with arrivals() as records:
        for start in range(0, len(said), step):
            session.receive(said[start : start + step])
    assert answers == [ANSWER]
    assert [(r.levelno, r.getMessage()) for r in records] == [
        (logging.INFO, "a"),
        (logging.ERROR, "b\nc"),
        (5, "this program can send the times of records"),
    ]
    assert times_of(records) == [1700000000.5, 17.0, None]


@pytest.mark.parametrize(
    "first",
    [
        b"s:DEBUG:sipyco.logs:this program can send the times of records\n",
        b"s:TRACE:sipyco.log:this program can send the times of records\n",
        b"s:TRACE:sipyco.logs:this program can send the times of records.\n",
        b"s:INFO:n:m\ns" + OFFER,
    ],
)
def test_nobody_else_is_answered_and_what_looks_like_a_time_is_none(first: bytes) -> None:
    answers: list[bytes] = []
    session = LogSession(200, 10, answer=answers.append)
    with arrivals() as records:
        session.receive(BANNER + first + b"s:INFO@17:n:a\n")
    assert answers == []
    assert (records[-1].name, records[-1].getMessage()) == ("print", "INFO@17:n:a")
    assert set(times_of(records)) == {None}


@pytest.mark.parametrize(
    "text",
    ["", "x", "-1", "1e5", "nan", "inf", "1.", ".5", "32503680000", "9" * 12, "\u0661", "1@"],
)
def test_a_time_that_cannot_be_is_that_of_arrival(text: str) -> None:
    session = LogSession(200, 10, answer=lambda data: None)
    before = time.time()
    with arrivals() as records:
        session.receive(BANNER + b"s" + OFFER + f"s:WARNING@{text}:n:m\n".encode())
    [record] = records
    assert before <= record.created <= time.time()
    assert record.__dict__["time_of_arrival"] is True
    assert record.__dict__["received"] == record.created
    logging.Formatter("%(asctime)s").format(record)


def test_a_line_that_is_no_record_keeps_what_looks_like_a_time() -> None:
    session = LogSession(200, 10, answer=lambda data: None)
    with arrivals() as records:
        session.receive(BANNER + b"s" + OFFER + b"s:me@17: hello\n")
    assert [r.getMessage() for r in records] == ["me@17: hello"]
    assert times_of(records) == [None]


def test_a_record_has_all_of_its_times() -> None:
    record = logging.makeLogRecord({"created": 1800000000.0, "relativeCreated": 5000.0})
    set_times(record, 1800000000.5, 1799999999.25)
    assert record.created == 1799999999.25
    assert record.msecs == 250.0
    assert record.relativeCreated == 4250.0
    assert record.__dict__["received"] == 1800000000.5
    assert record.__dict__["time_of_arrival"] is False


@given(st.floats(0, 32_503_679_999), st.text(), st.text(max_size=5))
def test_times_come_as_they_went_and_change_nothing_else(
    created: float, message: str, name: str
) -> None:
    forwarder = LogForwarder(HOST, 1)
    record = made(message, created)
    record.name = name
    entry = forwarder._queued(record)
    without, with_times = LogSession(10**6, 10**4), LogSession(10**6, 10**4, answer=bool)
    with arrivals() as records:
        without.receive(BANNER + entry.data(times=False))
        with_times.receive(BANNER + b"s" + OFFER + entry.data(times=True))
    plain, timed = records
    for name in ("source", "name", "levelno", "msg"):
        assert plain.__dict__[name] == timed.__dict__[name]
    assert timed.created == pytest.approx(created, abs=1e-6)
    assert times_of(records)[0] is None


@pytest.mark.parametrize(
    "created", [None, "17", float("nan"), float("inf"), -1.0, 32_503_680_000.0, 10**400]
)
def test_a_record_whose_time_cannot_be_is_sent_without(created: Any) -> None:
    entry = LogForwarder(HOST, 1)._queued(made("m", created))
    assert entry.data(times=True) == entry.text
    assert b":INFO:laser:m\n" in entry.text


# --- over loopback ---


class Script:
    """A log server that says what a test wants, when it wants it, and keeps what it reads."""

    def __init__(self, answer: bytes | None = None) -> None:
        self.answer = answer  # None: of an older server, which says nothing
        self.now = asyncio.Event()
        self.received = b""
        self.connections = 0
        self.writer: asyncio.StreamWriter

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writer = writer
        said: list[asyncio.Task[None]] = []
        try:
            while data := await reader.read(1000):
                self.received += data
                if OFFER in self.received and self.answer is not None and not said:
                    said.append(asyncio.create_task(self._say(writer, self.answer)))
        except ConnectionError:
            pass
        for task in said:
            task.cancel()
        writer.close()

    async def _say(self, writer: asyncio.StreamWriter, answer: bytes) -> None:
        await self.now.wait()
        writer.write(answer)

    @asynccontextmanager
    async def running(self, port: int = 0, **options: Any) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._serve, HOST, port, **options)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()


@asynccontextmanager
async def forwarding(port: int, **options: Any) -> AsyncIterator[LogForwarder]:
    forwarder = LogForwarder(HOST, port, **{"reconnect_timer": 0.001, **options})
    forwarder.addFilter(SourceFilter(logging.DEBUG, "mine"))
    forwarder.start()
    try:
        yield forwarder
    finally:
        await forwarder.stop()


def run(main: Callable[[], Awaitable[None]], loop: str = "asyncio") -> None:
    async def limited() -> None:
        async with asyncio.timeout(DEADLINE):
            await main()

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(limited())


WITH_TIME = b"mine:INFO@1700000000.123456:laser:%b\n"
WITHOUT = b"mine:INFO:laser:%b\n"


@every_loop
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_records_come_with_their_times(loop: str, tls: bool) -> None:
    theirs: dict[str, Any] = paths_of("server", "client") if tls else {}
    ours: dict[str, Any] = paths_of("client", "server") if tls else {}

    async def main() -> None:
        with arrivals() as records:
            async with serving(Server(), **theirs) as port:
                async with forwarding(port, **ours) as forwarder:
                    forwarder.handle(made("one"))
                    forwarder.handle(made("two\nlines"))
                    await comes_true(lambda: len(records) == 2)
        assert [r.getMessage() for r in records] == ["one", "two\nlines"]
        assert times_of(records) == [MADE, MADE]
        assert all(r.__dict__["received"] > MADE for r in records)

    run(main, loop)


def test_an_older_server_gets_records_as_ever_after_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        script = Script()
        async with script.running() as port:
            async with forwarding(port) as forwarder:
                forwarder.handle(made("one"))
                await comes_true(lambda: WITHOUT % b"one" in script.received)
                assert script.received == BANNER + forwarder._source.encode() + OFFER + (
                    WITHOUT % b"one"
                )

    monkeypatch.setattr(connection_module, "ANSWER_TIMEOUT", 0.01)
    run(main)


def test_nothing_is_sent_before_the_answer_and_all_of_it_has_times() -> None:
    async def main() -> None:
        script = Script(ANSWER)
        async with script.running() as port:
            async with forwarding(port) as forwarder:
                forwarder.handle(made("one"))
                forwarder.handle(made("two"))
                await comes_true(lambda: OFFER in script.received)
                begun = BANNER + forwarder._source.encode() + OFFER
                assert script.received == begun
                script.now.set()
                await comes_true(lambda: b"two" in script.received)
                assert script.received == begun + WITH_TIME % b"one" + WITH_TIME % b"two"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection_module, "ANSWER_TIMEOUT", DEADLINE)
        run(main)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_an_answer_that_is_late_is_taken_from_then_on(
    tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours: dict[str, Any] = paths_of("client", "server") if tls else {}

    async def main() -> None:
        from sipyco_rpc.net.tls import SimpleSSLConfig

        context = SimpleSSLConfig(**paths_of("server", "client")).create_server_context()
        script = Script(ANSWER)
        async with script.running(ssl=context if tls else None) as port:
            async with forwarding(port, **ours) as forwarder:
                forwarder.handle(made("one"))
                await comes_true(lambda: WITHOUT % b"one" in script.received)
                script.now.set()
                await comes_true(lambda: forwarder.status()["times"])
                forwarder.handle(made("two"))
                await comes_true(lambda: WITH_TIME % b"two" in script.received)

    monkeypatch.setattr(connection_module, "ANSWER_TIMEOUT", 0.01)
    run(main)


def test_a_program_that_ends_before_the_answer_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        script = Script(ANSWER)
        async with script.running() as port:
            async with forwarding(port) as forwarder:
                forwarder.handle(made("one"))
                await comes_true(lambda: b"one" in script.received)
                ending = asyncio.create_task(forwarder.stop())
                # It has ended its side, and waits for the server, which answers only now.
                forwarder.handle(made("too late"))
                script.now.set()
                await ending
            assert WITHOUT % b"one" in script.received
            assert script.connections == 1

    monkeypatch.setattr(connection_module, "ANSWER_TIMEOUT", 0.05)
    run(main)


def test_what_waits_for_an_answer_when_a_program_is_stopped_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from sipyco_tools._logging import forwarder as forwarder_module

    async def main() -> None:
        script = Script()
        async with script.running() as port:
            forwarder = LogForwarder(HOST, port)
            forwarder.start()
            forwarder.handle(made("one"))
            await comes_true(lambda: OFFER in script.received)
            forwarder.task.cancel()  # as `asyncio.run` does in the end
            await asyncio.wait([forwarder.task])
            assert len(forwarder._queue) == 1
            await forwarder.stop()
            assert b"one" not in script.received

    monkeypatch.setattr(connection_module, "ANSWER_TIMEOUT", 0.2)
    monkeypatch.setattr(forwarder_module, "FLUSH_TIMEOUT", 0.01)
    run(main)


def test_each_connection_is_asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        old = Script()
        with arrivals() as records:
            async with old.running() as old_port, serving(Server()) as new_port:
                with FaultProxy(old_port) as proxy:
                    async with forwarding(proxy.port) as forwarder:
                        forwarder.handle(made("to the older"))
                        await comes_true(lambda: WITHOUT % b"to the older" in old.received)
                        assert not forwarder.status()["times"]
                        proxy.retarget(new_port)
                        proxy.reset()
                        await comes_true(lambda: forwarder.status()["times"])
                        forwarder.handle(made("to the newer"))
                        await comes_true(lambda: texts(records)[-1:] == ["to the newer"])
                        assert times_of(records)[-1] == MADE
                        proxy.retarget(old_port)
                        proxy.reset()
                        await comes_true(lambda: not forwarder.status()["times"])
                        forwarder.handle(made("again"))
                        await comes_true(lambda: WITHOUT % b"again" in old.received)

    monkeypatch.setattr(connection_module, "ANSWER_TIMEOUT", 0.2)
    run(main)


@pytest.mark.parametrize("answer", [b"t", b"time\ns", b"TIMES\n", b"\n" + ANSWER])
def test_other_words_of_a_server_mean_nothing(
    answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        script = Script(answer)
        script.now.set()
        async with script.running() as port:
            async with forwarding(port) as forwarder:
                forwarder.handle(made("one"))
                await comes_true(lambda: WITHOUT % b"one" in script.received)
                assert not forwarder.status()["times"]

    monkeypatch.setattr(connection_module, "ANSWER_TIMEOUT", 0.05)
    run(main)


def test_a_server_that_goes_on_to_speak_is_left(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        script = Script(ANSWER + b"x" * 5000)
        script.now.set()
        async with script.running() as port:
            async with forwarding(port):
                await comes_true(lambda: caplog.messages)

    run(main)
    assert "it sent more than the 4096 bytes of an answer" in caplog.messages[0]


def test_the_server_says_whose_records_have_the_time_of_arrival_once_for_each_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        with arrivals() as records:
            async with serving(Server()) as port:
                for _ in range(2):
                    with RawPeer(port, BANNER + b"laser:INFO:n:1\nlaser:INFO:n:2\n") as peer:
                        own.append(peer.socket.getsockname())
                        await comes_true(lambda: len(records) == 2 * len(own))
                async with forwarding(port) as forwarder:
                    forwarder.handle(made("with its time"))
                    await comes_true(lambda: len(records) == 5)

    own: list[Any] = []
    caplog.set_level(logging.INFO, "sipyco.logs")
    run(main)
    assert caplog.messages == [
        f"log messages of 'laser' from {address!r} have the time of their arrival: they come "
        "without that at which they were made"
        for address in own
    ]
    assert {record.levelno for record in caplog.records} == {logging.INFO}


def test_a_server_that_stops_answers_nobody_and_takes_what_is_under_way() -> None:
    async def main() -> None:
        with arrivals() as records:
            server = Server()
            async with serving(server):
                with RawPeer(port_of(server), BANNER) as peer:
                    await comes_true(lambda: server._handlers)
                    stopping = asyncio.create_task(server.stop())
                    assert await peer.ends() == b""
                    peer.socket.send(b"s" + OFFER + b"s:INFO:n:m\n")
                    peer.socket.shutdown(1)
                    await stopping
        assert [r.getMessage() for r in records][-1] == "m"

    run(main)


# --- status ---


def test_the_status_of_a_forwarder() -> None:
    async def main() -> None:
        with arrivals() as records:
            async with serving(Server()) as port:
                async with forwarding(port, queue_size=2) as forwarder:
                    where = f"{HOST} port {port}"
                    for i in range(3):
                        forwarder.handle(made(str(i)))
                    assert forwarder.status() == {
                        "address": where,
                        "connected": False,
                        "times": False,
                        "sent": 0,
                        "queued": 2,
                        "dropped": 1,
                    }
                    await comes_true(lambda: len(records) == 3)
                    await comes_true(lambda: forwarder.status()["sent"] == 2)
                    assert forwarder.status() == {
                        "address": where,
                        "connected": True,
                        "times": True,
                        "sent": 2,
                        "queued": 0,
                        "dropped": 1,
                    }

    run(main)


def test_the_status_of_a_process_has_its_forwarders() -> None:
    forwarder = LogForwarder(HOST, 1)
    assert forwarder.status() in component_status()["log_forwarders"]


def test_an_entry_that_is_sent_again_is_counted_once() -> None:
    queue = LogForwarder(HOST, 1)._queue
    queue.put(QueuedEntry(b"s:INFO:n:m\n"))
    entry = queue.take()
    assert entry is not None
    queue.done(sent=True)
    queue.retry(entry)
    assert (queue.sent, len(queue)) == (0, 1)
    queue.take()
    queue.done(sent=True)
    assert (queue.sent, len(queue)) == (1, 0)
