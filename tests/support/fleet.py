"""Clients of every kind and a server, which make histories. What they mean, `histories` knows."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self

from sipyco_rpc.net.workarounds import abort
from sipyco_rpc.pc_rpc import AsyncioClient, BestEffortClient, Client, Server, call_timeout
from support.histories import (
    Answered,
    Begun,
    Closed,
    Closing,
    Connected,
    Failed,
    Recorder,
    Refused,
    data_of,
)
from support.peers import DEADLINE, HOST, connection_of

BUFFER_SIZE = 16_384  # bytes that a socket holds, so that a stall is felt soon
LONG = DEADLINE / 2  # seconds for what does not wait for anything that a test holds back
RETRY = 0.002  # seconds until a `BestEffortClient` tries again


class LoopThread:
    """An event loop in a thread of its own, for what outlives one history."""

    def __init__(self) -> None:
        self.errors: list[dict[str, Any]] = []  # what nobody has caught
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine there, and wait for it."""
        return self.start(work).result(DEADLINE)

    def start(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    async def _main(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.loop.set_exception_handler(lambda _, context: self.errors.append(context))
        self._end = asyncio.Event()
        self._started.set()
        await self._end.wait()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(DEADLINE)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.loop.call_soon_threadsafe(self._end.set)
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()


class Target:
    """What the calls ask for. Each tells that it is executed, and gives its token back."""

    def __init__(self, executed: Callable[[int], object]) -> None:
        self._executed = executed
        self._open = asyncio.Event()
        self._open.set()

    def echo(self, token: int, data: bytes) -> tuple[int, bytes]:
        self._executed(token)
        return token, data

    async def slow(self, token: int, data: bytes) -> tuple[int, bytes]:
        self._executed(token)
        await self._open.wait()
        return token, data

    def items(self, token: int, count: int) -> Iterator[tuple[int, int]]:
        self._executed(token)
        for index in range(count):
            yield token, index

    async def slow_items(self, token: int, count: int) -> AsyncIterator[tuple[int, int]]:
        self._executed(token)
        for index in range(count):
            await self._open.wait()
            yield token, index


class ServerHost:
    """A server that can be killed, and come back on its port.

    Args:
        thread: has the loop for it.
        executed: is called with the token of each call that is executed.
        tls: arguments of its `start`, for TLS.
        **options: of the server.
    """

    def __init__(
        self,
        thread: LoopThread,
        executed: Callable[[int], object],
        tls: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        self.port = 0
        self._thread = thread
        self._executed = executed
        self._tls = dict(tls or {})
        self._options = options
        self._server: Server | None = None
        self._target: Target | None = None

    @property
    def alive(self) -> bool:
        return self._server is not None

    def start(self) -> None:
        async def start() -> None:
            self._target = Target(self._executed)
            self._server = Server({"target": self._target}, **self._options)
            await self._server.start(HOST, self.port, **self._tls)  # type: ignore[arg-type]
            assert self._server.server is not None
            [listening] = self._server.server.sockets
            _shrink(listening)  # those that it accepts are like it
            self.port = listening.getsockname()[1]

        if not self.alive:
            self._thread.run(start())

    def kill(self) -> None:
        """End it as the end of its process would: nobody is told anything."""

        async def kill() -> None:
            assert self._server is not None
            for slot in list(self._server._handlers.values()):
                abort(slot.transport)
            await self._server.stop()

        if self.alive:
            self._thread.run(kill())
            self._server = None

    def hold(self, held: bool) -> None:
        """Let calls of the slow methods wait, or go on."""

        async def hold() -> None:
            assert self._target is not None
            (self._target._open.clear if held else self._target._open.set)()

        self._thread.run(hold())


class Fleet:
    """Clients by their names, and their calls.

    Attributes:
        clients: those that could be made.
        lost: how many calls of each have failed for want of a connection.

    Args:
        port: where they connect to.
        recorder: takes what they do.
        thread: has a loop for asyncio clients.
        pool: has the threads for the others.
        tls: arguments of the clients, for TLS.
    """

    def __init__(
        self,
        port: int,
        recorder: Recorder,
        thread: LoopThread,
        pool: ThreadPoolExecutor,
        tls: Mapping[str, str] | None = None,
    ) -> None:
        self.clients: dict[str, Any] = {}
        self.lost: Counter[str] = Counter()
        self._port = port
        self._recorder = recorder
        self._thread = thread
        self._pool = pool
        self._tls: dict[str, Any] = dict(tls or {})
        self._tokens = itertools.count(1)
        self._under_way: list[Future[Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for name in self.clients:
            self.close(name)

    def join(self) -> None:
        """Wait for the ends of all calls."""
        under_way, self._under_way = self._under_way, []
        for future in under_way:
            future.result(DEADLINE)

    def connect(self, name: str, kind: str, limit: float) -> None:
        """Make a client; it may be refused."""
        put, best_effort = self._recorder.put, kind == "BestEffortClient"
        client: Any
        try:
            if kind == "Client":
                client = Client(HOST, self._port, timeout=limit, **self._tls)
            elif best_effort:
                client = BestEffortClient(HOST, self._port, "target", limit, RETRY, **self._tls)
            else:
                client = self._thread.run(self._connected(limit))
        except Exception as exc:
            put(Refused(name, exc, best_effort))
        else:
            put(Connected(name, best_effort))
            _shrink(_socket_of(client))
            self.clients[name] = client

    async def _connected(self, limit: float) -> AsyncioClient:
        client = AsyncioClient(timeout=limit)
        await client.connect_rpc(HOST, self._port, **self._tls)
        return client

    def call(
        self,
        name: str,
        method: str,
        limit: float,
        *,
        count: int = 1,
        size: int = 0,
        items: int = 0,
        cancel_after: int | None = None,
        may_time_out: bool = True,
    ) -> None:
        """Begin calls at the same time, from as many threads or tasks.

        Args:
            name: of the client.
            method: of the target.
            limit: for each, in seconds.
            count: how many.
            size: of the data that each takes there and back, in bytes.
            items: how many a generator is to give; 0 for a method that is none.
            cancel_after: after so many passes of the loop they are cancelled; None for never.
            may_time_out: whether there is a reason why the limit should be needed.
        """
        cancelled = cancel_after is not None
        calls = [
            Begun(name, next(self._tokens), size, items, limited=may_time_out, cancelled=cancelled)
            for _ in range(count)
        ]
        client = self.clients[name]
        if isinstance(client, AsyncioClient):
            work = self._tasks(client, method, calls, limit, cancel_after)
            self._under_way.append(self._thread.start(work))
        else:
            self._under_way += [
                self._pool.submit(self._call, client, method, call, limit) for call in calls
            ]

    def _call(self, client: Any, method: str, call: Begun, limit: float) -> None:
        self._recorder.put(call)
        try:
            with call_timeout(client, limit):
                value = getattr(client, method)(*_arguments(call))
                if call.items and value is not None:
                    with value:
                        value = list(value)
        except Exception as exc:
            self._failed(call, exc)
        else:
            self._recorder.put(Answered(call.client, call.token, value))

    async def _tasks(
        self,
        client: AsyncioClient,
        method: str,
        calls: list[Begun],
        limit: float,
        cancel_after: int | None,
    ) -> None:
        tasks = [
            asyncio.create_task(self._call_in_loop(client, method, call, limit)) for call in calls
        ]
        if cancel_after is not None:
            for _ in range(cancel_after):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():  # before it had begun
                task.result()

    async def _call_in_loop(
        self, client: AsyncioClient, method: str, call: Begun, limit: float
    ) -> None:
        self._recorder.put(call)
        try:
            with call_timeout(client, limit):
                value = await getattr(client, method)(*_arguments(call))
                if call.items:
                    async with value:
                        value = [item async for item in value]
        except BaseException as exc:
            self._failed(call, exc)
        else:
            self._recorder.put(Answered(call.client, call.token, value))

    def _failed(self, call: Begun, exc: BaseException) -> None:
        self._recorder.put(Failed(call.client, call.token, exc))
        if isinstance(exc, (EOFError, ConnectionError)):
            self.lost[call.client] += 1

    def close(self, name: str) -> None:
        """Close a client, and wait for that; calls may be under way."""
        self._recorder.put(Closing(name))
        client = self.clients[name]
        if isinstance(client, AsyncioClient):
            self._thread.run(_closed(client))
        else:
            client.close_rpc()
        self._recorder.put(Closed(name))


async def _closed(client: AsyncioClient) -> None:
    await client.close_rpc()


def _socket_of(client: Any) -> Any:
    """Find the socket of a client; None if that is not known."""
    connection = connection_of(client)
    if isinstance(client, AsyncioClient):
        return connection.transport.get_extra_info("socket")
    return None if connection is None else connection.transport._socket


def _shrink(sock: Any) -> None:
    """Let a socket hold little of what is to be sent: the system would take megabytes."""
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_SIZE)


def _arguments(call: Begun) -> tuple[Any, ...]:
    return call.token, call.items or data_of(call.token, call.size)
