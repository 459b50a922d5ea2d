"""A decoder of lines in either dialect of PYON. No sockets here."""

from __future__ import annotations

import json
from typing import Any

from sipyco_pyon import pyon, pyon_v1


def decode_line(line: bytes | bytearray) -> Any:
    """Read a value of a program of today, or of one from before 2025, which writes PYON v1.

    PYON v1 is tried where the line is not JSON. Plain JSON means the same in both, and a tag that
    is not known is one in either.

    Raises:
        ValueError: it is neither.
        TypeError, ImportError: it holds a value of a type that is not known here.
    """
    try:
        return pyon.decode(line)
    except (json.JSONDecodeError, UnicodeDecodeError) as not_json:
        try:
            return pyon_v1.decode(line.decode())
        except ValueError:
            raise not_json from None
