"""RPC conversations as bytes and lines. No sockets here.

`ClientSession` turns calls into bytes and lines into results; `ServerSession` is its mirror
image. Each holds what was agreed upon in the handshake (dialect, target, methods) and nothing
else: sockets, threads, tasks and timeouts are the business of the shells around them.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from reprlib import repr as _short
from typing import Any, Final

from sipyco_rpc._dialect import V1, V2, V2_PLAIN_FLOAT64, excerpt
from sipyco_rpc.packed_exceptions import pack_exception, unpack_exception

__all__ = [
    "BANNER",
    "AutoTarget",
    "CallRequest",
    "ClientSession",
    "IncompatibleServer",
    "ListRequest",
    "ProtocolError",
    "ServerSession",
    "check_target_names",
]

BANNER: Final = b"ARTIQ pc_rpc\n"  # the name that the protocol has had since 2015

PYON_V2: Final = "pyon_v2"


class AutoTarget:
    """Use this as a target name for "the only one that the server has"."""


class IncompatibleServer(Exception):
    """The server is not an RPC server, or does not have the target."""


class ProtocolError(Exception):
    """The client broke the handshake; the connection cannot go on."""


class ClientSession:
    """The client's side of one connection.

    The order is `hello`, `receive_identification`, `select`, `receive_methods`, then any number
    of `call` and `list_methods`, each of which is answered by one line for `receive_reply`, in
    the order of the requests.
    """

    def __init__(self) -> None:
        self.target_names: list[str] = []
        self.description: str | None = None
        self.selected_target: str | None = None
        # The callable names of the selected target; empty before.
        self.methods: frozenset[str] = frozenset()
        self._features: frozenset[str] = frozenset()
        self._dialect = V1

    def hello(self) -> bytes:
        """Give the first bytes to send."""
        return BANNER

    def receive_identification(self, line: bytes) -> None:
        """Take the server's greeting.

        Raises:
            IncompatibleServer: it is not the greeting of an RPC server.
        """
        try:
            text = line.decode()
            try:
                greeting = json.loads(text)
            except ValueError:
                greeting = ast.literal_eval(text.strip())  # servers of the first years
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
        except (
            ValueError,
            SyntaxError,
            TypeError,
            KeyError,
            AttributeError,
            RecursionError,
            MemoryError,
        ) as exc:
            raise IncompatibleServer(
                f"not an RPC server: expected its identification, got {excerpt(line)}"
            ) from exc
        self.target_names = list(target_names)
        self.description = description
        self._features = frozenset(word for word in features if isinstance(word, str))

    def select(self, target_name: str | type[AutoTarget]) -> bytes:
        """Choose a target, and give the bytes that tell the server.

        Raises:
            ValueError: `AutoTarget`, but there are several; or one was selected before.
            IncompatibleServer: the server does not have the target, or none at all.
        """
        if self.selected_target is not None:
            raise ValueError(f"target `{self.selected_target}` has been selected already")
        names = " ".join(self.target_names)
        if not self.target_names:
            raise IncompatibleServer("the server has no targets")
        if isinstance(target_name, str):
            if target_name not in self.target_names:
                raise IncompatibleServer(
                    f"no target `{target_name}`; valid target name(s): {names}"
                )
            selected = target_name
        elif target_name is AutoTarget:
            if len(self.target_names) > 1:
                # Programs parse this text.
                raise ValueError(f"Server has multiple targets: {names}")
            selected = self.target_names[0]
        else:
            raise TypeError(f"a target name is a str or AutoTarget, got {target_name!r}")
        words = [selected]
        if PYON_V2 in self._features:
            self._dialect = V2
            words.append(PYON_V2)
        self.selected_target = selected
        return " ".join(words).encode() + b"\n"

    def receive_methods(self, line: bytes) -> None:
        """Take the names that may be called.

        Raises:
            IncompatibleServer: the line is not a set of names.
        """
        try:
            names = self._dialect.decode(line)
            if names == {} and isinstance(names, dict):
                names = set()  # how an empty set looks in PYON v1
            if not isinstance(names, set) or not all(isinstance(name, str) for name in names):
                raise TypeError("not a set of names")
        except Exception as exc:
            raise IncompatibleServer(
                f"expected the names of the methods of `{self.selected_target}`, "
                f"got {excerpt(line)}"
            ) from exc
        self.methods = frozenset(names)

    def call(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        """Give the bytes of a call.

        Raises:
            TypeError: an argument cannot be encoded.
        """
        return self._dialect.to_line(
            {"action": "call", "name": name, "args": tuple(args), "kwargs": dict(kwargs)}
        )

    def list_methods(self) -> bytes:
        """Give the bytes that ask for the signatures and docstrings."""
        return self._dialect.to_line({"action": "get_rpc_method_list"})

    def receive_reply(self, line: bytes) -> Any:
        """Take the reply to the oldest request that has none yet.

        Returns:
            What the method returned.

        Raises:
            Exception: what the method raised.
            IncompatibleServer: the line is not a reply.
            TypeError, ImportError: the value is of a type that is not known here.
        """
        try:
            reply = self._dialect.decode(line)
            status = reply["status"] if isinstance(reply, dict) else None
            if status == "ok":
                return reply["ret"]
            if status != "failed" or not isinstance(reply["exception"], dict):
                raise ValueError("not a reply")
        except (KeyError, ValueError, RecursionError) as exc:
            raise IncompatibleServer(
                f"expected a reply in {self._dialect.name}, got {excerpt(line)}: {exc}"
            ) from exc
        raise unpack_exception(reply["exception"])

    def receive_listing(self, line: bytes) -> dict[str, Any]:
        """Take the reply to `list_methods`; errors are those of `receive_reply`."""
        listing = self.receive_reply(line)
        if not isinstance(listing, dict) or not isinstance(listing.get("methods"), dict):
            raise IncompatibleServer(f"expected a listing of methods, got {excerpt(line)}")
        return listing


@dataclass(frozen=True, slots=True)
class CallRequest:
    """A request to call a method."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ListRequest:
    """A request for the signatures and docstrings of the target."""


def check_target_names(names: Iterable[str]) -> None:
    """Make sure that names can stand in the line that selects a target.

    Raises:
        ValueError: a name is empty, or has white space in it.
    """
    for name in names:
        if not isinstance(name, str) or not name or name.split() != [name]:
            raise ValueError(f"a target name is a word without white space, got {_short(name)}")


class ServerSession:
    """The server's side of one connection.

    Args:
        target_names: what clients may select.
        description: free text for the greeting, or None.
        plain_float64: write `numpy.float64` scalars as plain JSON numbers.
    """

    def __init__(
        self,
        target_names: Iterable[str],
        description: str | None = None,
        *,
        plain_float64: bool = False,
    ) -> None:
        self._target_names = sorted(target_names)
        self._description = description
        self._v2 = V2_PLAIN_FLOAT64 if plain_float64 else V2
        self._dialect = V1

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
            "features": [PYON_V2],
        }
        return json.dumps(greeting, separators=(",", ":")).encode("ascii") + b"\n"

    def receive_selection(self, line: bytes) -> str:
        """Take the line that selects a target and features.

        Returns:
            The name of the target.

        Raises:
            ProtocolError: there is no such target or feature.
        """
        try:
            target_name, *features = line.decode().split(" ")
        except UnicodeDecodeError as exc:
            raise ProtocolError(f"expected a target name, got {excerpt(line)}") from exc
        if target_name not in self._target_names:
            known = ", ".join(f"`{name}`" for name in self._target_names)
            raise ProtocolError(f"no target `{target_name[:60]}`; the server has: {known}")
        for feature in features:
            if feature != PYON_V2:
                raise ProtocolError(f"no feature `{feature[:60]}`; the server has: `{PYON_V2}`")
        if features:
            self._dialect = self._v2
        return target_name

    def methods(self, names: Iterable[str]) -> bytes:
        """Give the line with the names that may be called."""
        return self._dialect.to_line(set(names))

    def receive_request(self, line: bytes) -> CallRequest | ListRequest:
        """Take a request.

        Raises:
            ValueError: the line is not PYON, or not a request; the text says what was expected.
            KeyError: it has no `action`.
            TypeError: it holds a value of a type that is not known here.
        """
        try:
            request = self._dialect.decode(line)
        except UnicodeDecodeError:
            raise ValueError(f"the request is not UTF-8 text: {excerpt(line)}") from None
        except ValueError as exc:
            raise ValueError(
                f"the request is not {self._dialect.name}: {exc}: {excerpt(line)}"
            ) from exc
        if not isinstance(request, dict):
            raise ValueError(f"a request is a dictionary, got {excerpt(line)}")
        action = request["action"]
        if action == "get_rpc_method_list":
            return ListRequest()
        if action != "call":
            raise ValueError(
                f"unknown action {_short(action)}; there are: 'call', 'get_rpc_method_list'"
            )
        name, args, kwargs = request.get("name"), request.get("args"), request.get("kwargs")
        if not isinstance(name, str):
            raise ValueError(f"a call needs a `name` that is a string, got {_short(name)}")
        if not isinstance(args, (list, tuple)):
            raise ValueError(f"a call needs `args` that are a list or tuple, got {_short(args)}")
        if not isinstance(kwargs, dict) or not all(isinstance(key, str) for key in kwargs):
            raise ValueError(f"a call needs `kwargs` with names as keys, got {_short(kwargs)}")
        return CallRequest(name, tuple(args), kwargs)

    def result(self, value: Any) -> bytes:
        """Give the reply of a method that returned.

        Raises:
            TypeError: the value cannot be encoded; send `failure` instead.
        """
        return self._dialect.to_line({"status": "ok", "ret": value})

    def encodable(self, value: Any) -> bool:
        """Tell whether a value can be sent in the dialect of this connection."""
        try:
            self._dialect.encode(value)
        except Exception:  # noqa: BLE001  (any error means no)
            return False
        return True

    def failure(self, exception: BaseException) -> bytes:
        """Give the reply of a method that raised."""
        packed = pack_exception(exception)
        if "args" in packed and not self.encodable(packed["args"]):
            del packed["args"]
        return self._dialect.to_line({"status": "failed", "exception": packed})
