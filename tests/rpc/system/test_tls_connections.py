"""TLS connections: each wrong set-up fails on both sides with a reason, and nothing hangs.

`test_tls` tests what each side may be given. Here are the connections: what every client raises,
what the server logs, and that the server goes on serving the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dev.faults.proxy import FaultProxy
from sipyco_rpc.pc_rpc import (
    AsyncioClient,
    BestEffortClient,
    Client,
    Server,
    SimpleSSLConfig,
    call_timeout,
)
from support.certificates import Identity, identity
from support.gates import GatedTarget
from support.peers import (
    DEADLINE,
    GREETING,
    HOST,
    METHODS,
    Peer,
    rpc_server,
    running_server,
    until,
)
from support.threads import in_a_thread


def keywords(own: Identity, peer: Identity) -> dict[str, Any]:
    return {"local_cert": own.cert, "local_key": own.key, "peer_cert": peer.cert}


def config(own: Identity, peer: Identity) -> dict[str, Any]:
    return {"ssl_config": SimpleSSLConfig(own.cert, own.key, peer.cert)}


WAYS = {"keywords": keywords, "config": config}


def server_identity() -> Identity:
    return identity("server")


def client_identity() -> Identity:
    return identity("client")


@contextlib.contextmanager
def tls_server(target: Any = None, **how: Any) -> Iterator[int]:
    how = how or keywords(server_identity(), client_identity())
    with running_server(lambda: Server({"t": target or GatedTarget()}), **how) as port:
        yield port


def blocking(port: int, host: str = HOST, **how: Any) -> Any:
    with Client(host, port, "t", timeout=DEADLINE, **how) as client:
        return client.echo("hello")


def asyncio_client(port: int, host: str = HOST, **how: Any) -> Any:
    async def main() -> Any:
        async with AsyncioClient(timeout=DEADLINE) as client:
            await client.connect_rpc(host, port, "t", **how)
            return await client.echo("hello")

    return asyncio.run(main())


KINDS = {"Client": blocking, "AsyncioClient": asyncio_client}
both_clients = pytest.mark.parametrize("call", KINDS.values(), ids=KINDS.keys())
both_ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
Call = Callable[..., Any]


def best_effort_gives_nothing(
    port: int, caplog: pytest.LogCaptureFixture, host: str = HOST, **how: Any
) -> str:
    """Check that a BestEffortClient warns, gives None and stops at once; return the warning."""
    caplog.clear()
    with BestEffortClient(host, port, "t", DEADLINE, 1000, **how) as client:
        assert client.echo("hello") is None
    warnings_ = [m for m in caplog.messages if "trying again in the background" in m]
    assert len(warnings_) == 1
    assert f"{host} port {port}" in warnings_[0]
    return warnings_[0]


# --- what works --------------------------------------------------------------------------------


@both_ways
def test_all_clients_with_the_right_certificates(way: Call) -> None:
    right = way(client_identity(), server_identity())
    with tls_server(**way(server_identity(), client_identity())) as port:
        assert blocking(port, **right) == "hello"
        assert asyncio_client(port, **right) == "hello"
        with BestEffortClient(HOST, port, "t", DEADLINE, **right) as best:
            assert best.echo("hello") == "hello"


def test_the_ways_of_both_sides_are_their_own() -> None:
    for server_way in WAYS.values():
        with tls_server(**server_way(server_identity(), client_identity())) as port:
            for client_way in WAYS.values():
                how = client_way(client_identity(), server_identity())
                assert blocking(port, **how) == "hello"


def test_the_configuration_by_position_as_programs_give_it() -> None:
    server = SimpleSSLConfig(*server_identity(), client_identity().cert)
    mine = SimpleSSLConfig(*client_identity(), server_identity().cert)

    async def main() -> None:
        serving = Server({"t": GatedTarget()})
        await serving.start(HOST, 0, server)
        assert serving.server is not None
        port = serving.server.sockets[0].getsockname()[1]

        def use_blocking() -> None:
            with Client(HOST, port, None, None, mine) as client:
                client.select_rpc_target("t")
                assert client.echo(1) == 1
            with BestEffortClient(HOST, port, "t", DEADLINE, 5.0, mine) as best:
                assert best.echo(2) == 2

        try:
            await asyncio.to_thread(use_blocking)
            client = AsyncioClient()
            await client.connect_rpc(HOST, port, None, mine)
            await client.select_rpc_target("t")
            assert await client.echo(3) == 3
            await client.close_rpc()
        finally:
            await serving.stop()

    asyncio.run(main())


@both_clients
def test_the_certificates_of_the_documentation(call: Call) -> None:
    server, client = identity("server", kind="rsa"), identity("client", kind="rsa")
    with tls_server(**keywords(server, client)) as port:
        assert call(port, **keywords(client, server)) == "hello"


@both_clients
def test_large_calls_over_tls(call: Call) -> None:
    how = keywords(client_identity(), server_identity())
    big = "x" * 3_000_000
    with tls_server() as port:
        with Client(HOST, port, **how) as client:
            assert client.echo(big) == big

        async def main() -> None:
            async with AsyncioClient() as client:
                await client.connect_rpc(HOST, port, **how)
                assert await asyncio.gather(client.echo(big), client.echo(1)) == [big, 1]

        asyncio.run(main())


@both_clients
def test_a_host_name_in_the_certificate(call: Call) -> None:
    server = identity("named", "DNS:localhost")
    with tls_server(**keywords(server, client_identity())) as port:
        how = keywords(client_identity(), server)
        assert call(port, "localhost", **how) == "hello"
        with pytest.raises(ssl.SSLCertVerificationError):
            call(port, HOST, **how)


# --- what does not -------------------------------------------------------------------------------


def logged_failure(caplog: pytest.LogCaptureFixture) -> str:
    """Wait until the server has logged a handshake that failed; return what it said."""
    found: list[str] = []

    def look() -> bool:
        found[:] = [m for m in caplog.messages if m.startswith(f"TLS handshake with {HOST} port")]
        return bool(found)

    until(look)
    assert not found[0].rstrip().endswith("failed:"), "there is no reason"
    assert all(
        record.levelno == logging.WARNING
        for record in caplog.records
        if record.getMessage() in found
    )
    return found[0]


@both_ways
@both_clients
def test_a_client_that_the_server_does_not_trust(
    call: Call, way: Call, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = identity("stranger")
    with tls_server(**way(server_identity(), client_identity())) as port:
        with pytest.raises((ConnectionResetError, EOFError)) as caught:
            call(port, **way(stranger, server_identity()))
        assert f"{HOST} port {port}" in str(caught.value)
        said = logged_failure(caplog)
        assert "CERTIFICATE_VERIFY_FAILED" in said
        assert call(port, **way(client_identity(), server_identity())) == "hello"


def test_the_alert_is_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    """A server that refuses, and reads on, so that no reset can overtake its alert."""
    stranger = identity("stranger")
    context = SimpleSSLConfig(*server_identity(), client_identity().cert).create_server_context()

    with socket.create_server((HOST, 0)) as listening:
        listening.settimeout(DEADLINE)
        port = listening.getsockname()[1]

        def serve() -> None:
            for _ in KINDS:
                sock, _ = listening.accept()
                with sock:
                    sock.settimeout(DEADLINE)
                    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
                    tls = context.wrap_bio(incoming, outgoing, server_side=True)
                    refused = False
                    while data := sock.recv(65536):
                        if refused:
                            continue
                        incoming.write(data)
                        try:
                            tls.do_handshake()
                        except ssl.SSLWantReadError:
                            pass
                        except ssl.SSLError:
                            refused = True
                        sock.sendall(outgoing.read())
                        if refused:
                            sock.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=serve)
        thread.start()
        for call in KINDS.values():
            with pytest.raises(ConnectionResetError, match=r"(?i)alert"):
                call(port, **keywords(stranger, server_identity()))
        thread.join(DEADLINE)
        assert not thread.is_alive()


@both_ways
@both_clients
def test_a_server_that_the_client_does_not_trust(
    call: Call, way: Call, caplog: pytest.LogCaptureFixture
) -> None:
    with tls_server() as port:
        with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
            call(port, **way(client_identity(), identity("stranger")))
        said = logged_failure(caplog)
        if call is blocking:  # asyncio closes such a connection without an alert
            assert "alert" in said
        assert call(port, **way(client_identity(), server_identity())) == "hello"


@both_clients
@pytest.mark.parametrize("san", ["IP:192.168.1.100", "DNS:host.name", None])
def test_a_host_that_the_certificate_is_not_for(
    call: Call, san: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    name = (san or "none").translate(str.maketrans(":.", "__"))
    server = identity(f"server-{name}", san)
    with tls_server(**keywords(server, client_identity())) as port:
        with pytest.raises(ssl.SSLCertVerificationError, match=r"(?i)mismatch|hostname|IP addr"):
            call(port, **keywords(client_identity(), server))
        assert logged_failure(caplog)
        assert call(port, **config(client_identity(), server)) == "hello"


@both_ways
@both_clients
def test_a_key_of_another_certificate(call: Call, way: Call) -> None:
    mixed = Identity(client_identity().cert, identity("stranger").key)
    with tls_server() as port:
        with pytest.raises(ssl.SSLError, match="KEY_VALUES_MISMATCH"):
            call(port, **way(mixed, server_identity()))

    async def serve() -> None:
        server = Server({"t": GatedTarget()})
        wrong = Identity(server_identity().cert, identity("stranger").key)
        with pytest.raises(ssl.SSLError, match="KEY_VALUES_MISMATCH"):
            await server.start(HOST, 0, **way(wrong, client_identity()))
        await server.stop()

    asyncio.run(serve())


@both_clients
def test_a_plain_client_of_a_tls_server(call: Call, caplog: pytest.LogCaptureFixture) -> None:
    with tls_server() as port:
        with pytest.raises((EOFError, ConnectionResetError), match=f"{HOST} port {port}"):
            call(port)
        assert "it is a client without TLS, which this server requires" in logged_failure(caplog)
        assert call(port, **keywords(client_identity(), server_identity())) == "hello"


@both_ways
@both_clients
def test_a_tls_client_of_a_plain_server(
    call: Call, way: Call, caplog: pytest.LogCaptureFixture
) -> None:
    with rpc_server({"t": GatedTarget()}) as port:
        with pytest.raises((OSError, EOFError)) as caught:
            call(port, **way(client_identity(), server_identity()))
        assert not isinstance(caught.value, TimeoutError)
        assert str(caught.value)
        until(
            lambda: any(
                "got a TLS handshake: the client uses TLS" in message
                for message in caplog.messages
            )
        )
        assert call(port) == "hello"


@pytest.mark.parametrize("wrong", ["client", "server", "host", "plain client", "plain server"])
def test_best_effort_warns_gives_nothing_and_stops(
    wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    server, client = server_identity(), client_identity()
    if wrong == "plain server":
        with rpc_server({"t": GatedTarget()}) as port:
            assert best_effort_gives_nothing(port, caplog, **keywords(client, server))
        return
    if wrong == "host":
        server = identity("elsewhere", "IP:192.168.1.100")
    with tls_server(**keywords(server, client)) as port:
        how = {
            "client": keywords(identity("stranger"), server),
            "server": keywords(client, identity("stranger")),
            "host": keywords(client, server),
            "plain client": {},
        }[wrong]
        said = best_effort_gives_nothing(port, caplog, **how)
        assert logged_failure(caplog)
        if wrong in ("server", "host"):
            assert "certificate verify failed" in said


@both_clients
def test_a_server_that_never_answers_the_handshake(call: Call) -> None:
    how = keywords(client_identity(), server_identity())

    async def main(port: int) -> None:
        with pytest.raises(TimeoutError, match=rf"{HOST} port {port} timed out after"):
            await AsyncioClient(timeout=0.1).connect_rpc(HOST, port, **how)

    with socket.create_server((HOST, 0)) as listening:
        port = listening.getsockname()[1]
        if call is blocking:
            with pytest.raises(TimeoutError, match=rf"{HOST} port {port} timed out after"):
                Client(HOST, port, timeout=0.1, **how)
        else:
            asyncio.run(main(port))


def test_silent_and_rude_peers_of_a_tls_server_hold_up_nobody() -> None:
    with contextlib.ExitStack() as peers:
        with tls_server() as port:
            for said in (b"", b"\x16", b"\x16\x03\x01\x02\x00", b"x" * 100_000, b"\x15\x03\x01"):
                sock = socket.create_connection((HOST, port))
                peers.enter_context(sock)
                with contextlib.suppress(ConnectionError):
                    sock.sendall(said)
            how = keywords(client_identity(), server_identity())
            assert blocking(port, **how) == "hello"
            assert asyncio_client(port, **how) == "hello"
        # The server has stopped by now, although some of them are still there.


# --- the end of a connection ---------------------------------------------------------------------


@pytest.mark.parametrize("end", ["close", "shut down", "reset"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_tls_server_that_goes_away_in_mid_call(kind: str, end: str) -> None:
    context = SimpleSSLConfig(*server_identity(), client_identity().cert).create_server_context()
    how = keywords(client_identity(), server_identity())

    def serve(listening: socket.socket) -> None:
        plain, _ = listening.accept()
        plain.settimeout(DEADLINE)
        with context.wrap_socket(plain, server_side=True) as sock:
            peer = Peer(sock)
            peer.line()
            peer.send(GREETING)
            peer.line()
            peer.send(METHODS)
            peer.line()
            if end == "shut down":
                with contextlib.suppress(OSError):
                    sock.unwrap().close()
            elif end == "reset":
                linger = b"\x01\0\0\0\0\0\0\0"
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            peer.close()

    async def main(port: int) -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port, **how)
            with pytest.raises(EOFError, match=f"{HOST} port {port}"):
                await client.f()

    with socket.create_server((HOST, 0)) as listening:
        listening.settimeout(DEADLINE)
        port = listening.getsockname()[1]
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        if kind == "Client":
            with Client(HOST, port, timeout=DEADLINE, **how) as client:
                with pytest.raises(EOFError, match=f"{HOST} port {port}"):
                    client.f()
        else:
            asyncio.run(main(port))
        thread.join(DEADLINE)
        assert not thread.is_alive()


def test_closing_a_tls_client_ends_the_call_of_another_thread() -> None:
    target = GatedTarget()
    with tls_server(target) as port:
        client = Client(HOST, port, **keywords(client_identity(), server_identity()))
        with in_a_thread(client.wait) as ended:
            assert target.entered.wait(DEADLINE)
            client.close_rpc()
            client.close_rpc()
        target.released.set()
    assert len(ended) == 1
    assert isinstance(ended[0], (EOFError, OSError))
    assert "closed by this program" in str(ended[0])


def test_a_timeout_over_tls_does_not_spoil_the_next_call() -> None:
    target = GatedTarget()
    with tls_server(target) as port:
        how = keywords(client_identity(), server_identity())
        with Client(HOST, port, **how) as client:
            said = rf"`t\.wait` on {HOST} port {port}"
            with pytest.raises(TimeoutError, match=said), call_timeout(client, 0.1):
                client.wait()
            target.released.set()
            assert client.echo("mine") == "mine"


@pytest.mark.parametrize("way", ["dropped", "awaited", "loop closed before", "loop closed after"])
def test_close_rpc_over_tls_leaves_nothing(way: str) -> None:
    how = keywords(client_identity(), server_identity())
    with tls_server() as port, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loop = asyncio.new_event_loop()
        client = AsyncioClient()
        loop.run_until_complete(client.connect_rpc(HOST, port, **how))

        async def close(client: AsyncioClient) -> None:
            closing = client.close_rpc()
            if way == "awaited":
                await closing

        if way in ("dropped", "awaited"):
            loop.run_until_complete(close(client))
            loop.close()
        elif way == "loop closed before":
            loop.close()
            client.close_rpc()
        else:
            client.close_rpc()
            loop.close()
        del client, loop
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


def test_a_server_with_tls_stops_in_time_with_peers_that_never_read() -> None:
    class Big:
        def big(self) -> str:
            return "x" * 20_000_000

    context = SimpleSSLConfig(*client_identity(), server_identity().cert).create_client_context()
    with contextlib.ExitStack() as peers:
        with tls_server(Big()) as port:
            for _ in range(2):
                sock = context.wrap_socket(socket.create_connection((HOST, port)))
                peer = Peer(sock)
                peers.callback(peer.close)
                peer.send(b"ARTIQ pc_rpc\nt pyon_v2\n")
                peer.line()
                peer.line()
                peer.send(b'{"action":"call","name":"big","args":[],"kwargs":{}}\n')
                assert sock.recv(1)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    own = client_identity()
    for missing in ("local_cert", "local_key", "peer_cert"):
        how = {**keywords(own, server_identity()), missing: str(tmp_path / "nosuch.pem")}
        for call in KINDS.values():
            with pytest.raises(FileNotFoundError, match=r"nosuch\.pem"):
                call(1, **how)
        with pytest.raises(FileNotFoundError, match=r"nosuch\.pem"):
            BestEffortClient(HOST, 1, "t", **how)


def test_a_connection_that_failed_spoils_no_other_that_its_thread_uses() -> None:
    ours = config(client_identity(), server_identity())
    target = GatedTarget()
    made: list[Client] = []

    def connect(port: int) -> None:
        made.append(Client(HOST, port, timeout=DEADLINE, **ours))

    def once_entered(do: Callable[[], None]) -> None:
        assert target.entered.wait(DEADLINE)
        do()

    server = Server({"t": target}, allow_parallel=True)  # who is lost has had its turn
    with (
        running_server(lambda: server, **keywords(server_identity(), client_identity())) as port,
        FaultProxy(port) as proxy,
        ThreadPoolExecutor(1) as others,
    ):
        for _ in range(2):
            with Client(HOST, proxy.port, timeout=DEADLINE, **ours) as lost:
                resetting = others.submit(once_entered, proxy.reset)
                with pytest.raises((EOFError, ConnectionResetError)):
                    lost.wait()
                resetting.result()
            target.entered.clear()
            # Made by another thread, as a `BestEffortClient` makes it.
            others.submit(connect, port).result()
            with made.pop() as client:
                releasing = others.submit(once_entered, target.released.set)
                assert client.wait() == "waited"
                releasing.result()
            target.entered.clear()
            target.released.clear()
