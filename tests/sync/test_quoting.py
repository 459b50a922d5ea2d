"""What is quoted of a peer in the log and in errors of feeds: one line, escaped, and cut."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from sipyco_pyon import _registry, pyon
from sipyco_sync.broadcast import Broadcaster, Receiver
from sipyco_sync.sync_struct import Notifier, Publisher, Subscriber, snapshot
from support.feeds import BANNER, RawPeer, comes_true, feed_of, serving
from support.peers import DEADLINE, HOST

EVIL = "\x1b[2J\r\u2028\u202e\x9b\x00"
NAME = (EVIL + "x" * 60_000).encode()
SHOWN = r"\x1b[2J\r\u2028\u202e\x9b\x00" + "x" * 51 + "… (60009 characters)"
JSON = json.dumps(EVIL + "x" * 100_000).encode()
INIT = b'{"action":"init","struct":{"a":1}}\n'
MOST = 500  # characters of a log record


async def publisher_is_asked() -> None:
    async with serving(Publisher({"n": Notifier({})})) as port:
        with RawPeer(port, BANNER + NAME + b"\n") as peer:
            assert await peer.ends() == b""


async def publisher_is_greeted() -> None:
    async with serving(Publisher({"n": Notifier({})})) as port:
        with RawPeer(port, NAME) as peer:
            try:
                await peer.ends()
            except ConnectionResetError:
                pass  # closed with some of our bytes unread


async def receiver_is_slow() -> None:
    broadcaster = Broadcaster(queue_limit=1)
    name = NAME.decode()
    async with serving(broadcaster) as port:
        with RawPeer(port, b"ARTIQ broadcast\n" + NAME + b"\n"):
            await comes_true(lambda: broadcaster._feeds)
            channel = broadcaster._feeds[name]
            for _ in range(2000):
                broadcaster.broadcast(name, "x" * 10_000)
                await asyncio.sleep(0)
                if channel._lost:
                    break
        await comes_true(lambda: not broadcaster._feeds)


def told(said: bytes, client: Callable[[], Subscriber | Receiver]) -> Callable[[], Any]:
    """Have a client receive something to the end."""

    async def main() -> None:
        async with feed_of(said) as port, client() as subscriber:
            await subscriber.connect(HOST, port)
            async with asyncio.timeout(DEADLINE):
                await subscriber.receive_task

    return main


def subscriber() -> Subscriber:
    return Subscriber("n", lambda struct: struct, None, lambda: None)


def receiver() -> Receiver:
    return Receiver("n", None, lambda: None)


UNKNOWN = b'{"__jsonclass__":[' + JSON + b",[]]}\n"
FIRST = b'{"action":' + JSON + b"}\n"
UNREADABLE = b'{"action":"init","struct":{"__jsonclass__":["complex",[1,' + JSON + b"]]}}\n"

QUOTES: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
    "a name": publisher_is_asked,
    "a banner": publisher_is_greeted,
    "a channel": receiver_is_slow,
    "a first mod": told(FIRST, subscriber),
    "no mod": told(b"[" + JSON + b"]\n", subscriber),
    "a mod of nothing known": told(INIT + FIRST.replace(b"}", b',"path":[]}'), subscriber),
    "a mod with another key": told(
        INIT + b'{"action":"delitem","path":[],"key":' + JSON + b"}\n", subscriber
    ),
    "an unknown type in a mod": told(UNKNOWN, subscriber),
    "no message": told(JSON[:-1] + b"\x1b\n", receiver),
    "an unknown type in a message": told(UNKNOWN, receiver),
}


@pytest.mark.parametrize("quote", QUOTES.values(), ids=QUOTES)
def test_what_is_quoted_in_the_log_is_escaped_and_cut(
    quote: Callable[[], Coroutine[Any, Any, None]], caplog: pytest.LogCaptureFixture
) -> None:
    asyncio.run(quote())
    complaints = [record for record in caplog.records if record.levelname != "INFO"]
    assert complaints
    for record in complaints:
        text = record.getMessage()
        assert text.isprintable()
        assert len(text) < MOST
        assert record.exc_info is None


def test_a_name_that_is_not_there_is_shown_as_far_as_it_can_be(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asyncio.run(publisher_is_asked())
    [message] = caplog.messages
    assert message.endswith(f" asks for `{SHOWN}`; there are: `n`")


def test_a_channel_is_shown_as_far_as_it_can_be(caplog: pytest.LogCaptureFixture) -> None:
    asyncio.run(receiver_is_slow())
    assert caplog.messages[0].endswith(f" does not keep up with `{SHOWN}`: it is losing messages")
    assert caplog.messages[-1].endswith(f" messages of `{SHOWN}`")


def test_a_mod_that_does_not_fit_is_cut_in_the_debug_log_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG", "sipyco.sync_struct")
    asyncio.run(told(INIT + b'{"action":"pop","path":[],"i":' + JSON + b"}\n", subscriber)())
    [shown] = [message for message in caplog.messages if message.startswith("mod that cannot")]
    assert shown.isprintable()
    assert len(shown) < 1100


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (FIRST, "expected `init` as the first mod"),
        (UNREADABLE, "expected a mod with a structure: malformed `complex`"),
    ],
)
def test_a_snapshot_that_is_none_is_quoted_in_the_error(said: bytes, reason: str) -> None:
    async def main() -> None:
        async with feed_of(said) as port:
            with pytest.raises(ValueError, match=reason) as caught:
                await snapshot(HOST, port, "n")
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < MOST

    asyncio.run(main())


def test_a_reason_that_has_no_text_ends_a_subscription_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    mod = {"action": "setitem", "path": [10**5000], "key": 1, "value": 2}
    asyncio.run(told(INIT + pyon.encode(mod).encode() + b"\n", subscriber)())
    assert caplog.messages[-1].endswith(
        "received a mod that does not fit the copy: "
        "KeyError: <the text of this exception could not be made>"
    )


def test_a_receiver_leaves_out_a_message_whose_error_has_no_text(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(_registry._decoders, "gain", lambda number: {1: "low"}[number])
    received: list[Any] = []
    gain = b'{"__jsonclass__":["gain",[%b]]}\n'
    said = gain % b"1" + gain % (b"1" + b"0" * 5000) + b"2\n"
    asyncio.run(told(said, lambda: Receiver("n", received.append, lambda: None))())
    assert received == ["low", 2]
    assert "`n` received what it cannot use: <the text of" in caplog.text
