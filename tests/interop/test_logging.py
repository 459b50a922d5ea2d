"""Both ends of logging in the reference's recorded conversations."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from sipyco_tools.logging_tools import LogForwarder, Server, SourceFilter
from support.feeds import RawPeer, comes_true, serving
from support.peers import HOST
from support.records import OFFER, recorded
from support.transcripts import Transcript, load, raw

SESSIONS = load("logging_*.jsonl")
RAW = load("raw_log_*.jsonl")


# What the reference's forwarder says, and what ours says so that all readers understand it.
BETTER_SAID = {
    b":Level 33:some.logger:odd level": b":WARNING:some.logger:odd level",
    b":cr\rlf\n": b":cr\\rlf\n",
}

# What the reference's server makes of it, and ours.
BETTER_RECORDS = {
    ("print", 20, "Level 33:some.logger:odd level", "mysource"): (
        "some.logger",
        33,
        "odd level",
        "mysource",
    ),
}


def said(transcript: Transcript) -> bytes:
    return b"".join(
        raw(event) for event in transcript.events if event["dir"] == "c>s" and "eof" not in event
    )


def recorded_by_reference(transcript: Transcript) -> list[tuple[Any, ...]]:
    records = transcript.about.get("server_records")
    if records is None:
        [result] = transcript.client_result
        records = result["server_records"]
    return [tuple(record) for record in records if record[0] != "sipyco.logs"]


@pytest.mark.parametrize("transcript", [*SESSIONS, *RAW], ids=lambda t: t.name)
def test_our_server_records_what_the_reference_did(
    transcript: Transcript, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        with recorded() as records:
            async with serving(Server()) as port:
                with RawPeer(port, said(transcript)) as peer:
                    own = peer.socket.getsockname()
                    try:
                        peer.socket.shutdown(1)
                        assert await peer.ends() == b""
                    except OSError:
                        pass  # closed with some of our bytes unread
        expected = recorded_by_reference(transcript)
        assert records == [BETTER_RECORDS.get(record, record) for record in expected]
        if transcript.name == "raw_log_nocolon":
            [record] = transcript.about["server_records"]
            message = record[2].replace("('127.0.0.1', 59372)", repr(own))
            assert caplog.messages == [message]

    asyncio.run(main())


@pytest.mark.parametrize("transcript", SESSIONS, ids=lambda t: t.name)
def test_our_forwarder_says_what_the_reference_said(transcript: Transcript) -> None:
    traceback = [raw(event) for event in transcript.events if "line" in event][-5:]
    assert b"".join(traceback).startswith(b"Traceback")

    class Formatter(logging.Formatter):
        def formatException(self, ei: Any) -> str:
            return b"".join(traceback).decode().rstrip("\n")

    async def main() -> None:
        received: list[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            received.append(await reader.read())
            writer.close()

        server = await asyncio.start_server(serve, HOST, 0)
        forwarder = LogForwarder(HOST, server.sockets[0].getsockname()[1])
        forwarder.addFilter(SourceFilter(logging.DEBUG, "mysource"))
        assert forwarder.formatter is not None
        forwarder.formatter.formatException = Formatter().formatException  # type: ignore[method-assign]
        logger = logging.getLogger("some.logger")
        logger.setLevel(1)
        logger.propagate = False
        logger.addHandler(forwarder)
        try:
            forwarder.start()
            logger.error("one line")
            logger.warning("two\nlines")
            logger.info("three\nlines\n%s", "x")
            logger.log(5, "trace")
            logger.debug("")
            logger.critical("colon: a:b")
            logger.error("trailing\n")
            logger.error("é")
            logger.log(33, "odd level")
            logger.error("cr\rlf")
            try:
                raise ZeroDivisionError
            except ZeroDivisionError:
                logger.exception("exc")
            await forwarder.stop()
            await comes_true(lambda: received)
        finally:
            logger.removeHandler(forwarder)
            logger.propagate = True
        server.close()
        expected = said(transcript)
        for theirs, ours in BETTER_SAID.items():
            assert expected.count(theirs) == 1
            expected = expected.replace(theirs, ours)
        # Behind the banner, what servers take for a record whose level they drop.
        banner = b"ARTIQ logging\n"
        assert expected.startswith(banner)
        offer = forwarder._source.encode() + OFFER
        assert received == [banner + offer + expected.removeprefix(banner)]

    asyncio.run(main())
