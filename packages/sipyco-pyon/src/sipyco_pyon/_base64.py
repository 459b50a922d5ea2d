"""Base64 by the quickest means there is, with bad input refused."""

from __future__ import annotations

import binascii
from typing import Any

__all__: list[str] = []

try:
    from pybase64 import b64decode as _fast_decode
    from pybase64 import b64encode as _fast_encode
except ImportError:
    _fast_decode = _fast_encode = None


def b64encode(data: Any) -> bytes:
    """Encode a bytes-like object."""
    if _fast_encode is not None:
        return bytes(_fast_encode(data))
    return binascii.b2a_base64(data, newline=False)


def b64decode(text: Any) -> bytes:
    """Decode ASCII text or bytes.

    Raises:
        ValueError: it is not base64.
    """
    if not isinstance(text, (str, bytes)):
        raise ValueError(f"base64 is text, got {type(text).__name__}")
    if _fast_decode is not None:
        return bytes(_fast_decode(text, validate=True))
    return binascii.a2b_base64(text, strict_mode=True)
