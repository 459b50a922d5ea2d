"""The client's side of the handshake as bytes and messages. No calls here."""

from __future__ import annotations

from sipyco_pyon import pyon
from sipyco_rpc.limits import MAX_GREETING_LITERAL, MAX_NAME, MAX_NAMES_SHOWN
from sipyco_rpc.support.quoting import excerpt
from sipyco_rpc.wire.exceptions import unpack_exception
from sipyco_rpc.wire.lines import LineTooLong
from sipyco_rpc.wire.routing import ReplyRouter
from sipyco_rpc.wire.session import (
    BANNER,
    FRAMES,
    PROPERTIES,
    PYON_V2,
    AutoTarget,
    IncompatibleServer,
)

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from typing import Any

    from sipyco_rpc.support.memory import Text
    from sipyco_rpc.wire.messages import Message
    from sipyco_rpc.wire.session import OutgoingMessage


class ClientHandshake(ReplyRouter):
    """The beginning of a client's conversation: who the server is, and which target it is to be.

    The order is `hello`, `receive_identification`, `select`, `receive_methods`.
    """

    def __init__(self, max_message: int) -> None:
        super().__init__(max_message)
        self.target_names: list[str] = []
        self.description: str | None = None
        self.selected_target: str | None = None
        # The callable names of the selected target; empty before.
        self.methods: frozenset[str] = frozenset()
        # The names of its properties, of which a server tells only where it offers them.
        self.properties: frozenset[str] = frozenset()
        self._features: frozenset[str] = frozenset()

    def hello(self) -> OutgoingMessage:
        """Give the first bytes to send."""
        return self.requests_sent + 1, [BANNER]

    def receive_identification(self, message: Message) -> None:
        """Take the server's greeting.

        Raises:
            IncompatibleServer: it is not the greeting of an RPC server.
        """
        line = text_of(message)
        try:
            text = line.decode()
            try:
                greeting = pyon.decode(text)  # it is plain JSON; this is there, `json` may not be
            except ValueError:
                if len(line) > MAX_GREETING_LITERAL:
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
        features = [PYON_V2, FRAMES, PROPERTIES] if PYON_V2 in self._features else []
        features = [feature for feature in features if feature in self._features]
        self._use(features)
        line = b" ".join([word, *[feature.encode() for feature in features]]) + b"\n"
        return 0 if self.framed else self.requests_sent + 1, [line]

    def _names(self) -> str:
        return excerpt(" ".join(self.target_names), MAX_NAMES_SHOWN)

    def receive_methods(self, message: Message) -> None:
        """Take the names that may be called, and those of properties.

        Raises:
            IncompatibleServer: the message is not a set of names, or two of them.
            Exception: what the server raised when it made the target for this connection.
        """
        text = text_of(message)
        try:
            names = self._decode(text, message[2])
            if names == {} and isinstance(names, dict):
                names = set()  # how an empty set looks in PYON v1
            properties: Any = set()
            error = None
            if isinstance(names, dict) and names.get("status") == "failed":
                error = exception_in(names)
            else:
                if self.has_properties:
                    names, properties = names["methods"], names["properties"]
                for each in (names, properties):
                    if not (isinstance(each, set) and all(isinstance(name, str) for name in each)):
                        raise TypeError("not a set of names")
        except Exception as exc:
            raise IncompatibleServer(
                f"expected the names of the methods of `{self.selected_target}`, "
                f"got {excerpt(text)}"
            ) from exc
        if error is not None:
            what = f"The server could not make the target `{self.selected_target}`."
            error.__notes__ = [what, *getattr(error, "__notes__", ())]
            raise error
        self.methods = frozenset(names)
        # No server offers what begins with `_`; such attributes are the client's own.
        public = {name for name in properties if not name.startswith("_")}
        self.properties = frozenset(public) - self.methods


def text_of(message: Message) -> Text:
    """Give the text of a message.

    Raises:
        LineTooLong: it was too long, and has been dropped.
    """
    text = message[1]
    if isinstance(text, LineTooLong):
        raise text
    return text


def exception_in(reply: dict[str, Any]) -> Exception:
    """Give the exception that a message tells of.

    Raises:
        ValueError: it tells of none.
    """
    # A small server may send a text and nothing else.
    failure = reply.get("exception", reply.get("message"))
    if reply.get("status") != "failed" or not isinstance(failure, (dict, str)):
        raise ValueError("not a reply")
    return unpack_exception(failure)
