"""Base64 by the quickest means there is, with bad input refused."""

from __future__ import annotations

import binascii
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
        return bytes(_fast.b64encode(data))
    return binascii.b2a_base64(data, newline=False)


def b64decode(text: Any) -> bytes:
    """Decode ASCII text or bytes.

    Raises:
        ValueError: it is not base64.
    """
    if not isinstance(text, (str, bytes)):
        raise ValueError(f"base64 is text, got {type(text).__name__}")
    if _fast is not None:
        return bytes(_fast.b64decode(text, validate=True))
    return binascii.a2b_base64(text, strict_mode=True)
