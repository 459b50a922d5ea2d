"""Work-arounds for faults of asyncio, uvloop and OpenSSL, each with its reason and its versions.

Nothing of it is private to them (that is in `sipyco_rpc._compat`): where a fault has been mended,
the way around does no harm. Nothing is loaded here that a client without asyncio does without.
"""

from __future__ import annotations

from sipyco_rpc.limits import CLOSE_TIMEOUT

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    import asyncio
    import ssl
    from typing import Any, Final

__all__ = [
    "MAX_TLS_WRITES",
    "abort",
    "abort_tls",
    "clear_tls_errors",
    "close",
    "close_writer",
    "feed",
    "let_pass",
    "start_tls",
    "stop_accepting",
]

# Writes of TLS before the loop has its turn. In asyncio's TLS, `is_closing` tells of a lost
# connection in the next pass of the loop only, and each write until then is warned of from the
# sixth on (gh-118950; until Python 3.13).
MAX_TLS_WRITES: Final = 4

_PASSES: Final = 5  # of the loop, until it has dealt with what was accepted or closed just now

_NEVER: Final = 1e6  # seconds; the clock of the slot ends a handshake


def clear_tls_errors() -> None:
    """Drop what OpenSSL remembers of failed connections in this thread.

    It keeps errors by threads, since 3.2 also that of a socket that broke while something was
    written. Python leaves it there, and raises it for the next operation of the thread that has to
    wait, on any connection (gh-81891, gh-148594; up to 3.15 at least). Python has no function for
    this, but it drops such errors when it refuses ciphers, as a handshake does.
    """
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).set_ciphers("none of these")
    except ssl.SSLError:
        pass


async def start_tls(
    transport: asyncio.Transport,
    protocol: Any,
    context: ssl.SSLContext,
    *,
    early: bytes,
) -> asyncio.Transport:
    """Have TLS on a connection that was accepted, of which bytes may have been read: see `feed`.

    Raises:
        OSError: the handshake failed (`ssl.SSLError`), or the connection was lost.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    _abort_on_close(transport)
    handshake = asyncio.ensure_future(
        loop.start_tls(
            transport,
            protocol,
            context,
            server_side=True,
            ssl_handshake_timeout=_NEVER,
            ssl_shutdown_timeout=CLOSE_TIMEOUT,
        )
    )
    if early:
        # It begins now, and is ready for them in the next pass.
        loop.call_soon(lambda: loop.call_soon(_feed_handshake, transport, early))
    transport_with_tls = await handshake
    # That either side left in that moment is told by None (gh-105993; all versions of asyncio).
    if transport_with_tls is None:
        raise ConnectionResetError("the connection was lost right after it")
    return transport_with_tls


def feed(protocol: Any, data: bytes) -> None:
    """Give bytes to a protocol as a transport does.

    uvloop reads from a connection that is made, whatever `connection_made` says (all versions; as
    asyncio did before Python 3.12, gh-103607). What was read then is given to the next protocol.
    """
    if hasattr(protocol, "data_received"):
        if data:
            protocol.data_received(data)
        return
    while data:
        memory = memoryview(protocol.get_buffer(len(data)))
        size = min(len(memory), len(data))
        memory[:size] = data[:size]
        protocol.buffer_updated(size)
        data = data[size:]


def _feed_handshake(transport: asyncio.Transport, data: bytes) -> None:
    if not transport.is_closing():
        feed(transport.get_protocol(), data)


def _abort_on_close(transport: asyncio.Transport) -> None:
    """Have a transport that is closed under TLS drop what it has not sent.

    TLS closes it when the peer has said that it is done, and takes no more. A transport of asyncio
    that is closed with something to send spins, for ever, if TLS writes more as that is gone
    (gh-115514; since Python 3.12).
    """
    close = transport.close

    def close_or_abort() -> None:
        if transport.get_write_buffer_size():
            transport.abort()
        else:
            close()

    try:
        transport.close = close_or_abort  # type: ignore[method-assign]
    except AttributeError:
        pass  # uvloop's: it has a TLS of its own


def abort_tls(transport: asyncio.BaseTransport) -> bool:
    """End a connection at once if it has TLS; tell whether it has.

    To be called when the other side has ended it: TLS is over in both directions then, and might
    write what waits after it has closed, as in `start_tls` (gh-115514; since Python 3.12).
    """
    if transport.get_extra_info("sslcontext") is None:
        return False
    abort(transport)
    return True


def close(transport: asyncio.WriteTransport) -> None:
    """End a connection when what was written has been sent; it may be ending already.

    asyncio's TLS does not know its own connection any more when it is closed once more, and
    whatever it is asked then fails (gh-98539; all versions, `abort` excepted since 3.12).
    """
    if not transport.is_closing():
        transport.close()


def abort(transport: Any) -> None:
    """End a connection at once; it may have ended already.

    asyncio's transport has no loop any more if it was closed while it had something to send, and
    has got rid of that: `abort` is an `AttributeError` then (anyio 1250; all versions).
    """
    try:
        transport.abort()
    except AttributeError:
        pass


async def close_writer(writer: asyncio.StreamWriter) -> None:
    """Close a stream, in bounded time: what the peer does not take in one second is dropped.

    All who close a stream wait for one future of asyncio's, which the cancellation of any of them
    cancels (all versions).
    """
    import asyncio

    me = asyncio.current_task()
    assert me is not None
    requests = 0
    close(writer.transport)
    try:
        await asyncio.sleep(0)  # a cancellation that is due comes here
        requests = me.cancelling()
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await writer.wait_closed()
    except (OSError, EOFError):
        pass  # it is closed all the same; TimeoutError is an OSError
    except asyncio.CancelledError:
        if me.cancelling() > requests:
            raise
    finally:
        abort(writer.transport)


def stop_accepting(server: asyncio.Server) -> None:
    """Leave new connections to the system, before a server is closed.

    asyncio loses the socket of a connection that it has accepted when the server is closed in the
    very next pass of the loop (gh-109564; all versions).
    """
    for sock in server.sockets:
        try:
            server.get_loop().remove_reader(sock.fileno())
        except (NotImplementedError, RuntimeError, ValueError):
            pass  # a loop that does not accept by readers: Windows' has none


async def let_pass() -> None:
    """Let the loop make connections that it accepted, and close sockets that were aborted."""
    import asyncio

    for _ in range(_PASSES):
        await asyncio.sleep(0)
