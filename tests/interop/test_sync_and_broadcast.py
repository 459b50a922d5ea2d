"""Our ends of sync_struct and broadcast in the reference's recorded conversations."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sipyco_sync.broadcast import Broadcaster, Receiver
from sipyco_sync.sync_struct import Notifier, Publisher, Subscriber, update_from_dict
from support.feeds import RawPeer, comes_true, serving
from support.peers import HOST
from support.transcripts import Transcript, load, raw

np = pytest.importorskip("numpy")

SYNC = load("sync_*.jsonl")
BROADCAST = load("broadcast_*.jsonl")
RAW = [*load("raw_sync_*.jsonl"), *load("raw_bcast.jsonl")]

# `numpy.float64` keeps its type, where the reference writes a plain number.
PLAIN_FLOATS = {"plain_float64": True}


def published() -> dict[str, Notifier]:
    return {"dct": Notifier({"a": [1, 2], "d": {}, 5: (1,)}), "lst": Notifier([])}


def change(n: Notifier, m: Notifier) -> None:
    """Do what the recorded program did."""
    n["x"] = 1
    n["x"] = {"y": [1]}
    n["x"]["y"].append(2)
    n["x"]["y"].insert(0, "i")
    n["x"]["y"][1] = (3, 4)
    assert n["x"]["y"].pop() == 2
    n["x"]["y"].pop(0)
    del n["x"]["y"]
    n[5] = np.arange(2, dtype="<i4")
    n[(1, 2)] = {3}
    n["a"].append(np.float64(0.5))
    n["a"][0] = float("nan")
    del n["d"]
    n["é"] = "\n"
    m.append({"k": []})
    m[0]["k"].append(None)
    m.insert(-1, 7)
    m.pop(-1)
    m.pop()
    update_from_dict(n, {"a": [9], "new": 1})


async def said(transcript: Transcript, peer: RawPeer) -> None:
    """Check the lines of the server."""
    for event in transcript.events:
        if event["dir"] == "s>c" and "eof" not in event:
            assert await peer.line() == raw(event).rstrip(b"\n")


def greeting(transcript: Transcript) -> bytes:
    return b"".join(
        raw(event) for event in transcript.events if event["dir"] == "c>s" and "eof" not in event
    )


@pytest.mark.parametrize("transcript", SYNC, ids=lambda t: t.name)
def test_our_publisher_says_what_the_reference_said(transcript: Transcript) -> None:
    async def main() -> None:
        notifiers = published()
        publisher = Publisher(notifiers, **PLAIN_FLOATS)  # type: ignore[arg-type]
        async with serving(publisher) as port:
            with RawPeer(port, greeting(transcript)) as peer:
                await comes_true(lambda: any(feed.queues for feed in publisher._feeds.values()))
                change(notifiers["dct"], notifiers["lst"])
                await said(transcript, peer)

    asyncio.run(main())


@pytest.mark.parametrize("transcript", RAW, ids=lambda t: t.name)
def test_our_servers_answer_bare_bytes_as_the_reference_did(transcript: Transcript) -> None:
    async def main() -> None:
        sync = transcript.about["server_kind"] == "sync"
        server: Any = Publisher(published()) if sync else Broadcaster()
        async with serving(server) as port:
            with RawPeer(port, greeting(transcript)) as peer:
                await said(transcript, peer)
                if "eof" in transcript.events[-2] and transcript.events[-2]["dir"] == "c>s":
                    peer.socket.shutdown(1)
                assert await peer.ends() == b""

    asyncio.run(main())


@pytest.mark.parametrize("transcript", BROADCAST, ids=lambda t: t.name)
def test_our_broadcaster_says_what_the_reference_said(transcript: Transcript) -> None:
    async def main() -> None:
        broadcaster = Broadcaster(queue_limit=4)
        async with serving(broadcaster) as port:
            with RawPeer(port, greeting(transcript)) as peer:
                await comes_true(lambda: broadcaster._feeds)
                for channel, message in (
                    ("log", (20, "src", 1.5, "msg\nline2")),
                    ("other", 1),
                    ("log", {"service": "x", "args": (1,), "kwargs": {}}),
                    ("log", None),
                ):
                    broadcaster.broadcast(channel, message)
                await said(transcript, peer)

    asyncio.run(main())


@pytest.mark.parametrize("transcript", [*SYNC, *BROADCAST], ids=lambda t: t.name)
def test_our_clients_make_of_it_what_the_reference_made(transcript: Transcript) -> None:
    async def main() -> None:
        sent: list[bytes] = []
        got: list[str] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for event in transcript.events:
                if event["dir"] == "s>c" and "eof" not in event:
                    writer.write(raw(event))
                elif "eof" not in event:
                    sent.append(await reader.readline())
            assert await reader.read() == b""
            writer.close()

        server = await asyncio.start_server(serve, HOST, 0)
        port = server.sockets[0].getsockname()[1]
        [recorded] = transcript.client_result
        client: Subscriber | Receiver
        if "mods" in recorded:
            name = transcript.name.split("_")[1]
            client = Subscriber(name, lambda struct: struct, lambda mod: got.append(repr(mod)))
        else:
            client = Receiver("log", lambda message: got.append(repr(message)))
        expected = recorded.get("mods", recorded.get("got"))
        async with client:
            await client.connect(HOST, port)
            await comes_true(lambda: len(got) == len(expected))
        server.close()
        assert got == expected
        assert b"".join(sent) == greeting(transcript)

    asyncio.run(main())
