"""TLS with certificates on both sides: what works, and how the rest fails, on both sides."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sipyco_rpc.net.tls import client_ssl_contexts, server_ssl_contexts
from sipyco_rpc.pc_rpc import AsyncioClient, BestEffortClient, Client, Server, SimpleSSLConfig
from support.certificates import Identity, identity
from support.peers import HOST, rpc_server, running_server, until


class Target:
    def echo(self, x: Any) -> Any:
        return x


def options(own: Identity, peer: Identity) -> dict[str, Any]:
    return {"local_cert": own.cert, "local_key": own.key, "peer_cert": peer.cert}


def config(own: Identity, peer: Identity) -> dict[str, Any]:
    return {"ssl_config": SimpleSSLConfig(own.cert, own.key, peer.cert)}


def call_blocking(port: int, **how: Any) -> Any:
    with Client(HOST, port, timeout=10, **how) as client:
        return client.echo(1)


def call_asyncio(port: int, **how: Any) -> Any:
    async def main() -> Any:
        async with AsyncioClient(timeout=10) as client:
            await client.connect_rpc(HOST, port, **how)
            return await client.echo(1)

    return asyncio.run(main())


CLIENTS = pytest.mark.parametrize("call", [call_blocking, call_asyncio], ids=["sync", "asyncio"])
Call = Callable[..., Any]


def tls_server(**how: Any) -> Any:
    return running_server(lambda: Server({"t": Target()}), **how)


@CLIENTS
@pytest.mark.parametrize("way", [options, config])
@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_right_certificates_work(call: Call, way: Call, kind: str) -> None:
    server, client = identity("server", kind=kind), identity("client", kind=kind)
    with tls_server(**way(server, client)) as port:
        assert call(port, **way(client, server)) == 1


@CLIENTS
def test_several_clients_in_one_file(call: Call, tmp_path: Path) -> None:
    server, client, other = identity("server"), identity("client"), identity("other")
    both = tmp_path / "both.pem"
    both.write_text(Path(other.cert).read_text() + Path(client.cert).read_text())
    how = {"local_cert": server.cert, "local_key": server.key, "peer_cert": str(both)}
    with tls_server(**how) as port:
        for one in (client, other):
            assert call(port, **options(one, server)) == 1


@CLIENTS
def test_certificates_without_a_name_need_the_configuration(call: Call) -> None:
    server, client = identity("nameless", None), identity("client")
    with tls_server(**config(server, client)) as port:
        assert call(port, **config(client, server)) == 1
        with pytest.raises(ssl.SSLCertVerificationError):
            call(port, **options(client, server))


@CLIENTS
def test_a_wrong_client_certificate(call: Call, caplog: pytest.LogCaptureFixture) -> None:
    server, client, other = identity("server"), identity("client"), identity("other")
    with tls_server(**options(server, client)) as port:
        with pytest.raises((ConnectionResetError, EOFError)) as caught:
            call(port, **options(other, server))
        until(lambda: "TLS handshake with 127.0.0.1 port" in caplog.text)
    assert any(word in str(caught.value) for word in ("TLS", "closed", "lost"))
    assert "CERTIFICATE_VERIFY_FAILED" in caplog.text


@CLIENTS
def test_a_wrong_server_certificate(call: Call, caplog: pytest.LogCaptureFixture) -> None:
    server, client, other = identity("server"), identity("client"), identity("other")
    with tls_server(**options(server, client)) as port:
        with pytest.raises(ssl.SSLCertVerificationError):
            call(port, **options(client, other))
        until(lambda: "TLS handshake with 127.0.0.1 port" in caplog.text)


@CLIENTS
def test_a_host_that_is_not_in_the_certificate(
    call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    server, client = identity("elsewhere", "IP:192.168.1.100"), identity("client")
    with tls_server(**options(server, client)) as port:
        with pytest.raises(ssl.SSLCertVerificationError, match=r"(?i)ip address mismatch|127"):
            call(port, **options(client, server))
        assert call(port, **config(client, server)) == 1
        until(lambda: "TLS handshake with 127.0.0.1 port" in caplog.text)


@CLIENTS
@pytest.mark.parametrize("way", [options, config])
def test_a_wrong_key(call: Call, way: Call) -> None:
    server, client, other = identity("server"), identity("client"), identity("other")
    mixed = Identity(client.cert, other.key)
    with tls_server(**options(server, client)) as port:
        with pytest.raises(ssl.SSLError, match="KEY_VALUES_MISMATCH"):
            call(port, **way(mixed, server))


@CLIENTS
def test_a_plain_client_of_a_tls_server(call: Call, caplog: pytest.LogCaptureFixture) -> None:
    server, client = identity("server"), identity("client")
    with tls_server(**options(server, client)) as port:
        with pytest.raises((EOFError, ConnectionResetError)):
            call(port)
        until(lambda: "TLS handshake with 127.0.0.1 port" in caplog.text)


@CLIENTS
def test_a_tls_client_of_a_plain_server(call: Call, caplog: pytest.LogCaptureFixture) -> None:
    server, client = identity("server"), identity("client")
    with rpc_server({"t": Target()}) as port:
        with pytest.raises((ssl.SSLError, ConnectionResetError, EOFError)):
            call(port, **options(client, server))
        until(lambda: "got a TLS handshake: the client uses TLS" in caplog.text)


def test_best_effort_over_tls() -> None:
    server, client, other = identity("server"), identity("client"), identity("other")
    with tls_server(**options(server, client)) as port:
        with BestEffortClient(HOST, port, "t", 10, **options(client, server)) as best:
            assert best.echo(1) == 1
        with BestEffortClient(HOST, port, "t", 10, **options(client, other)) as best:
            assert best.echo(1) is None
    with pytest.raises(FileNotFoundError):
        BestEffortClient(HOST, port, "t", local_cert="a", local_key="b", peer_cert="c")


@pytest.mark.parametrize("make", [client_ssl_contexts, server_ssl_contexts])
def test_both_ways_cannot_be_mixed(make: Call) -> None:
    own = identity("server")
    assert make()() is None
    with pytest.raises(ValueError, match="missing: local_key, peer_cert"):
        make(local_cert=own.cert)
    with pytest.raises(ValueError, match="either ssl_config or"):
        make(**config(own, own), **options(own, own))
    context = make(**config(own, own))()
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
