"""Pieces of text put together, with the base64 of those that are memory. No values here.

Base64 is made chunk by chunk, straight into the text, so that it never is in memory twice:
allocating that costs more than base64 does.
"""

from __future__ import annotations

import io

from sipyco_pyon._base64 import b64encode, b64text

TYPE_CHECKING = False  # importing `typing` costs more than all of this package
if TYPE_CHECKING:
    from typing import Any, Final

__all__: list[str] = []

_CHUNK: Final = 49152  # makes 64 KiB of base64, which stays in the processor's cache
_STEP: Final = 65536


def join_text(pieces: list[Any]) -> str:
    """Join pieces, with the base64 of those that are memory."""
    total = sum([len(piece) for piece in pieces])
    # The text grows in place, in few steps: each may have to move it.
    step = max(_STEP, total // 16)
    text = ""
    batch: list[str] = []
    size = 0
    for piece in pieces:
        if type(piece) is str:
            batch.append(piece)
            size += len(piece)
            continue
        for start in range(0, len(piece), _CHUNK):
            chunk = b64text(piece[start : start + _CHUNK])
            batch.append(chunk)
            size += len(chunk)
            if size >= step:
                text += "".join(batch)
                batch.clear()
                size = 0
    text += "".join(batch)
    return text


def join_bytes(pieces: list[Any]) -> bytes:
    """Join pieces as ASCII, with the base64 of those that are memory."""
    file = io.BytesIO()  # it gives its memory away without a copy
    for piece in pieces:
        if type(piece) is str:
            file.write(piece.encode("ascii"))
            continue
        for start in range(0, len(piece), _CHUNK):
            file.write(b64encode(piece[start : start + _CHUNK]))
    return file.getvalue()
