"""Floods of what is no log message do not flood the log."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest

from sipyco_rpc.support import log_limiter
from sipyco_tools.logging_tools import Server
from support.feeds import RawPeer, serving


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"nonsense", "received an unknown banner, dropping connection to {!r}: 'nonsense'"),
        (
            b"ARTIQ logging\nnocolon\n",
            "received improperly formatted message, dropping connection to {!r}: 'nocolon'",
        ),
        (
            b"ARTIQ logging\ns:INFO<2>:n:a\n",
            "the connection to {!r} ended in the middle of a message: 's:n:a'",
        ),
    ],
    ids=["banners", "lines", "ends"],
)
def test_a_flood_of_nonsense_is_told_of_when_the_server_stops(
    said: bytes,
    told: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Seconds: nothing depends on how long it takes.
    monkeypatch.setattr(log_limiter, "SUMMARY_INTERVAL", 1e6)
    texts: list[str] = []

    async def main() -> None:
        async with serving(Server()) as port:
            for _ in range(25):
                with RawPeer(port, said) as peer:
                    texts.append(told.format(peer.socket.getsockname()))
                    peer.socket.shutdown(1)
                    with contextlib.suppress(ConnectionError):
                        await peer.ends()
            assert caplog.messages == texts[:20]

    asyncio.run(main())
    assert caplog.messages[20:] == [
        f"5 more records about peers were left out; the latest: {texts[24]}"
    ]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
