"""The server's side of an RPC conversation as bytes and messages. No sockets here."""

from __future__ import annotations

import fractions  # noqa: F401  (loaded while there are descriptors for it)
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from sipyco_pyon import pyon, pyon_v1  # noqa: F401  (likewise)
from sipyco_rpc.support.quoting import excerpt, short_message, short_repr
from sipyco_rpc.wire.dialect import V2, DialectV2
from sipyco_rpc.wire.exceptions import pack_exception, without_arguments
from sipyco_rpc.wire.frames import pack_frame
from sipyco_rpc.wire.lines import MAX_LINE, LineTooLong
from sipyco_rpc.wire.session import BANNER, FRAMES, MAX_NAME, PYON_V2, ProtocolError, Session

if TYPE_CHECKING:
    from sipyco_rpc.support.memory import Piece
    from sipyco_rpc.wire.messages import Message
    from sipyco_rpc.wire.session import Body

_V2_PLAIN_FLOAT64: Final = DialectV2(plain_float64=True)
_OK: Final = b'{"status":"ok","ret":'
_STREAM: Final = b'{"status":"stream"}'
_MAX_CREDIT: Final = 10**9  # items; more than anyone waits for


class CallRequest(NamedTuple):
    """A request to call a method."""

    name: str
    args: tuple[Any, ...] | list[Any]
    kwargs: dict[str, Any]


class ListRequest(NamedTuple):
    """A request for the signatures and docstrings of the target."""


class CancelRequest(NamedTuple):
    """A request to end the call of this number."""


class NextRequest(NamedTuple):
    """A request for more items of the generator that the call of this number has returned."""

    items: int


AnyRequest: TypeAlias = CallRequest | ListRequest | CancelRequest | NextRequest


def check_target_names(names: Iterable[str]) -> None:
    """Make sure that names can stand in the line that selects a target, and that clients do so.

    Raises:
        ValueError: a name is empty or too long, or has in it white space, or what cannot be
            printed.
    """
    for name in names:
        if not isinstance(name, str) or not name or name.split() != [name]:
            raise ValueError(
                f"a target name is a word without white space, got {short_repr(name)}"
            )
        if not name.isprintable() or len(name) > MAX_NAME:
            raise ValueError(
                f"a target name has at most {MAX_NAME} characters, all of which can be printed, "
                f"got `{excerpt(name)}`"
            )


class ServerSession(Session):
    """The server's side of one connection.

    Args:
        target_names: what clients may select.
        description: free text for the greeting, or None.
        plain_float64: write `numpy.float64` scalars as plain JSON numbers.
        frames: offer frames.
        max_message: longest request to accept, in bytes.
    """

    _where = " on the server"

    def __init__(
        self,
        target_names: Iterable[str],
        description: str | None = None,
        *,
        plain_float64: bool = False,
        frames: bool = True,
        max_message: int = MAX_LINE,
    ) -> None:
        super().__init__(max_message)
        self._target_names = sorted(target_names)
        self._description = description
        self._features = [PYON_V2, FRAMES] if frames else [PYON_V2]
        self._v2 = _V2_PLAIN_FLOAT64 if plain_float64 else V2

    def check_banner(self, received: bytes) -> bool:
        """Compare the first bytes of a connection as they arrive.

        A stray client, or one that begins a TLS handshake, may never send a newline: it is
        found out at the first byte that differs.

        Args:
            received: everything that was received so far.

        Returns:
            Whether the banner is complete. Bytes after it belong to the next line.

        Raises:
            ProtocolError: it is not the banner.
        """
        banner = received[: len(BANNER)]
        if not BANNER.startswith(banner):
            hint = " (a TLS handshake?)" if received.startswith(b"\x16\x03") else ""
            raise ProtocolError(f"expected {BANNER!r}, got {excerpt(received)}{hint}")
        return len(banner) == len(BANNER)

    def identification(self) -> bytes:
        """Give the greeting: plain JSON, whatever dialect follows."""
        greeting = {
            "targets": self._target_names,
            "description": self._description,
            "features": self._features,
        }
        return json.dumps(greeting, separators=(",", ":")).encode("ascii") + b"\n"

    def receive_selection(self, line: bytes) -> str:
        """Take the line that selects a target and features.

        Returns:
            The name of the target.

        Raises:
            ProtocolError: there is no such target or feature, or they do not go together.
        """
        try:
            target_name, *features = line.decode().split(" ")
        except UnicodeDecodeError as exc:
            raise ProtocolError(f"expected a target name, got {excerpt(line)}") from exc
        if target_name not in self._target_names:
            known = ", ".join(f"`{name}`" for name in self._target_names)
            raise ProtocolError(f"no target `{excerpt(target_name)}`; the server has: {known}")
        for feature in features:
            if feature not in self._features:
                known = ", ".join(f"`{name}`" for name in self._features)
                raise ProtocolError(f"no feature `{excerpt(feature)}`; the server has: {known}")
        if FRAMES in features and PYON_V2 not in features:
            raise ProtocolError(f"`{FRAMES}` needs `{PYON_V2}`")
        self._use(features, self._v2)
        return target_name

    def methods(self, names: Iterable[str]) -> Body:
        """Give the body of the message with the names that may be called; its number is 0."""
        return self.body(set(names))

    def receive_request(self, message: Message) -> AnyRequest:
        """Take a request.

        Raises:
            ValueError: it is not PYON, or not a request; the text says what was expected.
                `LineTooLong`: it was, and has been dropped.
            MemoryError: there is not enough.
            KeyError: it has no `action`.
            TypeError: it holds a value of a type that is not known here.
        """
        _, text, buffers = message
        if isinstance(text, MemoryError):
            raise MemoryError(f"{text}{self._where}")
        if isinstance(text, LineTooLong):
            raise text
        try:
            if self.framed:
                request = pyon.decode(text, buffers=buffers)
            else:
                request = self._dialect.decode(text, buffers)
        except MemoryError as exc:
            size = len(text) + sum(map(len, buffers))
            raise self._no_memory_to("decode a request of", size, exc) from exc
        except UnicodeDecodeError:
            raise ValueError(f"the request is not UTF-8 text: {excerpt(text)}") from None
        except ValueError as exc:
            raise ValueError(
                f"the request is not {self._dialect.name}: {short_message(exc)}: {excerpt(text)}"
            ) from exc
        if not isinstance(request, dict):
            raise ValueError(f"a request is a dictionary, got {excerpt(text)}")
        action = request["action"]
        if not isinstance(action, str):
            raise ValueError(f"an action is a string, got {short_repr(action)}")
        if action == "call":
            name, args, kwargs = request.get("name"), request.get("args"), request.get("kwargs")
            if type(name) is str and type(args) is list and type(kwargs) is dict and not kwargs:
                return tuple.__new__(CallRequest, (name, args, kwargs))  # as nearly always
            return _call_request(name, args, kwargs)
        if action == "get_rpc_method_list":
            return ListRequest()
        if self.framed:
            if action == "next":
                count = request.get("n")
                if type(count) is not int or not 0 < count <= _MAX_CREDIT:
                    raise ValueError(f"`next` needs `n`, how many items, got {short_repr(count)}")
                return NextRequest(count)
            if action == "cancel":
                return CancelRequest()
        known = "'call', 'get_rpc_method_list'" + (", 'next', 'cancel'" if self.framed else "")
        raise ValueError(f"unknown action {short_repr(action)}; there are: {known}")

    def result(self, value: Any) -> Body:
        """Give the body of the reply of a method that returned.

        Raises:
            TypeError: the value cannot be encoded; send `failure` instead.
        """
        return self._with_value("ok", value)

    def reply(self, number: int, value: Any) -> list[Piece]:
        """Give `result(value)` as a message, in fewer steps."""
        if not self.framed:
            return [self.body({"status": "ok", "ret": value})[0]]
        text, buffers = self._encode(value)
        if buffers:
            return pack_frame(number, b"%b%b}" % (_OK, text), buffers)
        length = len(_OK) + len(text) + 1
        return [b"#%d %d\n%b%b}" % (number, length, _OK, text)]

    def item(self, value: Any) -> Body:
        """Give the body of one item of a generator; errors are those of `result`."""
        return self._with_value("item", value)

    def stream(self) -> Body:
        """Give the body of the reply of a method that returned a generator."""
        return _STREAM, []

    def encodable(self, value: Any) -> bool:
        """Tell whether a value can be sent in the dialect of this connection."""
        try:
            self._dialect.to_line(value)
        except Exception:  # noqa: BLE001  (any error means no)
            return False
        return True

    def failure(self, exception: BaseException) -> Body:
        """Give the body of the reply of a method that raised."""
        packed = pack_exception(exception)
        if packed["message"] == "" and packed["class"] == "MemoryError":
            packed["message"] = "not enough memory on the server"
            packed.pop("args", None)
        try:
            return self.body({"status": "failed", "exception": packed})
        except Exception:  # noqa: BLE001  (arguments that cannot be sent in this dialect)
            return self.body({"status": "failed", "exception": without_arguments(packed)})

    def _with_value(self, status: str, value: Any) -> Body:
        if not self.framed:
            return self.body({"status": status, "ret": value})
        # The same text, without looking at what is always the same.
        text, buffers = self._encode(value)
        return b'{"status":"%b","ret":%b}' % (status.encode("ascii"), text), buffers


def _call_request(name: object, args: object, kwargs: object) -> CallRequest:
    if not isinstance(name, str):
        raise ValueError(f"a call needs a `name` that is a string, got {short_repr(name)}")
    if not isinstance(args, (list, tuple)):
        raise ValueError(f"a call needs `args` that are a list or tuple, got {short_repr(args)}")
    if not isinstance(kwargs, dict) or (
        kwargs and not all(isinstance(key, str) for key in kwargs)
    ):
        raise ValueError(f"a call needs `kwargs` with names as keys, got {short_repr(kwargs)}")
    return CallRequest(name, args, kwargs)
