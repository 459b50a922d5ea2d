"""The client's side of an RPC conversation as bytes and messages. No sockets here."""

from __future__ import annotations

from sipyco_pyon import pyon
from sipyco_rpc.support.memory import copy_of, is_constant
from sipyco_rpc.support.quoting import excerpt, short_message
from sipyco_rpc.wire.exceptions import unpack_exception
from sipyco_rpc.wire.frames import pack_frame
from sipyco_rpc.wire.lines import MAX_LINE, LineTooLong
from sipyco_rpc.wire.session import (
    BANNER,
    FRAMES,
    MAX_NAME,
    PYON_V2,
    AutoTarget,
    IncompatibleServer,
    Session,
)

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, Final

    from sipyco_rpc.support.memory import Text
    from sipyco_rpc.wire.messages import Message
    from sipyco_rpc.wire.session import Body, OutgoingMessage


_NO_KWARGS: Final = b',"kwargs":{}}'

# Of a greeting that is Python source, in bytes: to parse it takes up to 550 times of the memory.
_MAX_LITERAL: Final = 64 * 1024

# Of the names of targets that an error shows, in characters; programs parse them.
_MAX_NAMES: Final = 2000


class Stream:
    """Stands for the result of a method that returns a generator: its items are to come."""


class ClientSession(Session):
    """The client's side of one connection.

    The order is `hello`, `receive_identification`, `select`, `receive_methods`, then any number
    of `call` and `list_methods`, each made a `request` and answered by one message for
    `receive_reply`. A request is a pair: the number of the message that answers it, and what is
    to be sent, piece by piece.

    Without frames replies come in the order of the requests, so their numbers are counted.

    Args:
        max_message: longest message to accept, in bytes.

    Attributes:
        asked: how many requests were sent, the handshake's among them.
    """

    def __init__(self, max_message: int = MAX_LINE) -> None:
        super().__init__(max_message)
        self.asked = 0
        self.target_names: list[str] = []
        self.description: str | None = None
        self.selected_target: str | None = None
        # The callable names of the selected target; empty before.
        self.methods: frozenset[str] = frozenset()
        self._features: frozenset[str] = frozenset()
        self._prefixes: dict[str, bytes] = {}  # how the requests to call a method begin

    @property
    def owed(self) -> int:
        """How many lines the server has yet to send."""
        return self.asked - self.incoming.lines

    def request(self, body: Body) -> OutgoingMessage:
        """Make the next request; once it is sent, `asked` has to be increased by one."""
        return self.asked + 1, self.pack(self.asked + 1, body)

    def hello(self) -> OutgoingMessage:
        """Give the first bytes to send."""
        return self.asked + 1, [BANNER]

    def receive_identification(self, message: Message) -> None:
        """Take the server's greeting.

        Raises:
            IncompatibleServer: it is not the greeting of an RPC server.
        """
        line = _text(message)
        try:
            text = line.decode()
            try:
                greeting = pyon.decode(text)  # it is plain JSON; this is there, `json` may not be
            except ValueError:
                if len(line) > _MAX_LITERAL:
                    raise
                import ast  # only servers of the first years need it

                greeting = ast.literal_eval(text.strip())
            target_names = greeting["targets"]
            description = greeting["description"]
            features = greeting.get("features", ())
            if not (
                isinstance(target_names, (list, tuple))
                and all(isinstance(name, str) for name in target_names)
                and (description is None or isinstance(description, str))
                and isinstance(features, (list, tuple))
            ):
                raise TypeError("a member of the greeting has the wrong type")
        except Exception as exc:  # what is no greeting may be an array, for example
            raise IncompatibleServer(
                f"not an RPC server: expected its identification, got {excerpt(line)}"
            ) from exc
        self.target_names = list(target_names)
        self.description = description
        self._features = frozenset(word for word in features if isinstance(word, str))

    def select(self, target_name: str | type[AutoTarget]) -> OutgoingMessage:
        """Choose a target, and give the line that tells the server.

        Raises:
            ValueError: `AutoTarget`, but there are several; or one was selected before.
            IncompatibleServer: the server does not have the target, or none at all.
        """
        if self.selected_target is not None:
            raise ValueError(f"target `{self.selected_target}` has been selected already")
        if not self.target_names:
            raise IncompatibleServer("the server has no targets")
        if isinstance(target_name, str):
            if target_name not in self.target_names:
                raise IncompatibleServer(
                    f"no target `{target_name}`; valid target name(s): {self._names()}"
                )
            selected = target_name
        elif target_name is AutoTarget:
            if len(self.target_names) > 1:
                # Programs parse this text.
                raise ValueError(f"Server has multiple targets: {self._names()}")
            selected = self.target_names[0]
        else:
            raise TypeError(f"a target name is a str or AutoTarget, got {target_name!r}")
        # JSON may have what is no text.
        if not selected.isprintable() or len(selected) > MAX_NAME:
            raise IncompatibleServer(f"no target can have the name '{excerpt(selected)}'")
        word = selected.encode()
        self.selected_target = selected
        features = [PYON_V2, FRAMES] if PYON_V2 in self._features else []
        features = [feature for feature in features if feature in self._features]
        self._use(features)
        line = b" ".join([word, *[feature.encode() for feature in features]]) + b"\n"
        return 0 if self.framed else self.asked + 1, [line]

    def _names(self) -> str:
        """Give the names of the targets for an error."""
        return excerpt(" ".join(self.target_names), _MAX_NAMES)

    def receive_methods(self, message: Message) -> None:
        """Take the names that may be called.

        Raises:
            IncompatibleServer: the message is not a set of names.
            Exception: what the server raised when it made the target for this connection.
        """
        text = _text(message)
        try:
            names = self._dialect.decode(text, message[2])
            if names == {} and isinstance(names, dict):
                names = set()  # how an empty set looks in PYON v1
            failed = isinstance(names, dict) and names.get("status") == "failed"
            if not failed and not (
                isinstance(names, set) and all(isinstance(name, str) for name in names)
            ):
                raise TypeError("not a set of names")
        except Exception as exc:
            raise IncompatibleServer(
                f"expected the names of the methods of `{self.selected_target}`, "
                f"got {excerpt(text)}"
            ) from exc
        if failed:
            _, error = self._receive(message)
            what = f"The server could not make the target `{self.selected_target}`."
            error.__notes__ = [what, *getattr(error, "__notes__", ())]
            raise error
        self.methods = frozenset(names)

    def call(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Body:
        """Give the body of a call.

        Raises:
            TypeError: an argument cannot be encoded.
        """
        if not self.framed:
            return self.body(
                {"action": "call", "name": name, "args": tuple(args), "kwargs": dict(kwargs)}
            )
        if kwargs:
            return self.body(
                {"action": "call", "name": name, "args": list(args), "kwargs": dict(kwargs)}
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
        if not self.framed or kwargs or name not in self._prefixes:
            return self.request(self.call(name, args, kwargs))
        number = self.asked + 1
        prefix = self._prefixes[name]
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

    def cancel(self, call_id: int) -> bytes:
        """Give the frame that asks the server to end a call; it is not answered by itself."""
        return b"".join(pack_frame(call_id, b'{"action":"cancel"}'))

    def allow_items(self, call_id: int, count: int) -> bytes:
        """Give the frame that lets a generator give so many more items."""
        return b"".join(pack_frame(call_id, b'{"action":"next","n":%d}' % count))

    def receive_reply(self, message: Message) -> Any:
        """Take the reply to a request.

        Returns:
            What the method returned; `Stream` if that is a generator.

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
            return Stream
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
        return status == "item", None if status == "ok" else value

    def receive_listing(self, message: Message) -> dict[str, Any]:
        """Take the reply to `list_methods`; errors are those of `receive_reply`."""
        listing = self.receive_reply(message)
        if not isinstance(listing, dict) or not isinstance(listing.get("methods"), dict):
            raise IncompatibleServer(
                f"expected a listing of methods, got {excerpt(_text(message))}"
            )
        return listing

    def _receive(self, message: Message) -> tuple[str, Any]:
        _, text, buffers = message
        if isinstance(text, LineTooLong):
            raise text
        try:
            if self.framed:
                reply = pyon.decode(text, buffers=buffers)
            else:
                reply = self._dialect.decode(text, buffers)
            status = reply["status"] if isinstance(reply, dict) else None
            if not isinstance(status, str):
                raise ValueError("not a reply")
            if status == "ok":
                return "ok", reply["ret"]
            if self.framed and status == "item":
                return "item", reply["ret"]
            if self.framed and status == "stream":
                return "stream", None
            # A small server may send a text and nothing else.
            failure = reply.get("exception", reply.get("message"))
            if status != "failed" or not isinstance(failure, (dict, str)):
                raise ValueError("not a reply")
        except MemoryError as exc:
            size = len(text) + sum(map(len, buffers))
            raise self._no_memory_to("decode a reply of", size, exc) from exc
        except (KeyError, ValueError, RecursionError) as exc:
            raise IncompatibleServer(
                f"expected a reply in {self._dialect.name}, got {excerpt(text)}: "
                f"{short_message(exc)}"
            ) from exc
        return "failed", unpack_exception(failure)


def _text(message: Message) -> Text:
    text = message[1]
    if isinstance(text, LineTooLong):
        raise text
    return text
