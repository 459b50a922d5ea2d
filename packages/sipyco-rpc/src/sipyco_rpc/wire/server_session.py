"""The server's side of an RPC conversation: bytes in, events out, and back. No sockets here."""

from __future__ import annotations

import fractions  # noqa: F401  (loaded while there are descriptors for it)
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from sipyco_pyon import pyon, pyon_v1  # noqa: F401  (likewise)
from sipyco_rpc.limits import MAX_CALLS, MAX_GENERATORS, MAX_LINE
from sipyco_rpc.support.quoting import excerpt, short_message
from sipyco_rpc.wire.exceptions import pack_exception, without_arguments
from sipyco_rpc.wire.frames import pack_frame
from sipyco_rpc.wire.lines import LineTooLong
from sipyco_rpc.wire.requests import CallRequest, CancelRequest, NextRequest, parse_request
from sipyco_rpc.wire.server_handshake import ServerHandshake, TargetSelected
from sipyco_rpc.wire.session import ProtocolError, Session, size_of

if TYPE_CHECKING:
    from sipyco_rpc.support.memory import Piece, Text
    from sipyco_rpc.wire.messages import Message
    from sipyco_rpc.wire.requests import Request
    from sipyco_rpc.wire.server_handshake import BannerReceived

_LENGTH_OF_OK: Final = len(b'{"status":"ok","ret":}')
_OF_CALLS: Final = (NextRequest, CancelRequest)  # what is about a call, and has its number
_RESULT: Final = "the result"  # what errors call it
_NEEDS_FRAMES: Final = (
    "the method returns a generator; its items can only be sent to clients that select `frames`"
)


class ServerSession(Session):
    """The server's side of one connection.

    What comes in goes to `incoming`. While `next_event` gives something, the handshake goes on;
    after `accept`, each message is for `receive_request`. What is to be sent is returned.

    Args:
        target_names: what clients may select.
        description: free text for the greeting, or None.
        plain_float64: write `numpy.float64` scalars as plain JSON numbers.
        frames: offer frames.
        status: take requests for the status.
        properties: offer requests about properties.
        max_message: longest request to accept, in bytes.

    Attributes:
        handshake: how the conversation begins, and how far that has come.
        credit: how many items the client has asked for and not been sent, by the numbers of the
            calls that have returned a generator.
    """

    _where = " on the server"

    def __init__(
        self,
        target_names: Iterable[str],
        description: str | None = None,
        *,
        plain_float64: bool = False,
        frames: bool = True,
        status: bool = True,
        properties: bool = False,
        max_message: int = MAX_LINE,
    ) -> None:
        super().__init__(max_message, plain_float64=plain_float64)
        self.credit: dict[int, int] = {}
        self.handshake = ServerHandshake(
            self.incoming, target_names, description, frames, properties
        )
        # The calls that have yet to be answered: the bytes of their requests, by their numbers.
        self._calls: dict[int, int] = {}
        self._status = status
        self._size = 0  # of all of them
        self._max_size = 2 * max_message
        self._streams = 0  # generators that have not been closed

    # The handshake.

    def next_event(self) -> BannerReceived | TargetSelected | None:
        """Take the next step of the handshake; to be called until there is none.

        Returns:
            What the client has said: a `TargetSelected` is to be answered by `accept` or `refuse`.
            None if more has to come, or the handshake is over.

        Raises:
            ProtocolError: it has said something else.
        """
        event = self.handshake.next_event()
        if type(event) is TargetSelected:
            self._use(event.features)
        return event

    def accept(self, names: Iterable[str], properties: Iterable[str] = ()) -> list[Piece]:
        """Tell the client what methods the target has that it has selected, and what properties.

        Of properties only a client hears that has asked for them.
        """
        methods = set(names)
        if not self.has_properties:
            return self.pack(0, self.body(methods))
        return self.pack(
            0, self.body({"methods": methods, "properties": set(properties) - methods})
        )

    def refuse(self, exception: BaseException) -> list[Piece]:
        """Tell the client, if it can be told, why there is no target; the connection is over."""
        # Without frames it would be taken for the names of methods.
        return self._failure(0, exception) if self.framed else []

    # Requests.

    def under_way(self, number: int) -> bool:
        """Tell whether a number is that of a call that has not been answered to the end."""
        return number in self._calls or number in self.credit

    @property
    def busy(self) -> bool:
        """Whether the next request has to wait until one that is under way has been answered.

        Lines are answered one after another, frames side by side.
        """
        calls = self._calls
        if not calls:
            return False
        return not self.framed or len(calls) >= MAX_CALLS or self._size > self._max_size

    def receive_request(self, message: Message) -> Request:
        """Take a request.

        Raises:
            ProtocolError: its number cannot be that of a request; the connection cannot go on.
            ValueError: it is not PYON, or not a request; the text says what was expected.
                `LineTooLong`: it was, and has been dropped. As for the following: `fail` it.
            MemoryError: there is not enough.
            KeyError: it has no `action`.
            TypeError: it holds a value of a type that is not known here.
        """
        number, text, buffers = message
        try:
            request = self._read(text, buffers)
        except Exception as exc:
            if self.under_way(number):
                raise ProtocolError(
                    f"a second request with the number {number}: {short_message(exc)}"
                ) from exc
            raise
        if type(request) is CallRequest or not isinstance(request, _OF_CALLS):
            if not number:
                raise ProtocolError("the number of a call is 1 or more, got 0")
            if number in self._calls or number in self.credit:
                raise ProtocolError(f"call number {number} is under way already")
            size = len(text)  # type: ignore[arg-type]  # it is no error: it could be decoded
            if buffers:
                size += sum(map(len, buffers))
            self._calls[number] = size
            self._size += size
        elif isinstance(request, NextRequest) and number in self.credit:
            self.credit[number] += request.items
        return request

    def _read(self, text: Text | LineTooLong, buffers: list[Any]) -> Request:
        if isinstance(text, LineTooLong):
            if isinstance(text, MemoryError):
                raise MemoryError(f"{text}{self._where}")
            raise text
        try:
            if self.framed:
                value = pyon.decode(text, buffers=buffers)
            else:
                value = self._decode(text, buffers)
        except MemoryError as exc:
            size = len(text) + sum(map(len, buffers))
            raise self._no_memory_to("decode a request of", size, exc) from exc
        except UnicodeDecodeError:
            raise ValueError(f"the request is not UTF-8 text: {excerpt(text)}") from None
        except ValueError as exc:
            raise ValueError(
                f"the request is not {self._dialect}: {short_message(exc)}: {excerpt(text)}"
            ) from exc
        if not isinstance(value, dict):
            raise ValueError(f"a request is a dictionary, got {excerpt(text)}")
        action = value.get("action")
        if type(action) is str and action == "call":
            name, args, kwargs = value.get("name"), value.get("args"), value.get("kwargs")
            if type(name) is str and type(args) is list and type(kwargs) is dict and not kwargs:
                return tuple.__new__(CallRequest, (name, args, kwargs))  # as nearly always
        return parse_request(value, self.framed, self._status, self.has_properties)

    # Replies.

    def encodable(self, value: Any) -> bool:
        """Tell whether a value can be sent in the dialect of this connection."""
        try:
            self._to_line(value)
        except Exception:  # noqa: BLE001  (any error means no)
            return False
        return True

    def reply(self, number: int, value: Any) -> list[Piece]:
        """Answer a call with what its method has returned.

        Raises:
            TypeError: the value cannot be encoded; the text tells the place of what cannot.
                `fail` the call instead.
        """
        if self.framed:
            # What is nearly always sent, in fewer steps than `_encode` and `pack_frame` take.
            buffers: list[memoryview] = []
            try:
                text = pyon.encode_bytes(
                    value,
                    plain_float64=self._plain_float64,
                    buffer_callback=buffers.append,
                    name=_RESULT,
                )
            except MemoryError as exc:
                raise self._no_memory_to("encode", size_of(value), exc) from exc
            if buffers:
                pieces = pack_frame(number, b'{"status":"ok","ret":%b}' % text, buffers)
            else:
                length = len(text) + _LENGTH_OF_OK
                pieces = [b'#%d %d\n{"status":"ok","ret":%b}' % (number, length, text)]
        else:
            try:
                pieces = [self.body({"status": "ok", "ret": value})[0]]
            except (AssertionError, TypeError, ValueError) as exc:
                raise self._error_of_part(exc, (_RESULT, value)) from None
        self._size -= self._calls.pop(number)
        return pieces

    def stream(self, number: int) -> list[Piece]:
        """Answer a call whose method has returned a generator; items follow as they are asked for.

        Raises:
            TypeError: this client cannot take items; `fail` the call instead.
            RuntimeError: it has too many generators; likewise.
        """
        if not self.framed:
            raise TypeError(_NEEDS_FRAMES)
        if self._streams >= MAX_GENERATORS:
            raise RuntimeError(f"{MAX_GENERATORS} generators of this client are under way already")
        self._size -= self._calls.pop(number)
        self.credit[number] = 0
        self._streams += 1
        return self.pack(number, (b'{"status":"stream"}', []))

    def stream_closed(self) -> None:
        """Note that nothing of a generator runs any more; its end may have been told before."""
        self._streams -= 1

    def item(self, number: int, value: Any) -> list[Piece]:
        """Give an item of a generator, of those that were asked for; errors are as for `reply`."""
        text, buffers = self._encode(value, "the item")
        self.credit[number] -= 1
        return pack_frame(number, b'{"status":"item","ret":%b}' % text, buffers)

    def end_stream(self, number: int) -> list[Piece]:
        """Tell that a generator has given all its items."""
        del self.credit[number]
        return self.pack(number, (b'{"status":"ok","ret":null}', []))

    def fail(self, number: int, exception: BaseException) -> list[Piece]:
        """Answer a request with an error: that of the request itself, its method or generator."""
        if self.credit.pop(number, None) is None:
            self._size -= self._calls.pop(number, 0)
        return self._failure(number, exception)

    def _failure(self, number: int, exception: BaseException) -> list[Piece]:
        packed = pack_exception(exception)
        if packed["message"] == "" and packed["class"] == "MemoryError":
            packed["message"] = "not enough memory on the server"
            packed.pop("args", None)
        try:
            body = self.body({"status": "failed", "exception": packed})
        except Exception:  # noqa: BLE001  (arguments that cannot be sent in this dialect)
            body = self.body({"status": "failed", "exception": without_arguments(packed)})
        return self.pack(number, body)
