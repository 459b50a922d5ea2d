"""The RPC server: connections, turns and targets. The bytes are the business of `protocol`."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any

from sipyco_rpc._client_stream import ClientStream, Gone, take_turn
from sipyco_rpc._describe import (
    bound_method,
    describe,
    document_function,
    make_encodable,
    public_method_names,
)
from sipyco_rpc._workers import MethodError, Worker
from sipyco_rpc.asyncio_server import AsyncioServer
from sipyco_rpc.framing import MAX_LINE, LineReader, LineTooLong
from sipyco_rpc.protocol import (
    CallRequest,
    ProtocolError,
    ServerSession,
    check_target_names,
)

logger = logging.getLogger("sipyco.pc_rpc")


class Server(AsyncioServer):
    """Serve the methods of objects over TCP.

    Every public callable of a target can be called: names that start with `_` cannot, and
    properties are never evaluated. Coroutine methods are awaited. Without `allow_parallel` one
    call runs at a time, whatever the number of clients; connecting and listing never wait.

    Args:
        targets: objects by their names. A callable one makes an object for each connection.
        description: free text that clients may read, or None.
        builtin_terminate: offer a method `terminate` that ends `wait_terminate`.
        allow_parallel: let calls of different connections run at the same time. Those of one
            connection are answered in order, always.
        threaded: run plain (not coroutine) methods in one thread for each target, so that a
            driver that blocks holds up nothing but its own target. Calls are then ordered for
            each target by itself.
        max_line: longest request to accept, in bytes; a longer one is answered with an error.
        plain_float64: send `numpy.float64` scalars as plain JSON numbers, as older servers do.

    Raises:
        ValueError: a target name has white space in it, or the description is not a string.
    """

    def __init__(
        self,
        targets: Mapping[str, Any],
        description: str | None = None,
        builtin_terminate: bool = False,
        allow_parallel: bool = False,
        *,
        threaded: bool = False,
        max_line: int = MAX_LINE,
        plain_float64: bool = False,
    ) -> None:
        super().__init__()
        check_target_names(targets)
        if description is not None and not isinstance(description, str):
            raise ValueError(f"a description is a str or None, got {description!r}")
        LineReader(max_line)  # refuses a limit that makes no sense now, not at a client's expense
        self.targets = targets
        self.description = description
        self.builtin_terminate = builtin_terminate
        self._plain_float64 = plain_float64
        self._max_line = max_line
        self._terminated = asyncio.Event()
        self._allow_parallel = allow_parallel
        self._threaded = threaded
        shared = asyncio.Lock()
        self._locks = {name: asyncio.Lock() if threaded else shared for name in targets}
        self._workers: dict[str, Worker] = {}

    @staticmethod
    def _document_function(function: Callable[..., Any]) -> tuple[dict[str, Any], str | None]:
        """Return the pair (argspec, docstring) of a function; programs use this one."""
        return document_function(function)

    async def wait_terminate(self) -> None:
        """Wait until a client has called `terminate`, or a method raised `SystemExit`."""
        await self._terminated.wait()

    async def stop(self) -> None:
        """Stop listening and close all connections, in bounded time. May be repeated."""
        try:
            await super().stop()
        finally:
            for worker in self._workers.values():
                worker.stop()
            self._workers.clear()

    async def _handle_connection_cr(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        connection = ClientStream(reader, writer, self._max_line)
        session = ServerSession(self.targets, self.description, plain_float64=self._plain_float64)
        try:
            await connection.banner(session)
            await connection.send(session.identification())
            name = session.receive_selection(await connection.selection())
            target = self._target(name)
            names = public_method_names(target)
            if self.builtin_terminate:
                names.add("terminate")
            await connection.send(session.methods(names))
            while await self._answer(connection, session, name, target):
                pass
        except Gone:
            pass
        except ProtocolError as exc:
            logger.warning("closing the connection from %s: %s", connection.peer, exc)
        except (ConnectionError, TimeoutError) as exc:
            logger.debug("lost the connection from %s: %s", connection.peer, exc)

    def _target(self, name: str) -> Any:
        target = self.targets[name]
        return target() if callable(target) else target

    async def _answer(
        self, connection: ClientStream, session: ServerSession, name: str, target: Any
    ) -> bool:
        """Answer the next request; tell whether the connection goes on."""
        line = await connection.line()
        stopping = False
        try:
            if isinstance(line, LineTooLong):
                raise line
            request = session.receive_request(line)
            del line  # a large request must not live beside its values
            if not isinstance(request, CallRequest):
                listing = describe(target, self.builtin_terminate)
                reply = session.result(make_encodable(listing, session.encodable))
            elif self.builtin_terminate and request.name == "terminate":
                stopping = True
                reply = session.result(None)
            else:
                method = bound_method(target, request.name)
                reply = session.result(await self._call(connection, name, method, request))
        except Gone:
            raise
        except SystemExit as exc:
            if self.builtin_terminate:
                logger.info("stopping: a method of `%s` raised SystemExit", name)
                self._terminated.set()
                return False
            reply = session.failure(exc)
        except asyncio.CancelledError as exc:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            reply = session.failure(exc)  # the method's own, not an order to stop
        except MethodError as exc:
            reply = session.failure(exc.error)
        except Exception as exc:  # noqa: BLE001  (whatever it is, the client is told)
            reply = session.failure(exc)
        try:
            await connection.send(reply)
        finally:
            if stopping:
                self._terminated.set()
        return not stopping

    async def _call(
        self, connection: ClientStream, name: str, method: Callable[..., Any], request: CallRequest
    ) -> Any:
        """Call a method when it is its turn; `Gone` if the caller does not wait for that."""
        in_thread = self._threaded and not inspect.iscoroutinefunction(method)
        lock = self._lock_for(name, in_thread)
        if lock is not None:
            await take_turn(lock, connection)
        try:
            if in_thread:
                call = functools.partial(method, *request.args, **request.kwargs)
                result = await self._worker(name).run(call)
            else:
                result = method(*request.args, **request.kwargs)
            return await result if inspect.isawaitable(result) else result
        except (Exception, SystemExit, KeyboardInterrupt, asyncio.CancelledError):
            raise
        except BaseException as exc:
            if asyncio._get_running_loop() is None:
                raise  # a GeneratorExit that orders this coroutine to end
            raise MethodError(exc) from None
        finally:
            if lock is not None:
                lock.release()

    def _lock_for(self, name: str, in_thread: bool) -> asyncio.Lock | None:
        if in_thread:
            return self._locks[name]  # there is one thread, so there are turns in any case
        if self._allow_parallel:
            return None
        return self._locks[name]

    def _worker(self, name: str) -> Worker:
        if name not in self._workers:
            self._workers[name] = Worker(f"calls of {name}")
        return self._workers[name]
