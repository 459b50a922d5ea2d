"""The text of PYON v2 in the making: pieces, and memory that is to stand in it, or beside it.

And where it could not be made to its end. No values here.
"""

from __future__ import annotations

from sipyco_pyon._base64 import b64text, join_bytes, join_text
from sipyco_pyon._tag_decoder import numpy_codec
from sipyco_pyon.limits import MAX_BUFFERS

TYPE_CHECKING = False  # importing `typing` costs more than all of this package
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

# Shorter data costs less as base64 in the text than as a buffer of its own, which has to be
# allocated and described: about here, measured with pybase64, both ways take the same time.
SHORT_DATA: Final = 512

# Longer data becomes base64 only when the text is put together.
_LONG_DATA: Final = 65536


class Pieces:
    """A text in pieces. Who derives from it has them, and who takes memory; or None."""

    _pieces: list[Any]  # text, and memory whose base64 is to stand there
    _buffer_callback: Callable[[memoryview], object] | None
    _buffer_count = 0
    _has_memory = False  # among the pieces

    # Of what could not be written: where it is in what is around it, from inside out. Each is made
    # while the error passes, so it costs nothing before.
    _places: list[tuple[Any, Any, Any]] | None = None
    _in_hook = False  # the error is that of a hook
    _refused: tuple[Any] | None = None  # a value of an unknown type

    def text(self) -> str:
        """Put the text together."""
        return join_text(self._pieces) if self._has_memory else "".join(self._pieces)

    def data(self, end: str = "") -> bytes:
        """Put the text together, in ASCII, and something after it."""
        self._pieces.append(end)
        pieces = self._pieces
        return join_bytes(pieces) if self._has_memory else "".join(pieces).encode("ascii")

    def _bytearray(self, value: bytearray) -> None:
        self._pieces.append('{"__jsonclass__":["bytearray",[{"__jsonclass__":["bytes",[')
        self._memory(value, len(value))
        self._pieces.append("]]}]]}")

    def _memory(self, owner: Any, size: int) -> None:
        """Write the data of `bytes`, a `bytearray` or an array."""
        callback = self._buffer_callback
        is_bytes = type(owner) is bytes or type(owner) is bytearray
        if size < SHORT_DATA or (callback is None and size < _LONG_DATA):
            self._pieces.append('"' + b64text(owner if is_bytes else owner.tobytes()) + '"')
            return
        memory: memoryview = memoryview(owner) if is_bytes else numpy_codec().array_memory(owner)
        if callback is not None and self._buffer_count < MAX_BUFFERS:
            callback(memory)
            self._pieces.append(f'{{"__jsonclass__":["buffer",[{self._buffer_count}]]}}')
            self._buffer_count += 1
        else:
            self._pieces += ['"', memory, '"']
            self._has_memory = True

    def _failed_in(self, exc: Exception, kind: Any, container: Any, inner: Any) -> None:
        """Note where what could not be written is in what is around it."""
        if isinstance(exc, (MemoryError, RecursionError)):
            return  # of the latter there would be very many
        if self._places is None:
            self._places = []
        self._places.append((kind, container, inner))

    def _explain(self, error: Exception, name: str) -> None:
        """Say in the error of a value that cannot be written where it is, and what to do."""
        try:
            from sipyco_pyon._refusals import explain
        except (ImportError, OSError):
            return  # no descriptor is left to load it with
        explain(error, name, self._places or [], self._refused, in_hook=self._in_hook)
