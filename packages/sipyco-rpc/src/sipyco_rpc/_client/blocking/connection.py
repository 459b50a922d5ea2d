"""A connection of the blocking clients: a socket and a `ClientSession`. No proxies here."""

from __future__ import annotations

import threading
import time

from sipyco_rpc._client.blocking.iterator import RemoteIterator
from sipyco_rpc._client.blocking.lock import CallLock
from sipyco_rpc._client.blocking.transport import SocketTransport
from sipyco_rpc._client.timeouts import NO_LIMIT, limit_of, limits
from sipyco_rpc.net.errors import closed_by_us, timeout_error
from sipyco_rpc.net.keepalive import connect
from sipyco_rpc.support.process_bound import after_fork_in_child, belongs_to_parent
from sipyco_rpc.support.validation import checked_timeout, format_address
from sipyco_rpc.wire.client_session import ClientSession, Stream
from sipyco_rpc.wire.lines import MAX_LINE
from sipyco_rpc.wire.routing import Items, ReplyRouter

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from typing import Any, Final, NoReturn

    from sipyco_rpc._client.timeouts import Limit
    from sipyco_rpc.support.memory import Piece
    from sipyco_rpc.wire.messages import Message
    from sipyco_rpc.wire.session import AutoTarget, OutgoingMessage

_CLOSE_TIMEOUT: Final = 1.0  # seconds for a call in another thread to notice that it is over


class BlockingConnection:
    """One connection of a blocking client, safe to use from several threads.

    Contract: a reply belongs to its call. The replies that abandoned calls are still owed are
    dropped as they come. Where a request was sent in part, or received bytes may have been lost,
    the connection is closed instead.

    Args:
        host: name or address of the server.
        port: its TCP port.
        timeout: for connecting and for every socket operation, in seconds; None for none.
        ssl_context: for TLS, or None.
        max_line: longest reply to accept, in bytes.
        key: stands for the client in `call_timeout`.

    Attributes:
        timeout: of socket operations, from the next request on.
        mail: what has come; for the iterators over what generators give as well.
        turns: of the threads, likewise.
        wire: the socket, likewise.

    Raises:
        OSError: no connection could be made.
        IncompatibleServer: the other side is not an RPC server.
        EOFError: it closed the connection before it had greeted.
    """

    def __init__(
        self,
        host: str,
        port: int,
        timeout: float | None,
        ssl_context: ssl.SSLContext | None,
        max_line: int = MAX_LINE,
        key: object = None,
    ) -> None:
        self.session = ClientSession(max_line)
        self.where = format_address(host, port)
        self._key = key
        self._listing: dict[str, Any] | None = None
        self.timeout = timeout = checked_timeout(timeout)
        self.mail = ReplyRouter(self.session)
        self._names: dict[str, str] = {}  # of calls, for error messages
        self.turns = CallLock()
        sock = connect(host, port, timeout, ssl_context)
        self.wire = SocketTransport(sock, self.where, self.session.incoming, self.mail)
        after_fork_in_child(self._after_fork)
        try:
            self.session.receive_identification(
                self.exchange("the handshake", NO_LIMIT, self.session.hello)
            )
        except BaseException:
            self.close()
            raise

    @property
    def local_host(self) -> str:
        """The address of this end of the connection."""
        return self.wire.local_host

    def select(self, target_name: str | type[AutoTarget]) -> None:
        """Select a target and learn its methods."""
        session = self.session
        message = self.exchange("selecting the target", NO_LIMIT, session.select, target_name)
        session.receive_methods(message)

    @property
    def label(self) -> str:
        """The target, and where it is."""
        return f"`{self.session.selected_target}` on {self.where}"

    def call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a method; errors are those of `exchange`, and what the method raised."""
        session = self.session
        what = self._names.get(name) or self._name(name)
        limit = limit_of(self._key) if limits.get() else NO_LIMIT
        reply = self.exchange(what, limit, session.request_call, name, args, kwargs)
        try:
            value = session.receive_reply(reply)
            return value if value is not Stream else self.items(what, reply)
        except KeyboardInterrupt:
            self.abandon(reply[0])
            raise

    def _name(self, name: str) -> str:
        """Make the name of a call for error messages, once for each method."""
        what = self._names[name] = f"call of `{self.session.selected_target}.{name}`"
        return what

    def items(self, what: str, reply: Message) -> RemoteIterator:
        """Give an iterator over what a generator gives.

        Args:
            what: the call, for error messages.
            reply: its reply, which was a `Stream`.
        """
        self.mail.items[reply[0]] = Items()
        return RemoteIterator(self, reply[0], what, self._key)

    def list_methods(self) -> dict[str, Any]:
        """Ask for signatures and docstrings; errors are those of `exchange`."""
        session = self.session
        message = self.exchange(
            "listing the methods", limit_of(self._key), session.request, session.list_methods()
        )
        self._listing = session.receive_listing(message)
        return self._listing

    @property
    def listing(self) -> dict[str, Any]:
        """The server's listing, which is asked for once; errors are those of `exchange`."""
        return self.list_methods() if self._listing is None else self._listing

    def exchange(
        self, what: str, limit: Limit, make: Callable[..., OutgoingMessage], *arguments: Any
    ) -> Message:
        """Send a request and wait for its reply.

        Args:
            what: the request, for error messages.
            limit: whether a limit for this request as a whole holds, and its seconds.
            make: gives the request when it is its turn; see `kept` of the session.
            *arguments: what it is called with.

        Raises:
            TimeoutError: an operation took longer than `timeout`, or all of it than the limit.
            EOFError: the other side closed the connection.
            ConnectionError: the connection is no more, and why.
        """
        started = time.monotonic()
        timeout, deadline = self.timeout, None
        if limit[0]:
            timeout = None
            deadline = None if limit[1] is None else started + limit[1]
        me, turns = threading.get_ident(), self.turns
        if turns.owner == me:
            self.refuse_reentry(what)
        session, mail = self.session, self.mail
        number, message = 0, None
        try:
            with turns.guard:
                if turns.owner is None and not turns.waiting:
                    turns.owner = me
            if turns.owner != me or self.wire.closed is not None:
                if turns.owner != me:
                    # Others may go on: what was given now is what is sent.
                    make, arguments = session.kept(make, arguments)
                self.wait_for_turn(what, me, started, deadline)
            number, pieces = make(*arguments)
            try:
                try:
                    if session.framed and not (
                        mail.replies or mail.items or mail.unwanted or mail.untold or mail.notices
                    ):
                        self.wire.send(pieces, timeout, deadline, False)
                    else:
                        self.send(pieces, timeout, deadline)
                finally:
                    if not pieces:
                        session.asked += 1
                replies = mail.replies
                if not replies:
                    self.wire.receive_some(timeout, deadline)
                if not replies or replies[0][0] != number:
                    self._await_reply(number, timeout, deadline)
                message = replies[0]
                replies.popleft()
                return message
            except TimeoutError as exc:
                if not pieces:
                    self._give_up(number)
                raise timeout_error(what, self.where, started) from exc
            except EOFError as exc:
                raise EOFError(f"{what}: {exc}") from exc
            except KeyboardInterrupt:
                if not pieces:
                    # What has come may be the beginning of a generator.
                    self._give_up(number, owed=message is None)
                raise
        finally:
            if turns.owner == me:
                turns.owner = None
            if turns.waiting or mail.untold:
                try:
                    self.after_turn()
                except KeyboardInterrupt:
                    if message is not None:
                        self.abandon(number)
                    raise

    # In a function of its own, as are all loops of whoever has the turn: CPython 3.12 to 3.14
    # leave the jump back out of the `try` around it, and Ctrl-C there would leave the turn taken.
    def _await_reply(self, number: int, timeout: float | None, deadline: float | None) -> None:
        """Receive until a reply is the next to be taken; drop those before it."""
        replies = self.mail.replies
        while True:
            while replies:
                if replies[0][0] == number:
                    return
                # Otherwise it is the late reply to a call that was given up.
                if replies[0][0] > self.session.asked:
                    self._refuse_unasked()
                replies.popleft()
            self.wire.receive_some(timeout, deadline)

    def forget(self, number: int, *, ended: bool = False) -> None:
        """Drop what a generator gives from now on, and have the server end it.

        It never waits, and is sent later if need be: the garbage collector may call this.

        Args:
            number: of the call that returned it.
            ended: it has come to its end, so there is nothing for the server to do.
        """
        if self.mail.give_up(number) and not ended:
            self.mail.untold.append((number, True))
            self._tell()

    def abandon(self, number: int) -> None:
        """Have the server end a call whose reply was lost by Ctrl-C: it may be a generator."""
        if self.session.framed:
            self.mail.items.pop(number, None)
            self.mail.untold.append((number, False))
            self._tell()

    def after_turn(self) -> None:
        """Do what others have wanted during a call."""
        self.turns.wake()
        self._tell()

    def _tell(self) -> None:
        """Tell the server of what was given up, or leave that to the thread in a call."""
        me, turns, untold = threading.get_ident(), self.turns, self.mail.untold
        if turns.owner == me:
            return
        tried = False
        while untold and not tried:  # another thread may have more just before the turn is over
            try:
                turns.try_to_take(me)
                tried = turns.owner != me or self.wire.closed is not None
                if not tried:
                    self.send_notices()
            finally:
                if turns.owner == me:
                    turns.owner = None
                if turns.waiting:
                    turns.wake()

    def close(self) -> None:
        """Close the connection; a call in another thread ends with an error. May be repeated."""
        wire = self.wire
        if wire.closed is None:
            wire.closed = closed_by_us(self.where)
        wire.wake()
        me, turns = threading.get_ident(), self.turns
        if turns.owner == me:
            wire.close()
            return
        # The thread in a call must have let go of the descriptor, or it might use its successor.
        try:
            turns.take(me, time.monotonic() + _CLOSE_TIMEOUT)
            wire.close()
        finally:
            if turns.owner == me:
                turns.owner = None
            if turns.waiting:
                turns.wake()

    def _after_fork(self) -> None:
        self.turns.after_fork()
        self.wire.leave(
            belongs_to_parent(
                f"the connection to {self.where}", "make another client in this process"
            )
        )

    def refuse_reentry(self, what: str) -> None:
        """Raise what a call raises in the middle of another one of the same thread."""
        if self.wire.closed is not None:
            raise ConnectionResetError(f"{what}: {self.wire.closed}")
        raise RuntimeError(
            f"{what}: this thread is in another call on {self.where} "
            "(a signal handler cannot call in the middle of a call)"
        )

    def wait_for_turn(self, what: str, me: int, started: float, deadline: float | None) -> None:
        """Wait until it is the turn of this thread; errors are those of `exchange`."""
        if self.turns.owner != me and not self.turns.take(me, deadline):
            raise timeout_error(f"{what}, waiting for another thread's call", self.where, started)
        if self.wire.closed is not None:
            raise ConnectionResetError(f"{what}: {self.wire.closed}")

    def send(self, pieces: list[Piece], timeout: float | None, deadline: float | None) -> None:
        """Send a message, and before it what the server has yet to be told."""
        session = self.session
        mail = self.mail
        owed = bool(mail.unwanted or mail.items) if session.framed else session.owed > 0
        if mail.replies or not session.framed:
            self._check_unasked(owed)
        if mail.untold or mail.notices:
            mail.collect_notices()
            self.wire.send([bytes(mail.notices)], timeout, deadline, owed)
            mail.notices.clear()
        self.wire.send(pieces, timeout, deadline, owed)

    def _check_unasked(self, owed: bool) -> None:
        """Refuse what nobody had asked for: it would pass for the reply to the next request."""
        session = self.session
        if any(number > session.asked for number, *_ in self.mail.replies) or (
            not session.framed and not owed and session.incoming.pending_size
        ):
            self._refuse_unasked()

    def _refuse_unasked(self) -> NoReturn:
        self.wire.fail(f"{self.where} sent a message that nobody had asked for")
        raise ConnectionAbortedError(self.wire.closed)

    def _give_up(self, number: int, *, owed: bool = True) -> None:
        """Have the server end a call whose reply nobody waits for any more."""
        if self.session.framed:
            self.mail.untold.append((number, owed))
            self.send_notices()

    def send_notices(self) -> None:
        """Tell the server of calls that were given up, if that can be sent at once."""
        if self.wire.closed is None:
            self.mail.collect_notices()
            self.wire.try_to_send(self.mail.notices)
