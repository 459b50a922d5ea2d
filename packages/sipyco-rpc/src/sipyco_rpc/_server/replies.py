"""What one client is told about its calls, and what can only be logged. No transport here."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sipyco_rpc._server.service import Service
    from sipyco_rpc._server.worker import Outcome
    from sipyco_rpc.net.sender import Sender
    from sipyco_rpc.wire.server_session import ServerSession

logger = logging.getLogger("sipyco.pc_rpc")


class Replies:
    """Answers the calls of one client, as long as it can be told anything.

    Args:
        service: what the server does for connections.
        client: its address, for log records and the status.
        target_name: of the target that the client has selected.
        session: makes messages of replies.
        sender: takes them.
        on_put: is called when a reply, or an item, has been put that nobody was about to send.
        end: closes the connection.

    Attributes:
        client: as it was given.
        open: whether replies can be sent.
        client_left: whether the client sends nothing more: it may be there no longer.
    """

    def __init__(
        self,
        service: Service,
        client: str,
        target_name: str,
        session: ServerSession,
        sender: Sender,
        *,
        on_put: Callable[[], None],
        end: Callable[[], None],
    ) -> None:
        self.client = client
        self.open = True
        self.client_left = False
        self.session = session
        self.sender = sender
        self.on_put = on_put
        self.end = end
        self._target_name = target_name
        self._service = service
        self._process = os.getpid()

    def fail(self, number: int, exc: BaseException, call: Callable[[], str]) -> None:
        """Answer a call with what its method, or generator, has raised.

        Args:
            number: of the call.
            exc: what it raised.
            call: gives its text, with the arguments shortened, for the log.
        """
        if os.getpid() != self._process:
            # The method has forked, and this is how its child ends.
            if isinstance(exc, SystemExit):
                raise exc
            name = self._target_name
            logger.error(
                "a method of `%s` failed in a process that it has forked", name, exc_info=exc
            )
        if self._ends_server(exc):
            return
        if self.client_left:
            self.log_late(exc)
        if not self.open:
            return
        told = exc
        if isinstance(exc, StopIteration):
            # What awaiting a method that raises it has always given.
            told = RuntimeError("coroutine raised StopIteration")
            told.__cause__ = exc
            told.__traceback__ = exc.__traceback__  # for clients that know of no causes
        self.sender.put(self.session.fail(number, told))
        if not self.client_left:
            self._service.error_log.raised(partial(self._named, call), self.client, exc)

    def unsendable(self, number: int, exc: BaseException, call: Callable[[], str]) -> None:
        """Answer a call whose value, or item, cannot be sent; arguments are those of `fail`."""
        self.sender.put(self.session.fail(number, exc))
        self._service.error_log.unsendable(partial(self._named, call), self.client, exc)

    def refuse(self, number: int, exc: BaseException) -> None:
        """Answer a request that is none, or names no method."""
        self.sender.put(self.session.fail(number, exc))
        self._service.error_log.refused(self.client, exc)

    def _named(self, call: Callable[[], str]) -> str:
        return f"`{self._target_name}.{call()}`"

    def log_late(self, outcome: Outcome) -> None:
        """Say in the log what a method has raised that nobody may be waiting for."""
        self._log(outcome, f"a method of `{self._target_name}` that nobody may be waiting for")

    def log_ended(self, outcome: Outcome) -> None:
        """Say in the log what a generator has raised after it was ended."""
        self._log(outcome, f"a generator of `{self._target_name}` that was ended")

    def _log(self, outcome: Outcome, what: str) -> None:
        if isinstance(outcome, BaseException) and not self._ends_server(outcome):
            self._service.log_limiter.exception_line(logger, what, outcome)

    def _ends_server(self, exc: BaseException) -> bool:
        """Close the connection if an exception ends the server; tell whether it does."""
        if exits := self._service.exits(exc, f"a method of `{self._target_name}`"):
            self.end()
        return exits
