"""Files for TLS that are replaced while programs run: new connections use what is there now."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sipyco_rpc.net.tls import client_ssl_contexts, server_ssl_contexts
from sipyco_rpc.pc_rpc import BestEffortClient, Client, Server, SimpleSSLConfig
from support.certificates import Identity, identity, paths_of
from support.peers import DEADLINE, HOST, connection_of, running_server, until


class Files:
    """The files of one side, which a test replaces."""

    def __init__(self, folder: Path, own: Identity, *trusted: Identity) -> None:
        folder.mkdir(exist_ok=True)
        self.cert, self.key, self.peers = (folder / n for n in ("own.pem", "own.key", "peers.pem"))
        self.become(own)
        self.trust(*trusted)

    def become(self, own: Identity) -> None:
        self._replace(self.cert, Path(own.cert).read_bytes())
        self._replace(self.key, Path(own.key).read_bytes())

    def trust(self, *trusted: Identity) -> None:
        self._replace(self.peers, b"".join(Path(one.cert).read_bytes() for one in trusted))

    @staticmethod
    def _replace(path: Path, content: bytes) -> None:
        fresh = path.with_suffix(".new")
        fresh.write_bytes(content)
        os.replace(fresh, path)

    @property
    def paths(self) -> dict[str, str]:
        return {
            "local_cert": str(self.cert),
            "local_key": str(self.key),
            "peer_cert": str(self.peers),
        }


class Echo:
    def echo(self, x: Any) -> Any:
        return x


def calls(port: int, own: str, server: str = "server") -> Any:
    with Client(HOST, port, "t", DEADLINE, **paths_of(own, server)) as client:
        return client.echo(own)


def refused(port: int, own: str, server: str = "server") -> bool:
    with pytest.raises((OSError, EOFError)):
        calls(port, own, server)
    return True


def test_a_client_is_let_in_and_shut_out_while_others_go_on(tmp_path: Path) -> None:
    alice, bob = identity("alice"), identity("bob")
    files = Files(tmp_path, identity("server"), alice)
    with running_server(lambda: Server({"t": Echo()}), **files.paths) as port:
        with Client(HOST, port, "t", DEADLINE, **paths_of("alice", "server")) as client:
            assert refused(port, "bob")
            files.trust(alice, bob)
            assert calls(port, "bob") == "bob"
            files.trust(bob)
            assert refused(port, "alice")
            assert client.echo("was here before") == "was here before"


def test_a_server_with_a_new_certificate(tmp_path: Path) -> None:
    files = Files(tmp_path, identity("server"), identity("client"))
    with running_server(lambda: Server({"t": Echo()}), **files.paths) as port:
        assert calls(port, "client", "server") == "client"
        files.become(identity("renewed"))
        assert calls(port, "client", "renewed") == "client"
        assert refused(port, "client", "server")


def test_half_a_rotation_changes_nothing_and_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = Files(tmp_path, identity("server"), identity("client"))
    with running_server(lambda: Server({"t": Echo()}), **files.paths) as port:
        assert calls(port, "client") == "client"
        shutil.copy(identity("renewed").cert, files.cert)  # its key has not come yet
        for _ in range(3):
            assert calls(port, "client") == "client"
        [message] = caplog.messages
        assert message.startswith("the files for TLS have changed, and cannot be used: ")
        assert "go on with what was read before" in message
        shutil.copy(identity("renewed").key, files.key)
        assert calls(port, "client", "renewed") == "client"
        files.peers.unlink()
        assert calls(port, "client", "renewed") == "client"
        assert str(files.peers) in caplog.messages[1]


def test_a_client_that_connects_again_uses_its_new_files(tmp_path: Path) -> None:
    files = Files(tmp_path / "client", identity("alice"), identity("server"))
    trusted = Files(tmp_path / "server", identity("server"), identity("alice"), identity("bob"))
    with running_server(lambda: Server({"t": Echo()}), **trusted.paths) as port:
        client = BestEffortClient(HOST, port, "t", retry=0.01, **files.paths)
        try:
            assert client.echo(1) == 1
            files.become(identity("bob"))
            trusted.trust(identity("bob"))
            connection_of(client).transport.fail("as a bad network would")
            until(lambda: client.echo(2) == 2)
        finally:
            client.close_rpc()


@pytest.mark.parametrize("contexts", [server_ssl_contexts, client_ssl_contexts])
def test_a_context_is_made_anew_only_when_a_file_has_changed(
    contexts: Callable[..., Callable[[], ssl.SSLContext]], tmp_path: Path
) -> None:
    files = Files(tmp_path, identity("server"), identity("client"))
    current = contexts(**files.paths)
    first = current()
    assert current() is first
    files.trust(identity("client"), identity("other"))
    second = current()
    assert second is not first
    assert current() is second
    assert (len(first.get_ca_certs()), len(second.get_ca_certs())) == (1, 2)
    assert second.minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), RuntimeError("odd")])
def test_a_moment_in_which_files_cannot_be_read_does_not_keep_the_old_ones(
    error: Exception, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = Files(tmp_path, identity("server"), identity("client"))
    failing = False

    class Config(SimpleSSLConfig):
        def create_server_context(self) -> ssl.SSLContext:
            if failing:
                raise error
            return super().create_server_context()

    current = server_ssl_contexts(Config(*files.paths.values()))
    first = current()
    files.trust(identity("other"))
    failing = True
    assert current() is first
    assert current() is first
    failing = False
    assert current() is not first
    [message] = caplog.messages
    assert str(error) in message


def test_a_configuration_of_the_programs_own_serves_as_it_did() -> None:
    made = SimpleSSLConfig(*paths_of("server", "client").values())

    class Config:
        def create_server_context(self) -> ssl.SSLContext:
            return made.create_server_context()

    async def main() -> None:
        async with Server({"t": Echo()}) as server:
            await server.start(HOST, 0, Config())  # type: ignore[arg-type]
            assert server.server is not None
            port = server.server.sockets[0].getsockname()[1]
            assert await asyncio.to_thread(calls, port, "client") == "client"

    asyncio.run(main())


def test_older_versions_of_tls_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    with running_server(lambda: Server({"t": Echo()}), **paths_of("server", "client")) as port:
        own = identity("client")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.load_cert_chain(own.cert, own.key)
        context.set_ciphers("ALL:@SECLEVEL=0")  # with which OpenSSL would still speak them
        with pytest.warns(DeprecationWarning, match="TLSv1 is deprecated"):
            context.minimum_version = ssl.TLSVersion.TLSv1
        with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        with socket.create_connection((HOST, port), DEADLINE) as sock:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                context.wrap_socket(sock)
        until(lambda: bool(caplog.messages))
    assert "unsupported protocol" in caplog.messages[0]
