"""What both ends of an RPC conversation have in common. No sockets here."""

from __future__ import annotations

import sys

from sipyco_pyon import pyon
from sipyco_rpc._dialect import V1, V2, DialectV1, DialectV2
from sipyco_rpc.frames import pack_frame
from sipyco_rpc.framing import MAX_LINE
from sipyco_rpc.messages import MessageReader

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Final, TypeAlias

    from sipyco_rpc.frames import Piece

    # The text of a message, and the memory that it refers to.
    Body: TypeAlias = tuple[bytes, list[memoryview]]
    # The number of the message that answers it, and what is to be sent, piece by piece.
    Request: TypeAlias = tuple[int, list[Piece]]

BANNER: Final = b"ARTIQ pc_rpc\n"  # the name that the protocol has had since 2015

# Of the name of a target, in characters: it stands in errors and in the `repr` of clients.
MAX_NAME: Final = 1000

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
        return self._encode(value) if self.framed else (self._dialect.to_line(value), [])

    def _encode(self, value: Any) -> Body:
        """Write a value, or a part of one, for a frame."""
        buffers: list[memoryview] = []
        text = pyon.encode_bytes(
            value, plain_float64=self._plain_float64, buffer_callback=buffers.append
        )
        return text, buffers

    def pack(self, call_id: int, body: Body) -> list[Piece]:
        """Make a message of its text: what is to be sent, piece by piece."""
        return pack_frame(call_id, *body) if self.framed else [body[0]]
