"""Both ends of a connection for tests: our server in a thread, and a scripted peer."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sipyco_rpc._client.blocking.connection import BlockingConnection
from sipyco_rpc.limits import MAX_LINE
from sipyco_rpc.pc_rpc import BestEffortClient, Server

HOST = "127.0.0.1"
DEADLINE = 50.0  # seconds until a test that waits has failed, on a machine that is busy
OFFER_FRAMES = True  # what `rpc_server` does by default; tests of both protocols set it


def until(condition: Callable[[], bool]) -> None:
    """Wait until something holds that no event tells of; fail after the deadline."""
    deadline = time.monotonic() + DEADLINE
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it does not come about"
        pause.wait(0.005)


@contextmanager
def running_server(server: Callable[[], Any], **start: Any) -> Iterator[int]:
    """Run a server in a thread with a loop of its own; give its port.

    Args:
        server: makes it, inside the loop.
        **start: more arguments of its `start`.
    """
    started = threading.Event()
    state: dict[str, Any] = {}

    async def main() -> None:
        state["loop"] = asyncio.get_running_loop()
        state["end"] = asyncio.Event()
        running = server()
        try:
            await running.start(HOST, 0, **start)
            state["port"] = running.server.sockets[0].getsockname()[1]
            started.set()
            await state["end"].wait()
        finally:
            started.set()
            await running.stop()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    try:
        assert started.wait(DEADLINE)
        yield state["port"]
    finally:
        if "port" in state:
            state["loop"].call_soon_threadsafe(state["end"].set)
        thread.join(DEADLINE)
        assert not thread.is_alive()


@contextmanager
def rpc_server(targets: dict[str, Any], **options: Any) -> Iterator[int]:
    """Run an RPC server on loopback; give its port."""
    options = {"frames": OFFER_FRAMES, **options}
    with running_server(lambda: Server(targets, **options)) as port:
        yield port


def connection_of(client: Any) -> Any:
    """Return the connection that a client has now, or None."""
    connection = vars(client)[f"_{type(client).__name__}__connection"]
    return connection.current if isinstance(client, BestEffortClient) else connection


def connect_elsewhere(client: BestEffortClient, port: int) -> None:
    """Have a client find its server at another port when it connects again."""
    connection = vars(client)["_BestEffortClient__connection"]
    connection._open_connection = lambda timeout: BlockingConnection(
        HOST, port, timeout, None, MAX_LINE, None
    )


class Peer:
    """The other end of a connection, as a test plays it."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(DEADLINE)
        self.socket = sock
        self._file = sock.makefile("rb")

    def line(self) -> bytes:
        """Wait for a line; empty at the end of the stream."""
        return self._file.readline()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def close(self) -> None:
        self._file.close()
        self.socket.close()


@contextmanager
def connected(port: int) -> Iterator[Peer]:
    """Connect to a server; give the client's end."""
    peer = Peer(socket.create_connection((HOST, port), DEADLINE))
    try:
        yield peer
    finally:
        peer.close()


GREETING = b'{"targets":["test"],"description":null,"features":["pyon_v2"]}\n'
METHODS = b'{"__jsonclass__":["set",[["f","g"]]]}\n'


@contextmanager
def scripted_server(play: Callable[[Peer], None]) -> Iterator[int]:
    """Accept connections one after another and play each; give the port.

    An error in the play fails the test.
    """
    errors: list[BaseException] = []
    with socket.create_server((HOST, 0)) as listening:
        listening.settimeout(0.1)
        ending = threading.Event()

        def serve() -> None:
            while not ending.is_set():
                try:
                    sock, _ = listening.accept()
                except TimeoutError:
                    continue
                peer = Peer(sock)
                try:
                    play(peer)
                except BaseException as exc:
                    errors.append(exc)
                finally:
                    peer.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            ending.set()
            thread.join(DEADLINE)
            assert not thread.is_alive()
    if errors:
        raise errors[0]


def handshake(peer: Peer, methods: bytes = METHODS) -> None:
    """Play the server's side up to the first call."""
    assert peer.line() == b"ARTIQ pc_rpc\n"
    peer.send(GREETING)
    assert peer.line() == b"test pyon_v2\n"
    peer.send(methods)
