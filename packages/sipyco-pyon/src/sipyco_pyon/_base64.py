"""Base64 by the quickest means there is, with bad input refused. No JSON here.

That of long memory is made chunk by chunk, straight into the text, so that it never is in memory
twice: allocating that costs more than base64 does.
"""

from __future__ import annotations

import binascii
import io

TYPE_CHECKING = False  # importing `typing` costs more than all of this package
if TYPE_CHECKING:
    from typing import Any, Final

_CHUNK: Final = 49152  # makes 64 KiB of base64, which stays in the processor's cache
_STEP: Final = 65536

_fast: Any = None
try:
    import pybase64
except ImportError:
    pass  # the extra `fast` is not installed
else:
    _fast = pybase64


def b64encode(data: Any) -> bytes:
    """Encode a bytes-like object."""
    if _fast is not None:
        encoded: bytes = _fast.b64encode(data)
        return encoded
    return binascii.b2a_base64(data, newline=False)


def b64text(data: Any) -> str:
    """Encode a bytes-like object as a string."""
    if _fast is not None:
        encoded: str = _fast.b64encode_as_string(data)
        return encoded
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def b64decode(text: Any) -> bytes:
    """Decode ASCII text: a string, `bytes`, or a memory view of some.

    Raises:
        ValueError: it is not base64.
    """
    if not isinstance(text, (str, bytes, memoryview)):
        raise ValueError(f"base64 is text, got {type(text).__name__}")
    if _fast is not None:
        decoded: bytes = _fast.b64decode(text, None, True)  # no other alphabet; validate
        return decoded
    return binascii.a2b_base64(text, strict_mode=True)


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
