"""Progress of calls that carry much, told to a function of the program. No sockets here."""

from __future__ import annotations

from contextlib import contextmanager

from sipyco_rpc._client.timeouts import key_of, limits, reported, reporters

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any, Final, TypeAlias

    from sipyco_rpc.net.sender import Sender
    from sipyco_rpc.support.memory import Piece
    from sipyco_rpc.wire.client_session import ClientSession
    from sipyco_rpc.wire.session import OutgoingMessage

    # "sent" or "received", the bytes so far, and how many there will be if that is known.
    Callback: TypeAlias = Callable[[str, int, int | None], object]

_INTERVAL: Final = 0.1  # seconds between two looks at what an event loop has sent; people see it
_LARGE: Final = 64 * 1024  # bytes; what is smaller goes at once
_SLICE: Final = 64 * 1024  # bytes that are sent as one; a system call takes some dozens of them
_STEP: Final = 1024 * 1024  # bytes sent between two calls of the callback
_NOBODY: Final = (object(), None)  # a limit that holds for no client: something is to be looked at


@contextmanager
def call_progress(client: object, callback: Callback) -> Iterator[None]:
    """Tell how far each call has come that is made inside a `with` block.

        def show(direction: str, done: int, total: int | None) -> None:
            print(direction, done, "of", total, "bytes")

        with call_progress(camera, show):
            image = camera.acquire()

    It is a function, not a method of the client, so that no remote method can be hidden by it.
    Messages of less than 64 KiB, which go at once, are not told of. What a generator gives that
    was called inside the block is told of item by item, while the block lasts.

    The callback is called where the bytes are: in the thread that makes the call, or by the event
    loop. It must be quick, and must not call the client.

    Args:
        client: a `Client`, `AsyncioClient` or `BestEffortClient`; None for all clients of this
            thread or task.
        callback: is called with `"sent"` or `"received"`, the number of bytes so far, and how many
            there will be; that is None for what comes from a server that does not speak frames.

    Raises:
        TypeError: `client` is none of these.
        Exception: what the callback has raised, when the block is left; it is not called again.
    """
    key = None if client is None else key_of(client)
    if client is not None and key is None:
        raise TypeError(f"call_progress needs a client of sipyco, or None, got {client!r}")
    reporter = Reporter(callback)
    before = limits.set((_NOBODY, *limits.get()))
    token = reporters.set(((key, reporter), *reporters.get()))
    try:
        yield
    finally:
        reporter.ended = True
        reporters.reset(token)
        limits.reset(before)
    if reporter.error is not None:
        raise reporter.error


class Reporter:
    """Calls the callback, and keeps what it raises.

    Attributes:
        ended: nothing is to be told any more.
        error: what the callback has raised, or None.
    """

    def __init__(self, callback: Callback) -> None:
        self.ended = False
        self.error: Exception | None = None
        self._callback = callback

    def report(self, direction: str, done: int, total: int | None) -> None:
        """Tell how far a message has come."""
        if self.ended:
            return
        try:
            self._callback(direction, done, total)
        except Exception as exc:  # noqa: BLE001  (here it would pass for an error of the network)
            self.ended, self.error = True, exc

    def reported(
        self, session: ClientSession, make: Callable[..., OutgoingMessage]
    ) -> ReportedRequest:
        """Give what makes a request, and has the progress of it and its reply told."""
        return ReportedRequest(self, session, make)


class Watch:
    """Whose messages are on their way: the requests that are told of, by their numbers."""

    def __init__(self) -> None:
        self._requests: dict[int, ReportedRequest] = {}

    def add(self, number: int, request: ReportedRequest) -> None:
        """Tell a request of the messages of its number; forget those that are not alive."""
        kept = {n: old for n, old in self._requests.items() if request.alive(n) and not old.ended}
        self._requests = {**kept, number: request}

    def __call__(self, number: int, done: int, total: int | None) -> None:
        """Take note of a part of a message."""
        request = self._requests.get(number)
        if request is not None:
            request.received(done, total)


class ReportedRequest:
    """Makes a request; what is sent of it, and received of its reply, is told."""

    def __init__(
        self, reporter: Reporter, session: ClientSession, make: Callable[..., OutgoingMessage]
    ) -> None:
        self._reporter = reporter
        self._session = session
        self._make = make
        self._pieces: ReportedPieces | None = None  # once it is made
        self.by_loop = False  # it is sent by a `Sender`, which removes nothing
        # Of whose call messages may still come, by its number.
        self.alive: Callable[[int], bool] = session.streams.__contains__

    def __call__(self, *arguments: Any) -> OutgoingMessage:
        number, made = self._make(*arguments)
        self._pieces = pieces = ReportedPieces(made, self._reporter)
        incoming = self._session.incoming
        watch = incoming.report
        if not isinstance(watch, Watch):
            watch = incoming.report = Watch()
        watch.add(number, self)
        return number, made if self.by_loop else pieces

    @property
    def ended(self) -> bool:
        """Whether nothing is to be told any more."""
        return self._reporter.ended

    def received(self, done: int, total: int | None) -> None:
        """Tell how much has come of the reply: all of the request was sent before."""
        if self.by_loop:
            self.tell_sent(0)
        self._reporter.report("received", done, total)

    def tell_sent(self, left: int) -> None:
        """Tell how much of it is still to be sent, where nobody removes what is."""
        if self._pieces is not None:
            self._pieces.tell(left)

    def forget(self) -> None:
        """Let go of what was to be sent."""
        self._pieces = None

    def kept(self, arguments: tuple[Any, ...]) -> tuple[ReportedRequest, tuple[Any, ...]]:
        """Do what `ClientSession.kept` does."""
        self._make, arguments = self._session.kept(self._make, arguments)
        return self, arguments


class ReportedPieces(list["Piece"]):
    """What is to be sent of a message. Whoever sends it removes what is sent, which is told."""

    def __init__(self, pieces: Iterable[Piece], reporter: Reporter) -> None:
        super().__init__()
        for piece in pieces:
            # A socket that waits comes back when all is sent that it was given.
            self += [memoryview(piece)[at : at + _SLICE] for at in range(0, len(piece), _SLICE)]
        self._total = self._left = sum(map(len, self))
        self._sent = 0
        self._report = reporter.report

    def __setitem__(self, index: Any, piece: Any) -> None:
        self._left -= len(self[index]) - len(piece)
        super().__setitem__(index, piece)
        self.tell(self._left)

    def __delitem__(self, index: Any) -> None:
        self._left -= len(self[index])
        super().__delitem__(index)
        self.tell(self._left)

    def tell(self, left: int) -> None:
        """Tell how much has been sent, if it is worth it."""
        sent = max(0, self._total - left)
        due = sent >= self._sent + _STEP or self._sent < sent == self._total
        if due and self._total > _LARGE:
            self._sent = sent
            self._report("sent", sent, self._total)


@contextmanager
def told_by_loop(
    key: object, session: ClientSession, sender: Sender, waiting: Mapping[int, object]
) -> Iterator[Callable[..., OutgoingMessage]]:
    """Tell what an event loop sends of a call, which it does by itself, if that is asked for.

    Args:
        key: of the client.
        session: of its connection.
        sender: what the call is put into.
        waiting: the calls that have not been answered, by their numbers.

    Returns:
        What makes the request.
    """
    request = reported(key, session, session.request_call)
    if not isinstance(request, ReportedRequest):
        yield request
        return
    import asyncio

    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle
    request.by_loop = True
    request.alive = lambda number: number in session.streams or number in waiting

    def look() -> None:
        nonlocal timer
        request.tell_sent(sender.backlog)
        timer = loop.call_later(_INTERVAL, look)

    timer = loop.call_later(_INTERVAL, look)
    try:
        yield request
        request.tell_sent(0)
    finally:
        timer.cancel()
        request.forget()
