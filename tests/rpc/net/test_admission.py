"""Who may be connected: too many, too late, and for nothing."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest

from sipyco_rpc.net import admission
from sipyco_rpc.net.admission import Admission
from sipyco_rpc.net.server import AsyncioServer
from sipyco_rpc.pc_rpc import AsyncioClient, Client, Server, SimpleSSLConfig
from support.certificates import identity, paths_of
from support.event_loops import every_loop, loop_factory
from support.feeds import comes_true, port_of
from support.peers import DEADLINE, HOST, connected, rpc_server, running_server, until

BANNER = b"ARTIQ pc_rpc\n"


class Transport:
    """A transport that can only be aborted."""

    def __init__(self) -> None:
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True


def admit(admission: Admission, peer: str = "a peer") -> tuple[Any, Transport]:
    transport = Transport()
    return admission.admit(cast(asyncio.Transport, transport), peer), transport


def ends(sock: socket.socket) -> bool:
    """Wait for the end of a connection, of whatever kind."""
    try:
        return sock.recv(1) == b""
    except (BrokenPipeError, ConnectionError, ssl.SSLEOFError):
        return True


class Echo:
    def echo(self, x: Any) -> Any:
        return x


# --- without sockets ----------------------------------------------------------------------------


def test_the_one_that_waited_longest_without_a_wish_makes_room(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        admission = Admission(3, DEADLINE)
        first, kept = admit(admission, "the first")
        first.established()
        _, oldest = admit(admission, "the second")
        _, younger = admit(admission, "the third")
        slot, newest = admit(admission, "the fourth")
        assert (kept.aborted, oldest.aborted) == (False, True)
        assert (younger.aborted, newest.aborted) == (False, False)
        slot.release()

    asyncio.run(main())
    [message] = caplog.messages
    assert message == (
        "closing the connection from the second: connection limit reached (3; see "
        "max_connections), and it has selected nothing yet"
    )


def test_where_all_have_their_place_one_more_is_refused_until_one_leaves(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        admission = Admission(2, DEADLINE)
        slots = [admit(admission)[0] for _ in range(2)]
        for slot in slots:
            slot.established()
        refused, transport = admit(admission, "one more")
        assert refused is None
        assert transport.aborted
        slots[0].release()
        slot, transport = admit(admission)
        assert slot is not None
        assert not transport.aborted
        slot.release()
        slots[1].release()
        assert admission._own is not None
        assert (admission.count, admission._own.count, admission._own.pending) == (0, 0, {})

    asyncio.run(main())
    [message] = caplog.messages
    assert message == (
        "refusing the connection from one more: connection limit reached (2; see max_connections)"
    )


def test_time_in_which_a_method_blocks_the_loop_is_not_the_time_of_the_peer() -> None:
    async def main() -> None:
        admission = Admission(1, 0.1)
        slot, transport = admit(admission)
        threading.Event().wait(0.3)  # a driver that waits for its instrument
        for _ in range(5):
            await asyncio.sleep(0)
        assert not transport.aborted
        slot.release()

    asyncio.run(main())


def test_a_flood_of_complaints_is_counted_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        admission = Admission(1, DEADLINE)
        slot, _ = admit(admission)
        slot.established()
        for _ in range(1000):
            admit(admission)
        assert len(caplog.messages) == 1
        admission.flush()
        assert caplog.messages[1] == (
            "999 more connections were closed since "
            "(connection limit reached, or no banner in time)"
        )
        admission.flush()
        assert len(caplog.messages) == 2
        slot.release()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("limits", "complaint"),
    [
        (
            {"max_connections": 0},
            "max_connections is a whole number of at least 1, or None, got 0",
        ),
        ({"max_connections": "5"}, "of at least 1, or None, got '5'"),
        (
            {"handshake_timeout": 0},
            "handshake_timeout is a positive number of seconds, at most 2000000, got 0",
        ),
        ({"handshake_timeout": float("nan")}, "at most 2000000, got nan"),
        ({"handshake_timeout": None}, "at most 2000000, got None"),
    ],
)
def test_limits_with_which_nobody_could_be_served(limits: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Server({"t": Echo()}, **limits)
    with pytest.raises(ValueError, match=complaint):
        AsyncioServer(**limits)


# --- over loopback ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent", [b"", b"ARTIQ", BANNER[:-1]], ids=["nothing", "a word", "all but the newline"]
)
def test_who_does_not_say_what_it_is_is_closed(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        rpc_server({"t": Echo()}, handshake_timeout=0.02) as port,
        connected(port) as peer,
    ):
        peer.send(sent)
        assert ends(peer.socket)
        until(lambda: bool(caplog.messages))
        [message] = caplog.messages
        assert message.startswith(f"closing the connection from {HOST} port ")
        assert message.endswith("no banner within 0.02 s")


def test_a_byte_now_and_then_does_not_buy_time() -> None:
    with rpc_server({"t": Echo()}, handshake_timeout=0.05) as port, connected(port) as peer:
        peer.socket.settimeout(0.01)
        for i in range(len(BANNER) - 1):
            try:
                peer.send(BANNER[i : i + 1])
                assert ends(peer.socket)
                break
            except TimeoutError:
                pass  # it is still there
        peer.socket.settimeout(DEADLINE)
        assert ends(peer.socket)


def test_who_has_said_what_it_is_may_take_its_time() -> None:
    with rpc_server({"t": Echo()}, handshake_timeout=2) as port:
        with Client(HOST, port, None, DEADLINE) as client, connected(port) as later:
            assert ends(later.socket)  # its time is over, and that of the client as well
            client.select_rpc_target("t")
            assert client.echo(1) == 1


def test_those_who_only_hold_connections_keep_nobody_out() -> None:
    with rpc_server({"t": Echo()}, max_connections=4) as port:
        silent = [socket.create_connection((HOST, port), DEADLINE) for _ in range(20)]
        greeted = [socket.create_connection((HOST, port), DEADLINE) for _ in range(20)]
        try:
            for sock in greeted:
                sock.sendall(BANNER)
            for x in range(10):
                with Client(HOST, port, "t", DEADLINE) as client:
                    assert client.echo(x) == x
        finally:
            for sock in silent + greeted:
                sock.close()


def test_one_client_too_many_is_told_and_the_others_go_on() -> None:
    with rpc_server({"t": Echo()}, max_connections=2) as port:
        with Client(HOST, port, "t", DEADLINE) as first:
            with Client(HOST, port, "t", DEADLINE) as second:
                with pytest.raises((EOFError, ConnectionError), match=r"closed|reset"):
                    Client(HOST, port, "t", DEADLINE)
                assert (first.echo(1), second.echo(2)) == (1, 2)

            def third() -> bool:
                try:
                    with Client(HOST, port, "t", DEADLINE) as client:
                        return bool(client.echo(3) == 3)
                except (EOFError, ConnectionError):
                    return False  # the second has not left yet

            until(third)


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["silent", "half"])
def test_a_tls_handshake_that_stops_is_closed_and_logged_once(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with running_server(
        lambda: Server({"t": Echo()}, handshake_timeout=0.02), **paths_of("server", "client")
    ) as port:
        with connected(port) as peer:
            peer.send(sent)
            assert ends(peer.socket)
        until(lambda: bool(caplog.messages))
    [message] = caplog.messages
    assert message.endswith("no banner within 0.02 s")


def test_the_time_counts_on_after_the_tls_handshake() -> None:
    own, peer = identity("client"), identity("server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_cert_chain(own.cert, own.key)
    context.load_verify_locations(peer.cert)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    with running_server(
        lambda: Server({"t": Echo()}, handshake_timeout=2), **paths_of("server", "client")
    ) as port:
        with socket.create_connection((HOST, port), DEADLINE) as sock:
            with context.wrap_socket(sock) as secured:
                assert ends(secured)


def test_a_connection_of_another_protocol_has_no_clock() -> None:
    """Programs derive servers of their own, of which nobody knows who speaks first."""

    class Patient(AsyncioServer):
        async def _handle_connection_cr(
            self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            await reader.readline()
            writer.write(b"at last\n")

    async def main() -> None:
        async with Patient(handshake_timeout=0.02) as patient:
            await patient.start(HOST, 0)
            assert patient.server is not None
            port = patient.server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection(HOST, port)
            await comes_true(lambda: patient._admission.count == 1)
            async with Server({"t": Echo()}, handshake_timeout=0.05) as other:
                await other.start(HOST, 0)
                assert other.server is not None
                port = other.server.sockets[0].getsockname()[1]
                with socket.create_connection((HOST, port), DEADLINE) as elsewhere:
                    assert await asyncio.to_thread(ends, elsewhere)
            writer.write(b"\n")
            assert await reader.readline() == b"at last\n"
            writer.close()

    asyncio.run(main())


async def _flooded(count: int) -> None:
    """Have a server with TLS and few places turn out many who only connect, and serve another."""
    ours, theirs = identity("client"), identity("server")
    config = SimpleSSLConfig(ours.cert, ours.key, theirs.cert)
    async with Server({"t": Echo()}, max_connections=8) as server:
        await server.start(HOST, 0, **paths_of("server", "client"))
        port = port_of(server)
        for ends_at_once in (True, False):
            # All at once, as far as the loop can see: it does not run in the meantime.
            flood = [socket.create_connection((HOST, port), DEADLINE) for _ in range(count)]
            if not ends_at_once:
                # Some are in the midst of their handshakes when others need their places.
                await comes_true(lambda: server._admission.count >= 8)
            for sock in flood:
                sock.close()
            for _ in range(50):
                await asyncio.sleep(0)  # all are accepted
            await comes_true(lambda: server._admission.count == 0)
        assert server._admission._own is not None
        assert server._admission._own.count == 0
        client = AsyncioClient()
        await client.connect_rpc(HOST, port, "t", config)
        assert await client.echo(1) == 1
        await client.close_rpc()
    assert {task.get_name() for task in asyncio.all_tasks()} == {"the test"}


@every_loop
def test_a_flood_of_bare_connections_to_a_server_with_tls_leaves_nothing(loop: str) -> None:
    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.set_name("the test")
        async with asyncio.timeout(DEADLINE):
            await _flooded(80)

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(main())


def test_servers_without_limits_of_their_own_share_the_descriptors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "default_max_connections", lambda: 6)

    async def main() -> None:
        async with Server({"t": Echo()}) as first, Server({"t": Echo()}) as second:
            await first.start(HOST, 0)
            await second.start(HOST, 0)
            silent = [
                socket.create_connection((HOST, port_of(server)), DEADLINE)
                for server in (first, second)
                for _ in range(5)
            ]
            await comes_true(lambda: second._admission.count >= 5)
            client = AsyncioClient()
            await client.connect_rpc(HOST, port_of(first), "t")
            await comes_true(lambda: first._admission.count + second._admission.count == 6)
            assert await client.echo(1) == 1
            await client.close_rpc()
            for sock in silent:
                sock.close()

    asyncio.run(main())


# --- where the server can be reached ------------------------------------------------------------


def started(host: Any, make: Callable[[], AsyncioServer], **how: Any) -> None:
    async def main() -> None:
        async with make() as server:
            await server.start(host, 0, **how)

    asyncio.run(main())


def make_server() -> AsyncioServer:
    return Server({"t": Echo()})


def test_a_server_that_others_can_reach_without_tls_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    started("0.0.0.0", make_server)
    [message] = caplog.messages
    assert message.startswith("listening on 0.0.0.0 port ")
    assert message.endswith(" without TLS: whoever can reach this computer can call its methods")
    assert caplog.records[0].levelname == "WARNING"


@pytest.mark.parametrize("host", [HOST, "localhost", [HOST]])
def test_on_localhost_there_is_nothing_to_say(host: Any, caplog: pytest.LogCaptureFixture) -> None:
    started(host, make_server)
    assert not caplog.messages


def test_with_tls_there_is_nothing_to_say(caplog: pytest.LogCaptureFixture) -> None:
    started("0.0.0.0", make_server, **paths_of("server", "client"))
    assert not caplog.messages
