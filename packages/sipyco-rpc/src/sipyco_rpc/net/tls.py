"""TLS with certificates required on both sides, in the two ways of saying it."""

from __future__ import annotations

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from os import PathLike
    from typing import Any, TypeAlias

    Path: TypeAlias = str | PathLike[str]

__all__ = [
    "SimpleSSLConfig",
    "client_ssl_context",
    "client_ssl_contexts",
    "server_name",
    "server_ssl_contexts",
]


def _context(
    server_side: bool, local_cert: Path, local_key: Path, peer_cert: Path
) -> ssl.SSLContext:
    import ssl  # a program without TLS does without it

    from sipyco_rpc.net.pem import load_pem

    # Not `create_default_context`: its strict mode (from Python 3.13 on) refuses certificates
    # that the documented openssl commands make.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    # A file may trust a certificate that is not its own issuer.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    load_pem(context, local_cert, local_key, peer_cert)
    return context


class SimpleSSLConfig:
    """Paths of PEM files for TLS between programs that trust each other's certificates.

    The host name is not compared with the certificate.

    Args:
        local_cert: our certificate.
        local_key: its private key.
        peer_cert: one or several certificates to trust.
    """

    def __init__(self, local_cert: Path, local_key: Path, peer_cert: Path) -> None:
        self.local_cert = local_cert
        self.local_key = local_key
        self.peer_cert = peer_cert

    def create_client_context(self) -> ssl.SSLContext:
        """Make the context of the side that connects.

        Raises:
            OSError: a file cannot be read, or its content (`ssl.SSLError`) not be used.
        """
        return _context(False, self.local_cert, self.local_key, self.peer_cert)

    def create_server_context(self) -> ssl.SSLContext:
        """Make the context of the side that listens; see `create_client_context`."""
        return _context(True, self.local_cert, self.local_key, self.peer_cert)


def _chosen(
    ssl_config: SimpleSSLConfig | None,
    local_cert: Path | None,
    local_key: Path | None,
    peer_cert: Path | None,
) -> tuple[SimpleSSLConfig | None, bool]:
    """Tell which files to use, and whether the host name is to be compared."""
    paths = {"local_cert": local_cert, "local_key": local_key, "peer_cert": peer_cert}
    missing = [name for name, path in paths.items() if path is None]
    if len(missing) == len(paths):
        return ssl_config, False
    if ssl_config is not None:
        raise ValueError("TLS takes either ssl_config or local_cert, local_key and peer_cert")
    if local_cert is None or local_key is None or peer_cert is None:
        raise ValueError(
            f"local_cert, local_key and peer_cert go together; missing: {', '.join(missing)}"
        )
    return SimpleSSLConfig(local_cert, local_key, peer_cert), True


class _Contexts:
    """A factory of contexts: the same one, until the files of it have changed.

    Args:
        make: makes one.
        config: has the paths, if they are known; otherwise the first context serves for ever.
    """

    def __init__(self, make: Callable[[], ssl.SSLContext], config: SimpleSSLConfig) -> None:
        self._make = make
        paths = (getattr(config, name, None) for name in ("local_cert", "local_key", "peer_cert"))
        self._paths = [path for path in paths if path is not None]
        self._state = self._refused = self._look()
        self._context = make()

    def __call__(self) -> ssl.SSLContext:
        state = self._look()  # before they are read: what changes after it is noticed next time
        if state != self._state:
            try:
                self._context = self._make()
            except Exception as exc:  # noqa: BLE001  (a configuration may be the program's own)
                # Half of them may have been written, or there may be no descriptor to read them
                # with: it is tried again at each connection, and said once.
                if state != self._refused:
                    self._refused = state
                    self._complain(exc)
            else:
                self._state = state
        return self._context

    def _complain(self, exc: Exception) -> None:
        import logging

        logging.getLogger("sipyco.tools").warning(
            "the files for TLS have changed, and cannot be used: %s; new connections go on with "
            "what was read before",
            exc,
        )

    def _look(self) -> list[Any]:
        from os import stat

        states: list[Any] = []
        for path in self._paths:
            try:
                found = stat(path)
            except OSError:
                states.append(None)
            else:
                # A file that is replaced has another number, even if nothing else differs.
                states.append((found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))
        return states


def client_ssl_contexts(
    ssl_config: SimpleSSLConfig | None = None,
    local_cert: Path | None = None,
    local_key: Path | None = None,
    peer_cert: Path | None = None,
) -> Callable[[], ssl.SSLContext | None]:
    """Return a factory for client-side SSL contexts, to be called for each new connection.

    When a file has been replaced, a new context is made. Files that cannot be used are logged, and
    the last good context is given: certificate and key cannot be replaced in one moment. Without
    TLS, it gives None.

    Args:
        ssl_config: for TLS that trusts certificates, whatever the host's name.
        local_cert: path of our certificate, a PEM file, for TLS that also verifies that the
            certificate of the other side is for the host that is connected to.
        local_key: path of its private key.
        peer_cert: path of the certificates to trust.

    Raises:
        ValueError: both ways at once, or some of the paths without the others.
        OSError: a file cannot be read or used.
    """
    config, check_hostname = _chosen(ssl_config, local_cert, local_key, peer_cert)
    if config is None:
        return lambda: None

    def make() -> ssl.SSLContext:
        context = config.create_client_context()
        context.check_hostname = check_hostname
        return context

    return _Contexts(make, config)


def server_ssl_contexts(
    ssl_config: SimpleSSLConfig | None = None,
    local_cert: Path | None = None,
    local_key: Path | None = None,
    peer_cert: Path | None = None,
) -> Callable[[], ssl.SSLContext | None]:
    """Return a factory for server-side SSL contexts; see `client_ssl_contexts`."""
    config, _ = _chosen(ssl_config, local_cert, local_key, peer_cert)
    return (lambda: None) if config is None else _Contexts(config.create_server_context, config)


def client_ssl_context(
    ssl_config: SimpleSSLConfig | None = None,
    local_cert: Path | None = None,
    local_key: Path | None = None,
    peer_cert: Path | None = None,
) -> ssl.SSLContext | None:
    """Make a client-side SSL context, or None for no TLS; see `client_ssl_contexts`."""
    return client_ssl_contexts(ssl_config, local_cert, local_key, peer_cert)()


def server_name(host: str | None) -> str:
    """Give the name or address that a certificate has to be for.

    Args:
        host: what is connected to. The zone of an IPv6 address (`fe80::1%eth0`) tells which way,
            and a dot at the end that a name is complete: neither is a part of it. None is this
            computer.
    """
    if host is None:
        return "localhost"
    if ":" in host:
        return host.partition("%")[0]
    return host.removesuffix(".")
