"""Records about peers: all of them where there are few, and their number in a flood."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
import weakref
from collections.abc import Callable

import pytest

from sipyco_rpc.pc_rpc import Server
from sipyco_rpc.support import log_limiter
from sipyco_rpc.support.log_limiter import LogLimiter
from support.certificates import paths_of
from support.feeds import comes_true, serving
from support.peers import DEADLINE, HOST

logger = logging.getLogger("sipyco.test")

FOR_EVER = 1e6  # seconds; the tests turn the clock by hand


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_limiter, "SUMMARY_INTERVAL", FOR_EVER)


def within_a_loop(
    body: Callable[[LogLimiter], None], complaints: LogLimiter | None = None
) -> None:
    """Do something in an event loop, in one pass of it."""

    async def main() -> None:
        used = LogLimiter() if complaints is None else complaints
        body(used)
        used.flush()

    asyncio.run(main())


def complain(complaints: LogLimiter, first: int, after: int) -> None:
    for number in range(first, after):
        complaints.log(logger, logging.ERROR, "peer %d: %s", number, "nonsense")


def test_one_now_and_then_is_written_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    def body(complaints: LogLimiter) -> None:
        for number in range(100):
            complain(complaints, number, number + 1)
            complaints._tick()

    within_a_loop(body)
    assert [(r.name, r.levelno, r.msg, r.args, r.funcName) for r in caplog.records] == [
        ("sipyco.test", logging.ERROR, "peer %d: %s", (number, "nonsense"), "complain")
        for number in range(100)
    ]


def test_in_a_flood_the_first_are_written_and_the_others_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    firsts = [f"peer {number}: nonsense" for number in range(20)]
    summaries = [
        "980 more records about peers were left out; the latest: peer 999: nonsense",
        "7 more records about peers were left out; the latest: peer 1006: nonsense",
    ]

    def body(complaints: LogLimiter) -> None:
        complain(complaints, 0, 1000)
        assert caplog.messages == firsts
        complaints._tick()
        assert caplog.messages == [*firsts, summaries[0]]
        complain(complaints, 1000, 1007)  # the flood goes on
        assert caplog.messages == [*firsts, summaries[0]]
        complaints._tick()
        assert caplog.messages == [*firsts, *summaries]
        complaints._tick()  # and is over
        complain(complaints, 1007, 1009)

    within_a_loop(body)
    after = ["peer 1007: nonsense", "peer 1008: nonsense"]
    assert caplog.messages == [*firsts, *summaries, *after]
    assert {record.levelno for record in caplog.records} == {logging.ERROR}
    assert {record.name for record in caplog.records} == {"sipyco.test"}


def test_one_that_was_held_back_alone_is_written_as_it_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def body(complaints: LogLimiter) -> None:
        complaints.log(logger, logging.WARNING, "the first")
        complaints.log(logger, logging.WARNING, "100 %")

    within_a_loop(body, LogLimiter(1))
    assert caplog.messages == ["the first", "100 %"]


def test_what_was_held_back_is_told_once_and_all_begins_anew(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def body(complaints: LogLimiter) -> None:
        complain(complaints, 0, 3)
        complaints.flush()
        complaints.flush()
        assert caplog.messages[1:] == ["{2} more, peer 2: nonsense"]
        complain(complaints, 3, 4)

    within_a_loop(body, LogLimiter(1, "{{{count}}} more, {latest}"))
    assert caplog.messages[2:] == ["peer 3: nonsense"]


def test_the_clock_tells_of_a_flood_that_has_stopped(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_limiter, "SUMMARY_INTERVAL", 0.0)

    async def main() -> None:
        complaints = LogLimiter()
        complain(complaints, 0, 100)
        await comes_true(lambda: len(caplog.messages) == 21)
        await comes_true(lambda: complaints._clock is None)
        complain(complaints, 100, 101)
        assert caplog.messages[-1] == "peer 100: nonsense"
        complaints.flush()

    asyncio.run(main())
    assert caplog.messages[20] == (
        "80 more records about peers were left out; the latest: peer 99: nonsense"
    )


def test_what_nobody_wants_to_read_is_not_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "sipyco.test")
    within_a_loop(lambda complaints: complain(complaints, 0, 100))
    assert caplog.messages == []


def test_without_a_loop_nothing_is_held_back(caplog: pytest.LogCaptureFixture) -> None:
    complain(LogLimiter(1), 0, 30)
    assert caplog.messages == [f"peer {number}: nonsense" for number in range(30)]


class Nonsense(ValueError):
    """A class of Python code: it can be referred to weakly."""


def test_an_exception_that_was_counted_is_not_kept() -> None:
    def body(complaints: LogLimiter) -> None:
        complain(complaints, 0, 20)
        exc = Nonsense("of a peer")
        kept = weakref.ref(exc)
        complaints.log(logger, logging.ERROR, "%s", exc)
        del exc
        gc.collect()
        assert kept() is None

    within_a_loop(body)


async def say(port: int, said: bytes) -> int:
    """Connect, say something, and wait for the end; return the own port."""
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, (HOST, port))
        own: int = sock.getsockname()[1]
        async with asyncio.timeout(DEADLINE):
            with contextlib.suppress(ConnectionError):
                await loop.sock_sendall(sock, said)
                while await loop.sock_recv(sock, 1000):
                    pass
        return own


@pytest.mark.parametrize(
    ("said", "tls", "told"),
    [
        (b"nonsense", False, "closing the connection from {}: expected b'ARTIQ pc_rpc\\n'"),
        (b"ARTIQ pc_rpc\nx\n", False, "closing the connection from {}: no target `x`"),
        (b"nonsense, not TLS\n", True, "TLS handshake with {} failed: "),
    ],
)
def test_a_flood_of_nonsense_is_told_of_when_the_server_stops(
    said: bytes, tls: bool, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    ports: list[int] = []

    async def main() -> None:
        server = Server({"t": None})
        options = paths_of("server", "client") if tls else {}
        async with serving(server, **options) as port:
            for _ in range(25):
                ports.append(await say(port, said))
                await comes_true(lambda: not server._handlers)  # TLS ends before it is told of
            assert len(caplog.messages) == 20

    asyncio.run(main())
    for port, message in zip(ports, caplog.messages[:20], strict=False):
        assert message.startswith(told.format(f"{HOST} port {port}"))
    told = told.format(f"{HOST} port {ports[-1]}")
    assert len(caplog.messages) == 21
    assert caplog.messages[20].startswith(
        f"5 more records about peers were left out; the latest: {told}"
    )
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
