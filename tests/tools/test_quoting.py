"""What the log server quotes of a peer: one line, escaped, and cut where it is no message."""

from __future__ import annotations

import asyncio

import pytest

from sipyco_tools.logging_tools import Server
from support.feeds import RawPeer, serving

BANNER = b"ARTIQ logging\n"
EVIL = "\x1b[2J\r\u2028\u202e\x9b\x00".encode()
LONG = EVIL + b"x" * 50_000


def complaint(said: bytes, caplog: pytest.LogCaptureFixture) -> str:
    """Tell what the log server says about a peer that says something, and nothing more."""

    async def main() -> None:
        async with serving(Server()) as port:
            with RawPeer(port, said, receive_buffer=1 << 20) as peer:
                peer.socket.shutdown(1)
                try:
                    await peer.ends()
                except ConnectionResetError:
                    pass  # closed with some of our bytes unread

    asyncio.run(main())
    [message] = caplog.messages
    return message


@pytest.mark.parametrize(
    "said",
    [
        LONG,
        BANNER + LONG + b"\n",
        BANNER + LONG + b"\xff\n",
        BANNER + b"s:INFO<20000>:" + LONG + b":m\n",
    ],
    ids=["a banner", "a line", "a line that is no text", "a message of too many lines"],
)
def test_what_is_refused_is_escaped_and_cut(said: bytes, caplog: pytest.LogCaptureFixture) -> None:
    message = complaint(said, caplog)
    assert message.isprintable()
    assert r"\x1b[2J\r" in message
    assert len(message) < 500


def test_a_message_without_its_end_is_escaped_and_whole(caplog: pytest.LogCaptureFixture) -> None:
    message = complaint(BANNER + b"s:INFO<3>:n:" + LONG + b"\nmore", caplog)
    assert message.isprintable()
    expected = r"s:n:\x1b[2J\r\u2028\u202e\x9b\x00" + "x" * 50_000 + r"\nmore"
    assert message.endswith(f" ended in the middle of a message: '{expected}'")
