"""The beginning of an RPC conversation, as a server sees it. No sockets here."""

from __future__ import annotations

import json
from collections.abc import Iterable
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from sipyco_rpc.limits import MAX_NAME, MAX_SELECTION
from sipyco_rpc.support.quoting import excerpt, first_words, short_repr
from sipyco_rpc.wire.lines import LineTooLong
from sipyco_rpc.wire.session import BANNER, FRAMES, PROPERTIES, PYON_V2, ProtocolError

if TYPE_CHECKING:
    from sipyco_rpc.wire.messages import MessageReader


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


class BannerReceived(NamedTuple):
    """The client speaks this protocol; it is to be sent the reply."""

    reply: bytes


class TargetSelected(NamedTuple):
    """The client has selected a target, and what it wants to use of the protocol."""

    name: str
    features: list[str]


class State(Enum):
    """What the client has to say next."""

    BANNER = auto()
    SELECTION = auto()
    REQUESTS = auto()


class ServerHandshake:
    """The banner, the greeting, and the selection of a target.

    Args:
        incoming: makes lines of what the client sends.
        target_names: what it may select.
        description: free text for the greeting, or None.
        frames: offer frames.
        properties: offer requests about properties.

    Attributes:
        state: what the client has to say next.
    """

    def __init__(
        self,
        incoming: MessageReader,
        target_names: Iterable[str],
        description: str | None,
        frames: bool,
        properties: bool,
    ) -> None:
        self.state = State.BANNER
        self._incoming = incoming
        self._target_names = sorted(target_names)
        self._description = description
        self._features = [PYON_V2, FRAMES] if frames else [PYON_V2]
        if properties:
            self._features.append(PROPERTIES)

    def next_event(self) -> BannerReceived | TargetSelected | None:
        """Take the next step, if enough has come for it.

        Raises:
            ProtocolError: the client has said something else.
        """
        if self.state is State.BANNER:
            return self._receive_banner()
        if self.state is State.SELECTION:
            return self._receive_selection()
        return None

    def _receive_banner(self) -> BannerReceived | None:
        # A stray client, or one that begins a TLS handshake, may never send a newline: it is found
        # out at the first byte that differs.
        received = self._incoming.unread
        banner = received[: len(BANNER)]
        if not BANNER.startswith(banner):
            raise ProtocolError(
                f"expected {BANNER!r}, got {first_words(received, excerpt(received))}"
            )
        if len(banner) < len(BANNER):
            return None
        self._incoming.skip(len(BANNER))
        self.state = State.SELECTION
        return BannerReceived(self._greeting())

    def _greeting(self) -> bytes:
        greeting = {  # plain JSON, whatever dialect follows
            "targets": self._target_names,
            "description": self._description,
            "features": self._features,
        }
        return json.dumps(greeting, separators=(",", ":")).encode("ascii") + b"\n"

    def _receive_selection(self) -> TargetSelected | None:
        message = self._incoming.next()
        if message is None:
            if self._incoming.pending_size > MAX_SELECTION:
                raise ProtocolError(f"the target name has more than {MAX_SELECTION} bytes")
            return None
        line = message[1]
        if isinstance(line, LineTooLong):
            raise ProtocolError(str(line))
        try:
            target_name, *features = line.decode().split(" ")
        except UnicodeDecodeError as exc:
            raise ProtocolError(f"expected a target name, got {excerpt(line)}") from exc
        _check_known("target", target_name, self._target_names)
        for feature in features:
            _check_known("feature", feature, self._features)
        for feature in (FRAMES, PROPERTIES):
            if feature in features and PYON_V2 not in features:
                raise ProtocolError(f"`{feature}` needs `{PYON_V2}`")
        self.state = State.REQUESTS
        return TargetSelected(target_name, features)


def _check_known(what: str, name: str, known: list[str]) -> None:
    if name not in known:
        names = ", ".join(f"`{each}`" for each in known)
        raise ProtocolError(f"no {what} `{excerpt(name)}`; the server has: {names}")
