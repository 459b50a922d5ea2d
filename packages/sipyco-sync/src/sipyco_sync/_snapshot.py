"""Snapshots: a publisher's structure as of now, without staying in step with it."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final

from sipyco_rpc.limits import MAX_LINE
from sipyco_rpc.net.errors import lost_error
from sipyco_rpc.net.keepalive import async_open_connection, connect
from sipyco_rpc.net.tls import SimpleSSLConfig, client_ssl_context
from sipyco_rpc.net.workarounds import clear_tls_errors
from sipyco_rpc.support.lost import ConnectionLost
from sipyco_rpc.support.quoting import short_message
from sipyco_rpc.support.validation import checked_timeout, format_address
from sipyco_rpc.wire.lines import LineReader, LineTooLong
from sipyco_sync._feed_client import READ_SIZE, hello
from sipyco_sync._limits import SNAPSHOT_TIMEOUT
from sipyco_sync._subscriber import BANNER, decode_mod, early_end, initial_struct


class _Request:
    """The conversation, without sockets: what to send, and what is read into what result."""

    def __init__(self, name: str, max_line: int) -> None:
        self.outgoing: Final = hello(BANNER, name)
        self._name = name
        self._lines = LineReader(max_line)

    def receive(self, data: bytes) -> list[Any]:
        """Take bytes from the publisher; return a list of the structure once it is there."""
        if not data:
            raise ConnectionLost(early_end(self._name))
        lines = self._lines.feed(data)
        if not lines:
            return []
        if isinstance(lines[0], LineTooLong):
            raise lines[0]
        try:
            mod = decode_mod(lines[0])
        except ValueError as exc:
            raise ValueError(f"expected a mod with a structure: {short_message(exc)}") from exc
        return [initial_struct(mod)]


async def snapshot(
    host: str,
    port: int,
    name: str,
    ssl_config: SimpleSSLConfig | None = None,
    *,
    local_cert: str | None = None,
    local_key: str | None = None,
    peer_cert: str | None = None,
    timeout: float | None = SNAPSHOT_TIMEOUT,
    max_line: int = MAX_LINE,
) -> Any:
    """Get a publisher's structure as of now.

    Args:
        host: name or address of the publisher.
        port: its TCP port.
        name: the name under which the structure is published.
        ssl_config: for TLS, as for `Subscriber.connect`.
        local_cert: for TLS, as for `Subscriber.connect`.
        local_key: for TLS, as for `Subscriber.connect`.
        peer_cert: for TLS, as for `Subscriber.connect`.
        timeout: seconds in which something must happen, or None for no limit. A large
            structure may take longer, as long as it keeps coming.
        max_line: longest structure to accept, in bytes on the wire.

    Returns:
        The structure, which is yours to keep.

    Raises:
        OSError: it cannot connect; TimeoutError among them.
        ConnectionLost: the publisher closed the connection, probably as it has nothing of that
            name; or it was lost.
        ValueError: the structure is longer than `max_line`, or what came is none.
        TypeError, ImportError: it holds a value of a type that is not known here.
    """
    request = _Request(name, max_line)
    timeout = checked_timeout(timeout)
    context = client_ssl_context(ssl_config, local_cert, local_key, peer_cert)
    try:
        async with asyncio.timeout(timeout) as patience:
            reader, writer = await async_open_connection(host, port, ssl=context)
            try:
                writer.write(request.outgoing)
                return await _receive(request, reader, patience, timeout)
            except (ConnectionLost, TimeoutError):
                raise
            except OSError as exc:
                raise lost_error(format_address(host, port), exc) from exc
            finally:
                writer.transport.abort()  # there is nothing that could be lost
    except TimeoutError as exc:
        raise TimeoutError(_too_late(host, port, timeout)) from exc


def blocking_snapshot(
    host: str,
    port: int,
    name: str,
    ssl_config: SimpleSSLConfig | None = None,
    *,
    local_cert: str | None = None,
    local_key: str | None = None,
    peer_cert: str | None = None,
    timeout: float | None = SNAPSHOT_TIMEOUT,
    max_line: int = MAX_LINE,
) -> Any:
    """Get a publisher's structure as of now, in a program without asyncio.

    As `snapshot`, which see.
    """
    request = _Request(name, max_line)
    context = client_ssl_context(ssl_config, local_cert, local_key, peer_cert)
    try:
        with connect(host, port, timeout, context) as connection:
            try:
                connection.sendall(request.outgoing)
                return _receive_blocking(request, connection)
            except (ConnectionLost, TimeoutError):
                raise
            except OSError as exc:
                raise lost_error(format_address(host, port), exc) from exc
    except TimeoutError as exc:
        raise TimeoutError(_too_late(host, port, timeout)) from exc
    finally:
        if context is not None:
            clear_tls_errors()


# Loops in functions of their own: CPython 3.12 to 3.14 leave the jump back out of the `try` around
# them, and Ctrl-C there would leave the connection open.
async def _receive(
    request: _Request,
    reader: asyncio.StreamReader,
    patience: asyncio.Timeout,
    timeout: float | None,
) -> Any:
    while not (result := request.receive(await reader.read(READ_SIZE))):
        if timeout is not None:
            patience.reschedule(asyncio.get_running_loop().time() + timeout)
    return result[0]


def _receive_blocking(request: _Request, connection: socket.socket) -> Any:
    while not (result := request.receive(connection.recv(READ_SIZE))):
        pass
    return result[0]


def _too_late(host: str, port: int, timeout: float | None) -> str:
    limit = "" if timeout is None else f" within {timeout:g} seconds"
    return f"{format_address(host, port)} has not answered{limit}"
