"""A server in a thread of its own, for programs that do something else in theirs."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Self

from sipyco_rpc._server.server import Server
from sipyco_rpc._server.serving import call_ready, serve
from sipyco_rpc._server.surprises import check_targets
from sipyco_rpc.limits import THREAD_STOP_TIMEOUT
from sipyco_rpc.support.process_bound import not_copyable

if TYPE_CHECKING:
    from typing import Unpack

    from sipyco_rpc._server.options import Ready, ServerOptions
    from sipyco_rpc.net.tls import SimpleSSLConfig

logger = logging.getLogger("sipyco.pc_rpc")


class ServerThread:
    """A server that runs in a thread of its own; `serve_in_thread` makes it.

    Args:
        name: of the thread.
        work: makes the coroutine to run, which calls what it is given with the server once that
            listens.

    Attributes:
        port: the TCP port that it listens on.
        exit_code: what a method gave to `sys.exit` that ended it by that; None otherwise.
    """

    port: int

    def __init__(
        self, name: str, work: Callable[[Ready], Coroutine[Any, Any, str | int | None]]
    ) -> None:
        self.exit_code: str | int | None = None
        self._work = work
        self._process = os.getpid()
        self._begun = threading.Event()  # it listens, or has failed to
        self._failure: BaseException | None = None
        self._serves = False  # it has listened
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._told_to_stop = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        try:
            self._begun.wait()
        except BaseException:
            self.stop()
            raise
        if not self._serves:
            self._thread.join()
            assert self._failure is not None
            raise self._failure

    __reduce__ = not_copyable("it serves in this process; make one where it is needed")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether it serves."""
        return os.getpid() == self._process and self._thread.is_alive()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended, by `stop`, a client's `terminate`, or `sys.exit` of a method.

        Args:
            timeout: seconds to wait, or None for no limit.

        Returns:
            Whether it has.
        """
        if self.running and threading.current_thread() is not self._thread:
            self._thread.join(timeout)
        return not self.running

    def stop(self) -> None:
        """Stop it, in bounded time. May be repeated, from any thread.

        A method that blocks its thread is left behind, with a warning.
        """
        if not self.running:
            return
        self._told_to_stop = True
        try:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._cancel)
        except RuntimeError:
            pass  # it has ended by itself
        if threading.current_thread() is not self._thread and not self.wait(THREAD_STOP_TIMEOUT):
            logger.warning(
                "the %s does not end: a method of it is still running; it is left behind",
                self._thread.name,
            )

    def _cancel(self) -> None:
        """Cancel the task; once only, for that would cut short how it ends."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    def _listens(self, server: Server) -> None:
        self.port = server.bound_port()
        self._serves = True
        self._begun.set()

    async def _serve(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        if not self._told_to_stop:
            self.exit_code = await self._work(self._listens)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except asyncio.CancelledError as exc:
            if not self._told_to_stop:
                self._failure = exc  # of `ready`
        except BaseException as exc:
            self._failure = exc
            if self._serves:
                logger.error("the %s has failed", self._thread.name, exc_info=exc)
        finally:
            self._begun.set()


def serve_in_thread(
    targets: Mapping[str, Any],
    host: str | list[str] | None,
    port: int,
    description: str | None = None,
    *,
    ssl_config: SimpleSSLConfig | None = None,
    local_cert: str | None = None,
    local_key: str | None = None,
    peer_cert: str | None = None,
    ready: Ready | None = None,
    port_file: str | os.PathLike[str] | None = None,
    **options: Unpack[ServerOptions],
) -> ServerThread:
    """Serve targets in a thread of its own; return when it listens.

        with serve_in_thread({"lda": Lda()}, "::1", 0) as server:
            client = Client("::1", server.port)

    For notebooks, tests, and programs with a loop of another kind. Methods run in that thread,
    one at a time. What is not stopped is served until the program ends.

    Args:
        targets: objects by their names, as for `Server`.
        host: as for `simple_server_loop`.
        port: as for `simple_server_loop`.
        description: as for `Server`.
        ssl_config: as for `simple_server_loop`.
        local_cert: as for `simple_server_loop`.
        local_key: as for `simple_server_loop`.
        peer_cert: as for `simple_server_loop`.
        ready: as for `simple_server_loop`; it is called in the thread.
        port_file: as for `simple_server_loop`.
        **options: the other arguments of `Server`; `builtin_terminate` is True by default.

    Raises:
        OSError: the address cannot be listened on, or the port file not be written; or an error of
            TLS.
        RuntimeError: no thread can be started.
    """
    check_targets(targets)

    def work(listens: Ready) -> Coroutine[Any, Any, str | int | None]:
        async def begun(server: Server) -> None:
            try:
                if ready is not None:
                    await call_ready(ready, server)
            except asyncio.CancelledError:
                if server._terminated.is_set():
                    listens(server)  # it has done so, and is to end
                raise
            listens(server)

        return serve(
            targets,
            host,
            port,
            description,
            ssl_config=ssl_config,
            local_cert=local_cert,
            local_key=local_key,
            peer_cert=peer_cert,
            ready=begun,
            port_file=port_file,
            **options,
        )

    return ServerThread(f"server of {', '.join(map(str, targets))}", work)
