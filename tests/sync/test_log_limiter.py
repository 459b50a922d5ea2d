"""Floods of nonsense do not flood the log, nor keep the loop from others."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

import pytest

from sipyco_rpc.support import log_limiter
from sipyco_sync import _feed_client
from sipyco_sync.broadcast import Broadcaster, Receiver
from sipyco_sync.sync_struct import Notifier, Publisher
from support.feeds import RawPeer, feed_of, serving
from support.peers import DEADLINE, HOST


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    # Seconds: nothing depends on how long it takes.
    monkeypatch.setattr(log_limiter, "SUMMARY_INTERVAL", 1e6)


CLOSING = "closing the connection from {}: "
REASON = "`c` received what it cannot use: Expecting value: line 1 column 1 (char 0)"


def test_a_receiver_counts_nonsense_and_takes_what_comes_after_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        got: list[Any] = []
        async with feed_of(b"1\n" + b"x\n" * 5000 + b"2\n") as port:
            async with Receiver("c", got.append, lambda: None) as receiver:
                await receiver.connect(HOST, port)
                async with asyncio.timeout(DEADLINE):
                    await receiver.receive_task
                # The end of the connection is the end of the flood.
                assert len(errors()) == 21
        assert got == [1, 2]

    def errors() -> list[str]:
        return [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]

    asyncio.run(main())
    assert errors() == [
        *[REASON] * 20,
        f"4980 more records about peers were left out; the latest: {REASON}",
    ]
    assert {record.name for record in caplog.records} == {"sipyco.broadcast"}


def test_a_receiver_that_is_closed_tells_what_it_has_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        last = asyncio.Event()
        async with feed_of(b"x\n" * 25 + b"1\n", stay=True) as port:
            async with Receiver("c", lambda message: last.set()) as receiver:
                await receiver.connect(HOST, port)
                async with asyncio.timeout(DEADLINE):
                    await last.wait()
                assert caplog.messages == [REASON] * 20

    asyncio.run(main())
    assert caplog.messages[20:] == [
        f"5 more records about peers were left out; the latest: {REASON}"
    ]


def test_a_receiver_whose_callback_resists_tells_it_too(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_feed_client, "CALLBACK_TIMEOUT", 0.0)

    async def main() -> None:
        stuck, free = asyncio.Event(), asyncio.Event()

        async def resist(message: int) -> None:
            stuck.set()
            while not free.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await free.wait()

        async with feed_of(b"x\n" * 25 + b"1\n", stay=True) as port:
            receiver = Receiver("c", resist)
            await receiver.connect(HOST, port)
            async with asyncio.timeout(DEADLINE):
                await stuck.wait()
            try:
                await receiver.close()
                assert len(caplog.messages) == 21
            finally:
                free.set()
                await asyncio.wait([receiver.receive_task])

    asyncio.run(main())
    assert caplog.messages[20].startswith("5 more records about peers were left out")


def test_others_have_their_turn_in_the_midst_of_what_has_arrived(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_feed_client, "TIME_SLICE", -1.0)  # it is over at once

    async def main() -> None:
        done: list[str] = []

        def notify(message: int) -> None:
            done.append(f"message {message}")
            asyncio.get_running_loop().call_soon(done.append, f"another after {message}")

        async with feed_of(b"1\n2\n3\n") as port:
            async with Receiver("c", notify, lambda: None) as receiver:
                await receiver.connect(HOST, port)
                async with asyncio.timeout(DEADLINE):
                    await receiver.receive_task
        assert done == [text for i in (1, 2, 3) for text in (f"message {i}", f"another after {i}")]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("make", "said", "told"),
    [
        (
            lambda: Publisher({"n": Notifier({})}),
            b"ARTIQ sync_struct\nx\n",
            "{} asks for `x`; there are: `n`",
        ),
        (
            lambda: Publisher({"n": Notifier({})}),
            b"nonsense",
            CLOSING + "expected the banner b'ARTIQ sync_struct\\n', got b'nonsense'",
        ),
        (
            Broadcaster,
            b"ARTIQ broadcast\n\xff\n",
            CLOSING + "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
        ),
    ],
    ids=["names", "banners", "channels"],
)
def test_a_flood_of_nonsense_is_told_of_when_the_server_stops(
    make: Callable[[], Any], said: bytes, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    texts: list[str] = []

    async def main() -> None:
        async with serving(make()) as port:
            for _ in range(25):
                with RawPeer(port, said) as peer:
                    texts.append(told.format(f"{HOST} port {peer.socket.getsockname()[1]}"))
                    with contextlib.suppress(ConnectionError):
                        await peer.ends()
            assert caplog.messages == texts[:20]

    asyncio.run(main())
    assert caplog.messages[20:] == [
        f"5 more records about peers were left out; the latest: {texts[24]}"
    ]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
