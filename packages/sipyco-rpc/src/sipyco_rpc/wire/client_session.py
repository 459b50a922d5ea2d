"""The client's side of an RPC conversation as bytes and messages. No sockets here."""

from __future__ import annotations

from sipyco_pyon import pyon
from sipyco_rpc.limits import MAX_LINE
from sipyco_rpc.support.memory import copy_of, is_constant
from sipyco_rpc.support.quoting import excerpt, short_message
from sipyco_rpc.wire.client_handshake import ClientHandshake, exception_in, text_of
from sipyco_rpc.wire.frames import pack_frame
from sipyco_rpc.wire.lines import LineTooLong
from sipyco_rpc.wire.session import IncompatibleServer

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, Final

    from sipyco_rpc.wire.messages import Message
    from sipyco_rpc.wire.session import Body, OutgoingMessage

GENERATOR: Final = object()  # stands for the result of a method whose items are to come
_NO_KWARGS: Final = b',"kwargs":{}}'


class ClientSession(ClientHandshake):
    """The client's side of one connection: calls, and what comes of them.

    After the handshake any number of `call`, `get_property` and the like, each made a `request`
    and answered by one message for `receive_reply`. A request is a pair: the number of the message
    that answers it, and what is to be sent, piece by piece.

    Args:
        max_message: longest message to accept, in bytes.
    """

    def __init__(self, max_message: int = MAX_LINE) -> None:
        super().__init__(max_message)
        self._prefixes: dict[str, bytes] = {}  # how the requests to call a method begin

    def request(self, body: Body) -> OutgoingMessage:
        """Make the next request; once it is sent, `requests_sent` has to be increased by one."""
        return self.requests_sent + 1, self.pack(self.requests_sent + 1, body)

    def call(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Body:
        """Give the body of a call.

        Raises:
            TypeError: an argument cannot be encoded.
        """
        if kwargs or not self.framed:
            values = list(args) if self.framed else tuple(args)
            return self.body(
                {"action": "call", "name": name, "args": values, "kwargs": dict(kwargs)}
            )
        # The same text, of which only a part is new with each call.
        prefix = self._prefixes.get(name)
        if prefix is None:
            prefix = b'{"action":"call","name":%b,"args":' % pyon.encode_bytes(name)
            self._prefixes[name] = prefix
        text, buffers = self._encode(list(args))
        return prefix + text + _NO_KWARGS, buffers

    def request_call(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> OutgoingMessage:
        """Give a call as a request: what `request(call(…))` gives, in fewer steps."""
        prefix = self._prefixes.get(name)
        if prefix is None or kwargs:
            return self.request(self.call(name, args, kwargs))
        number = self.requests_sent + 1
        text, buffers = self._encode(list(args))
        if buffers:
            return number, pack_frame(number, prefix + text + _NO_KWARGS, buffers)
        length = len(prefix) + len(text) + len(_NO_KWARGS)
        return number, [b"#%d %d\n%b%b%b" % (number, length, prefix, text, _NO_KWARGS)]

    def kept(
        self, make: Callable[..., OutgoingMessage], arguments: tuple[Any, ...]
    ) -> tuple[Callable[..., OutgoingMessage], tuple[Any, ...]]:
        """Give what makes the same request later, whatever becomes of its arguments meanwhile.

        Args:
            make: `request_call`, `request`, or what needs no values of others.
            arguments: what it is to be called with.

        Raises:
            MemoryError: there is not enough memory for copies.
            TypeError: an argument cannot be encoded.
        """
        if make == self.request_call:
            body = self.call(*arguments)
        elif make == self.request:
            body = arguments[0]
        else:
            return make, arguments
        text, buffers = body
        copies = [buffer if is_constant(buffer) else copy_of(buffer) for buffer in buffers]
        return self.request, ((text, copies),)

    def list_methods(self) -> Body:
        """Give the body of the request for the signatures and docstrings."""
        return self.body({"action": "get_rpc_method_list"})

    def get_property(self, name: str) -> Body:
        """Give the body of the request for the value of a property."""
        return self.body({"action": "get_property", "name": name})

    def set_property(self, name: str, value: Any) -> Body:
        """Give the body of the request that gives a property a value.

        Raises:
            TypeError: it cannot be encoded.
        """
        return self.body({"action": "set_property", "name": name, "value": value})

    def ping(self) -> Body:
        """Give the body of the request that is answered at once."""
        return self.body({"action": "ping"})

    def ask_status(self) -> Body:
        """Give the body of the request for the server's status."""
        return self.body({"action": "status"})

    def receive_reply(self, message: Message) -> Any:
        """Take the reply to a request.

        Returns:
            What the method returned; `GENERATOR` if that is one.

        Raises:
            Exception: what the method raised.
            LineTooLong: the reply was, and has been dropped.
            IncompatibleServer: the message is not a reply.
            TypeError, ImportError: the value is of a type that is not known here.
        """
        status, value = self._receive(message)
        if status == "ok":
            return value
        if status == "failed":
            raise value
        if status == "stream":
            return GENERATOR
        raise IncompatibleServer("expected a reply, got an item of a generator")

    def receive_item(self, message: Message) -> tuple[bool, Any]:
        """Take what a generator gives.

        Returns:
            Whether it goes on, and the item. If it does not, in place of an item: None, or the
            exception that the generator raised.

        Raises:
            LineTooLong, IncompatibleServer, TypeError, ImportError: as `receive_reply`.
        """
        status, value = self._receive(message)
        if status == "stream":
            raise IncompatibleServer("expected an item of a generator, got the beginning of one")
        if status == "item":
            return True, value
        self.streams.pop(message[0], None)
        return False, None if status == "ok" else value

    def cancel_stream(self, number: int) -> None:
        """Drop what a generator gives from now on, and have the server end it unless it has ended.

        Any thread may call this, and the garbage collector.
        """
        queue = self.streams.pop(number, None)
        if queue is not None and not (queue and self._is_last(queue[-1])):
            self.pending_cancels.append((number, True))

    def _is_last(self, message: Message) -> bool:
        """Tell whether a message of a generator is known to be its last."""
        try:
            more, _ = self.receive_item(message)
        except Exception:  # noqa: BLE001  (whatever it is, it is not known to be the last)
            return False
        return not more

    def receive_value(self, message: Message) -> Any:
        """Take the reply to what returns no generator; errors are those of `receive_reply`."""
        value = self.receive_reply(message)
        if value is GENERATOR:
            raise IncompatibleServer("expected a value, got the beginning of a generator")
        return value

    def receive_listing(self, message: Message) -> dict[str, Any]:
        """Take the reply to `list_methods`; errors are those of `receive_reply`."""
        listing = self.receive_value(message)
        if not isinstance(listing, dict) or not isinstance(listing.get("methods"), dict):
            raise IncompatibleServer(
                f"expected a listing of methods, got {excerpt(text_of(message))}"
            )
        return listing

    def receive_pong(self, message: Message) -> None:
        """Take the reply to `ping`. An older server refuses that, which takes as long.

        Raises:
            IncompatibleServer, LineTooLong: as `receive_reply`.
        """
        status, _ = self._receive(message)
        if status not in ("ok", "failed"):
            raise IncompatibleServer("expected a reply, got an item of a generator")

    def receive_status(self, message: Message) -> dict[str, Any]:
        """Take the reply to `ask_status`.

        Raises:
            IncompatibleServer: the server does not tell its status, or tells what is none.
            LineTooLong: as `receive_reply`.
        """
        kind, status = self._receive(message)
        if kind == "failed":
            reason = f"{type(status).__name__}: {short_message(status)}"
            raise IncompatibleServer(
                "the server does not tell its status: it is of an older version, or its status is "
                f"switched off (it said: {reason})"
            )
        if kind != "ok" or not isinstance(status, dict):
            raise IncompatibleServer(f"expected a status, got {excerpt(text_of(message))}")
        return status

    def _receive(self, message: Message) -> tuple[str, Any]:
        _, text, buffers = message
        if isinstance(text, LineTooLong):
            raise text
        try:
            if self.framed:
                reply = pyon.decode(text, buffers=buffers)
            else:
                reply = self._decode(text, buffers)
            status = reply["status"] if isinstance(reply, dict) else None
            if not isinstance(status, str):
                raise ValueError("not a reply")
            if status == "ok":
                return "ok", reply["ret"]
            if self.framed and status == "item":
                return "item", reply["ret"]
            if self.framed and status == "stream":
                return "stream", None
            return "failed", exception_in(reply)
        except MemoryError as exc:
            size = len(text) + sum(map(len, buffers))
            raise self._no_memory_to("decode a reply of", size, exc) from exc
        except (KeyError, ValueError, RecursionError) as exc:
            raise IncompatibleServer(
                f"expected a reply in {self._dialect}, got {excerpt(text)}: {short_message(exc)}"
            ) from exc
