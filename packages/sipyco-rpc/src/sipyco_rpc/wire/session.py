"""The base class of both sessions of an RPC conversation, and its errors. No sockets here."""

from __future__ import annotations

import sys

from sipyco_pyon import pyon
from sipyco_rpc.limits import MAX_LINE
from sipyco_rpc.wire.dialect import V1, V2, DialectV1, DialectV2
from sipyco_rpc.wire.frames import pack_frame
from sipyco_rpc.wire.messages import MessageReader

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Final, TypeAlias

    from sipyco_rpc.support.memory import Piece

    # The text of a message, and the memory that it refers to.
    Body: TypeAlias = tuple[bytes, list[memoryview]]
    # The number of the message that answers it, and what is to be sent, piece by piece.
    OutgoingMessage: TypeAlias = tuple[int, list[Piece]]

__all__ = ["AutoTarget", "IncompatibleServer", "ProtocolError", "Session"]

BANNER: Final = b"ARTIQ pc_rpc\n"  # the name that the protocol has had since 2015


PYON_V2: Final = "pyon_v2"
FRAMES: Final = "frames"


class AutoTarget:
    """Use this as a target name for "the only one that the server has"."""


class IncompatibleServer(Exception):
    """The server is not an RPC server, or does not have the target."""


class ProtocolError(Exception):
    """The client broke the handshake; the connection cannot go on."""


def _load_codec() -> None:
    """Have the codec of arrays loaded where NumPy is: later there may be no descriptor for it."""
    try:
        pyon.encode(sys.modules["numpy"].zeros(0))
    except Exception:  # noqa: BLE001  (there is none, or it cannot be used: see then)
        pass


class Session:
    """What was agreed upon in the handshake, and how values travel from then on.

    Args:
        max_message: longest message to accept, in bytes.

    Attributes:
        incoming: makes messages of what the other side sends.
        framed: whether messages are frames: numbered, with arrays as raw memory.
    """

    _where = ""  # for errors that the other side is told

    def __init__(self, max_message: int = MAX_LINE) -> None:
        _load_codec()
        self.incoming = MessageReader(max_message)
        self.framed = False
        self._dialect: DialectV1 | DialectV2 = V1
        self._plain_float64 = False

    def _use(self, features: Sequence[str], v2: DialectV2 = V2) -> None:
        """Speak and understand what was agreed upon, from now on."""
        if PYON_V2 in features:
            self._dialect = v2
            self._plain_float64 = v2.plain_float64
        if FRAMES in features:
            self.framed = True
            self.incoming.expect_frames()

    def body(self, value: Any) -> Body:
        """Write a value as the text of a message.

        Raises:
            TypeError: it cannot be encoded.
        """
        if self.framed:
            return self._encode(value)
        try:
            return self._dialect.to_line(value), []
        except MemoryError as exc:
            raise self._no_memory_to("encode", _size_of(value), exc) from exc

    def _encode(self, value: Any) -> Body:
        """Write a value, or a part of one, for a frame."""
        buffers: list[memoryview] = []
        try:
            text = pyon.encode_bytes(
                value, plain_float64=self._plain_float64, buffer_callback=buffers.append
            )
        except MemoryError as exc:
            raise self._no_memory_to("encode", _size_of(value), exc) from exc
        return text, buffers

    def _no_memory_to(self, what: str, size: int, exc: MemoryError) -> MemoryError:
        """Say what there was not enough memory for: Python's own error has no text."""
        reason = f": {exc}" if str(exc) else ""
        return MemoryError(f"not enough memory to {what} {size} bytes{self._where}{reason}")

    def pack(self, call_id: int, body: Body) -> list[Piece]:
        """Make a message of its text: what is to be sent, piece by piece."""
        return pack_frame(call_id, *body) if self.framed else [body[0]]


def _size_of(value: Any) -> int:
    """Count the bytes of the arrays, `bytes` and texts in a value, roughly and for errors only."""
    if isinstance(value, (bytes, str)):
        return len(value)
    if isinstance(value, dict):
        return _size_of(list(value.values()))
    if isinstance(value, (list, tuple, set)):
        return 8 * len(value) + sum(map(_size_of, value))
    size = getattr(value, "nbytes", 8)
    return size if isinstance(size, int) else 8
