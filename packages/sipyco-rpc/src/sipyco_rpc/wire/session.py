"""The base class of both sessions of an RPC conversation, and its errors. No sockets here."""

from __future__ import annotations

import sys

from sipyco_pyon import pyon
from sipyco_rpc.wire.frames import pack_frame
from sipyco_rpc.wire.messages import MessageReader

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Final, TypeAlias

    from sipyco_rpc.support.memory import Piece, Text

    # The text of a message, and the memory that it refers to.
    Body: TypeAlias = tuple[bytes, list[memoryview]]
    # The number of the message that answers it, and what is to be sent, piece by piece.
    OutgoingMessage: TypeAlias = tuple[int, list[Piece]]

__all__ = ["AutoTarget", "IncompatibleServer", "ProtocolError", "Session", "size_of"]

BANNER: Final = b"ARTIQ pc_rpc\n"  # the name that the protocol has had since 2015
PYON_V2: Final = "pyon_v2"
FRAMES: Final = "frames"
PROPERTIES: Final = "properties"


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

    Values are written in one of two dialects of PYON: v1, of programs from before 2025, resembles
    Python source; v2 is JSON.

    Args:
        max_message: longest message to accept, in bytes.
        plain_float64: write `numpy.float64` scalars as plain numbers, as older programs do.

    Attributes:
        incoming: makes messages of what the other side sends.
        framed: whether messages are frames: numbered, with arrays as raw memory.
        has_properties: whether there can be requests about properties.
    """

    _where = ""  # for errors that the other side is told

    def __init__(self, max_message: int, *, plain_float64: bool = False) -> None:
        _load_codec()
        self.incoming = MessageReader(max_message)
        self.framed = False
        self.has_properties = False
        self._dialect = "PYON v1"
        self._plain_float64 = plain_float64

    @property
    def dialect(self) -> str:
        """The name of the dialect in which values are written: "PYON v1" or "PYON v2"."""
        return self._dialect

    def _use(self, features: Sequence[str]) -> None:
        """Speak and understand what was agreed upon, from now on."""
        if PYON_V2 in features:
            self._dialect = "PYON v2"
        self.has_properties = PROPERTIES in features
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
            return self._to_line(value), []
        except MemoryError as exc:
            raise self._no_memory_to("encode", size_of(value), exc) from exc

    def _to_line(self, value: Any, name: str = "the value") -> bytes:
        if self._dialect == "PYON v2":
            return pyon.encode_bytes(value, plain_float64=self._plain_float64, end="\n", name=name)
        from sipyco_pyon import pyon_v1  # newer programs do without it

        return pyon_v1.encode(value, name=name).encode("ascii") + b"\n"

    def _error_of_part(self, error: Exception, *parts: tuple[str, Any]) -> Exception:
        """Give the error of the part that cannot be written of what could not be written.

        Args:
            error: that of the whole.
            *parts: their names, which the error has for them, and their values.
        """
        for name, value in parts:
            try:
                self._to_line(value, name)
            except type(error) as exc:
                return exc
        return error

    def _decode(self, text: Text, buffers: list[Any]) -> Any:
        if self._dialect == "PYON v2":
            return pyon.decode(text, buffers=buffers)
        from sipyco_pyon import pyon_v1

        return pyon_v1.decode(text.decode())

    def _encode(self, value: Any, name: str = "the value") -> Body:
        """Write a value, or a part of one, for a frame; errors call it by a name."""
        buffers: list[memoryview] = []
        try:
            text = pyon.encode_bytes(
                value,
                plain_float64=self._plain_float64,
                buffer_callback=buffers.append,
                name=name,
            )
        except MemoryError as exc:
            raise self._no_memory_to("encode", size_of(value), exc) from exc
        return text, buffers

    def _no_memory_to(self, what: str, size: int, exc: MemoryError) -> MemoryError:
        """Say what there was not enough memory for: Python's own error has no text."""
        reason = f": {exc}" if str(exc) else ""
        return MemoryError(f"not enough memory to {what} {size} bytes{self._where}{reason}")

    def pack(self, call_id: int, body: Body) -> list[Piece]:
        """Make a message of its text: what is to be sent, piece by piece."""
        return pack_frame(call_id, *body) if self.framed else [body[0]]


def size_of(value: Any) -> int:
    """Count the bytes of the arrays, `bytes` and texts in a value, roughly and for errors only."""
    if isinstance(value, (bytes, str)):
        return len(value)
    if isinstance(value, dict):
        return size_of(list(value.values()))
    if isinstance(value, (list, tuple, set)):
        return 8 * len(value) + sum(map(size_of, value))
    size = getattr(value, "nbytes", 8)
    return size if isinstance(size, int) else 8
