"""Base64 by the quickest means there is, with bad input refused. No JSON here."""

from __future__ import annotations

import binascii

TYPE_CHECKING = False  # importing `typing` costs more than all of this package
if TYPE_CHECKING:
    from typing import Any

__all__: list[str] = []

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
    """Decode ASCII text or bytes.

    Raises:
        ValueError: it is not base64.
    """
    if not isinstance(text, (str, bytes)):
        raise ValueError(f"base64 is text, got {type(text).__name__}")
    return b64decode_memory(text)


def b64decode_memory(memory: Any) -> bytes:
    """Decode any bytes-like object, or ASCII text.

    Raises:
        ValueError: it is not base64.
    """
    if _fast is not None:
        decoded: bytes = _fast.b64decode(memory, None, True)  # no other alphabet; validate
        return decoded
    return binascii.a2b_base64(memory, strict_mode=True)
