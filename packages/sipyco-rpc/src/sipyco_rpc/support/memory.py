"""Memory on its way to a peer: sizes, what may be sent, and copies of what has to wait."""

from __future__ import annotations

from sipyco_pyon import pyon

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from typing import TypeAlias

    Text: TypeAlias = bytes | bytearray  # what was received
    Piece: TypeAlias = bytes | memoryview  # what is to be sent

__all__ = ["MIB", "copy_of", "is_constant"]

MIB = 1024 * 1024


def is_constant(piece: Piece) -> bool:
    """Tell whether nobody can change a piece."""
    return type(piece) is bytes or type(piece.obj) is bytes  # type: ignore[union-attr]


def copy_of(piece: Piece) -> memoryview:
    """Copy a piece that has to wait.

    Raises:
        MemoryError: there is not enough memory; the text says for what.
    """
    try:
        # Such memory takes less time to get than that of `bytes`, if it is large.
        copy = memoryview(pyon.new_buffer(len(piece)))
    except MemoryError as exc:
        raise MemoryError(
            f"not enough memory for a copy of {len(piece)} bytes that have to wait to be sent"
        ) from exc
    copy[:] = piece
    return copy
