"""What is said where TLS cannot be had: which file it is, which side, and what to do."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sipyco_rpc.net.tls import SimpleSSLConfig
from sipyco_rpc.net.tls_errors import handshake_hint, refusal
from sipyco_rpc.pc_rpc import AsyncioClient, Client, Server
from support.certificates import identity, paths_of
from support.peers import HOST, running_server, until

OURS, THEIRS = identity("client"), identity("server")

Files = Callable[[Path], tuple[str, str, str]]


def written(folder: Path, content: bytes) -> str:
    path = folder / "file.pem"
    path.write_bytes(content)
    return str(path)


def encrypted(folder: Path) -> str:
    path = str(folder / "encrypted.key")
    command = ["openssl", "pkey", "-in", OURS.key, "-out", path, "-aes256", "-passout", "pass:x"]
    subprocess.run(command, check=True, capture_output=True)
    return path


def in_binary(folder: Path) -> str:
    path = str(folder / "binary.pem")
    command = ["openssl", "x509", "-in", THEIRS.cert, "-outform", "DER", "-out", path]
    subprocess.run(command, check=True, capture_output=True)
    return path


PEER = THEIRS.cert


@pytest.mark.parametrize(
    ("files", "text"),
    [
        (
            lambda d: (OURS.key, OURS.cert, PEER),
            "certificate and key are swapped: {0} is a private",
        ),
        (
            lambda d: (OURS.cert, THEIRS.key, PEER),
            "key {1} does not belong to the certificate {0}",
        ),
        (
            lambda d: (OURS.key, OURS.key, PEER),
            "{0} is a private key, where our certificate should",
        ),
        (
            lambda d: (OURS.cert, OURS.cert, PEER),
            "{1} has a certificate only, where our private key",
        ),
        (
            lambda d: (OURS.cert, encrypted(d), PEER),
            "{1} is encrypted, and nobody is there to type",
        ),
        (
            lambda d: (written(d, b""), OURS.key, PEER),
            "{0} is empty, where our certificate should",
        ),
        (lambda d: (OURS.cert, written(d, b"\n"), PEER), "{1} is empty, where our private key"),
        (lambda d: (OURS.cert, OURS.key, written(d, b"")), "{2} is empty, where certificates to"),
        (lambda d: (OURS.cert, OURS.key, OURS.key), "{2} is a private key, where certificates to"),
        (lambda d: (OURS.cert, OURS.key, written(d, b"text")), "{2} is no PEM file, where certif"),
        (
            lambda d: (OURS.cert, OURS.key, in_binary(d)),
            "{2} is in binary form (DER); `openssl x509`",
        ),
        (
            lambda d: (
                written(d, b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
                OURS.key,
                PEER,
            ),
            "{0} or {1} is damaged",
        ),
        (
            lambda d: (
                OURS.cert,
                OURS.key,
                written(d, b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            ),
            "{2} is damaged, where certificates to trust should be",
        ),
    ],
)
@pytest.mark.parametrize("side", ["client", "server"])
def test_a_file_that_cannot_be_used_is_named_with_its_fault(
    side: str, files: Files, text: str, tmp_path: Path
) -> None:
    paths = files(tmp_path)
    config = SimpleSSLConfig(*paths)
    with pytest.raises(ssl.SSLError) as caught:
        getattr(config, f"create_{side}_context")()
    assert text.format(*paths) in str(caught.value)
    cause = caught.value.__cause__
    assert isinstance(cause, ssl.SSLError)
    assert str(cause) in str(caught.value)  # what OpenSSL has said is not lost
    assert type(caught.value) is type(cause)
    assert caught.value.reason == cause.reason
    assert caught.value.errno == cause.errno


@pytest.mark.parametrize(
    ("missing", "role"),
    [
        (0, "our certificate (local_cert)"),
        (1, "our private key (local_key)"),
        (2, "the certificates to trust (peer_cert)"),
    ],
)
def test_a_file_that_is_not_there_is_named_with_its_role(missing: int, role: str) -> None:
    paths = [OURS.cert, OURS.key, PEER]
    paths[missing] = "/nowhere/x.pem"
    with pytest.raises(FileNotFoundError) as caught:
        SimpleSSLConfig(*paths).create_client_context()
    assert caught.value.filename == "/nowhere/x.pem"
    assert str(caught.value) == f"[Errno 2] No such file or directory: {role}: '/nowhere/x.pem'"


# --- both sides of a handshake ---


class Target:
    def ping(self) -> str:
        return "pong"


def by_blocking(port: int, **how: Any) -> None:
    Client(HOST, port, timeout=10, **how).close_rpc()


def by_asyncio(port: int, **how: Any) -> None:
    async def main() -> None:
        client = AsyncioClient()
        try:
            await client.connect_rpc(HOST, port, **how)
        finally:
            await client.close_rpc()

    asyncio.run(main())


CLIENTS = pytest.mark.parametrize("connect", [by_blocking, by_asyncio])
TLS: dict[str, Any] = paths_of("server", "client")
CLIENT_TLS: dict[str, Any] = paths_of("client", "server")


def said(caplog: pytest.LogCaptureFixture, text: str) -> None:
    until(lambda: any(text in message for message in caplog.messages))


@CLIENTS
def test_a_plain_client_and_a_server_with_tls_say_so(
    connect: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    with running_server(lambda: Server({"t": Target()}), **TLS) as port:
        with pytest.raises((EOFError, OSError), match="does the server use TLS, or refuse this"):
            connect(port)
        said(caplog, "failed: it is a client without TLS, which this server requires")
        with socket.create_connection((HOST, port)) as browser:
            browser.sendall(b"GET / HTTP/1.1\r\n\r\n")
            said(caplog, "failed: a web browser, or a client without TLS, which this server")


@CLIENTS
def test_a_client_with_tls_and_a_plain_server_say_so(
    connect: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    with running_server(lambda: Server({"t": Target()})) as port:
        with pytest.raises(OSError, match="does the server use TLS, or refuse this client"):
            connect(port, **CLIENT_TLS)
        said(caplog, "got a TLS handshake: the client uses TLS, and this server does not")


@CLIENTS
def test_a_server_that_is_not_trusted(
    connect: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    with running_server(lambda: Server({"t": Target()}), **TLS) as port:
        with pytest.raises(ssl.SSLCertVerificationError) as caught:
            connect(port, **paths_of("client", "other"))
        assert "certificate is not among those of peer_cert of this client" in str(caught.value)
        assert f"could not connect to {HOST} port {port}" in str(caught.value)
        assert caught.value.verify_code == 18
        said(caplog, "TLS handshake with 127.0.0.1 port")


@CLIENTS
def test_a_client_that_is_not_trusted(
    connect: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    with running_server(lambda: Server({"t": Target()}), **TLS) as port:
        with pytest.raises((EOFError, OSError)) as caught:
            connect(port, **paths_of("other", "server"))
        assert "refuse" in str(caught.value) or "TLS" in str(caught.value)
        said(caplog, "its certificate is not among those of peer_cert of this server: put a copy")


def test_other_servers_say_it_too(caplog: pytest.LogCaptureFixture) -> None:
    from sipyco_rpc.net.server import AsyncioServer

    class Quiet(AsyncioServer):
        async def _handle_connection_cr(self, reader: Any, writer: Any) -> None:
            await reader.read()

    with running_server(Quiet, **TLS) as port:
        with socket.create_connection((HOST, port)) as sock:
            sock.sendall(b"ARTIQ sync_struct\n")
            said(caplog, "it is a client without TLS, which this server requires")
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def of_openssl(reason: str, code: int | None = None) -> ssl.SSLError:
    exc = ssl.SSLError(1, f"[SSL: {reason}] words (_ssl.c:1)")
    exc.reason = reason
    if code is not None:
        exc.verify_code = code  # type: ignore[attr-defined]
    return exc


@pytest.mark.parametrize(
    ("exc", "of_client", "of_server"),
    [
        (
            of_openssl("CERTIFICATE_VERIFY_FAILED", 10),
            "server's certificate has expired",
            "its certificate has expired: make a new one",
        ),
        (
            of_openssl("CERTIFICATE_VERIFY_FAILED", 9),
            "is not valid yet: is the clock",
            "is not valid yet: is the clock",
        ),
        (
            of_openssl("CERTIFICATE_VERIFY_FAILED", 62),
            "is for another host: connect to one",
            "is for another host",
        ),
        (
            of_openssl("CERTIFICATE_VERIFY_FAILED", 64),
            "is for another host: connect to one",
            "is for another host",
        ),
        (
            of_openssl("CERTIFICATE_VERIFY_FAILED", 20),
            "is not among those of peer_cert of this client",
            "of peer_cert of this server",
        ),
        (
            of_openssl("WRONG_VERSION_NUMBER"),
            "it answers without TLS",
            "it is a client without TLS",
        ),
        (
            of_openssl("TLSV1_ALERT_UNKNOWN_CA"),
            "it refuses the certificate of this client",
            "it refuses our certificate",
        ),
        (
            of_openssl("SSLV3_ALERT_CERTIFICATE_EXPIRED"),
            "it refuses the certificate of this client",
            "it refuses our certificate",
        ),
        (
            of_openssl("TLSV13_ALERT_CERTIFICATE_REQUIRED"),
            "it wants a certificate of this client",
            "[SSL: ",
        ),
        (
            of_openssl("PEER_DID_NOT_RETURN_A_CERTIFICATE"),
            "",
            "it has no certificate, and this server",
        ),
        (of_openssl("NO_SHARED_CIPHER"), "", "[SSL: NO_SHARED_CIPHER] words (_ssl.c:1)"),
        (of_openssl("CERTIFICATE_VERIFY_FAILED", 1), "", "[SSL: CERTIFICATE_VERIFY_FAILED] words"),
        (ConnectionResetError(), "", "it closed the connection (does it trust our certificate?)"),
    ],
)
def test_what_errors_of_tls_mean(exc: OSError, of_client: str, of_server: str) -> None:
    assert (of_client in handshake_hint(exc)) if of_client else handshake_hint(exc) == ""
    assert of_server in refusal(exc)
