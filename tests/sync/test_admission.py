"""Publishers and broadcasters do not wait for ever for what peers want, nor take too many."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from sipyco_sync.broadcast import Broadcaster
from sipyco_sync.sync_struct import Notifier, Publisher, Subscriber
from support.feeds import BANNER, RawPeer, comes_true, serving
from support.peers import HOST


def publisher(**limits: Any) -> Publisher:
    return Publisher({"n": Notifier([1])}, **limits)


MAKERS: dict[str, Callable[..., Any]] = {"publisher": publisher, "broadcaster": Broadcaster}


async def gone(peer: RawPeer) -> bool:
    """Wait for the end of a connection, of whatever kind, that has brought nothing."""
    try:
        return await peer.ends() == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("sent", [b"", b"ARTIQ "], ids=["nothing", "half a banner"])
def test_who_does_not_say_what_it_wants_is_closed(
    make: Callable[..., Any], sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with serving(make(handshake_timeout=0.02)) as port:
            with RawPeer(port, sent) as peer:
                assert await gone(peer)
                await comes_true(lambda: caplog.messages)

    asyncio.run(main())
    [message] = caplog.messages
    assert message.startswith(f"closing the connection from {HOST} port ")


@pytest.mark.parametrize("sent", [BANNER, BANNER + b"n"], ids=["no name", "half a name"])
def test_a_banner_without_a_name_is_closed(sent: bytes) -> None:
    async def main() -> None:
        async with serving(publisher(handshake_timeout=0.02)) as port:
            with RawPeer(port, sent) as peer:
                assert await gone(peer)

    asyncio.run(main())


def test_a_subscriber_has_its_place_however_long_nothing_changes() -> None:
    async def main() -> None:
        n = Notifier([1])
        async with serving(Publisher({"n": n}, handshake_timeout=0.5, max_connections=2)) as port:
            with RawPeer(port, BANNER + b"n\n") as peer:
                assert b"init" in await peer.line()
                with RawPeer(port, BANNER) as silent:
                    with RawPeer(port, BANNER + b"n\n") as third:
                        assert b"init" in await third.line()
                        assert await gone(silent)
                        n.append(2)
                        assert b"append" in await peer.line()
                        with RawPeer(port, BANNER + b"n\n") as fourth:
                            assert await gone(fourth)

    asyncio.run(main())


def test_a_subscriber_too_many_is_told() -> None:
    async def main() -> None:
        async with serving(Publisher({"n": Notifier([1])}, max_connections=1)) as port:
            states: list[Any] = []
            with RawPeer(port, BANNER + b"n\n") as peer:
                assert b"init" in await peer.line()
                subscriber = Subscriber("n", lambda x: x, reconnect=0.01, state_cb=states.append)
                await subscriber.connect(HOST, port)
                try:
                    await comes_true(lambda: "retrying" in [state.value for state in states])
                    peer.socket.close()
                    await comes_true(lambda: [s.value for s in states][-1] == "connected")
                finally:
                    await subscriber.close()

    asyncio.run(main())


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_limits_that_make_no_sense(make: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="max_connections is a whole number of at least 1"):
        make(max_connections=0)


def test_what_others_can_read_without_tls_is_said(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        for server in (Publisher({}), Broadcaster()):
            async with server:
                await server.start("0.0.0.0", 0)

    asyncio.run(main())
    assert [message.rpartition(": ")[2] for message in caplog.messages] == [
        "whoever can reach this computer can read its structures",
        "whoever can reach this computer can read its messages",
    ]
