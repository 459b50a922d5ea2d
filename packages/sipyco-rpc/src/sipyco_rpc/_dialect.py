"""How values become lines: the two PYON dialects. No conversation here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sipyco_pyon import pyon, pyon_v1


@dataclass(frozen=True, slots=True)
class Dialect:
    """How values become lines: one of the two PYON dialects."""

    name: str
    encode: Callable[[Any], str]
    decode: Callable[[bytes], Any]

    def to_line(self, value: Any) -> bytes:
        return self.encode(value).encode("ascii") + b"\n"


def _decode_v1(line: bytes) -> Any:
    return pyon_v1.decode(line.decode())


def _encode_plain_float64(value: Any) -> str:
    return pyon.encode(value, plain_float64=True)


V1: Final = Dialect("PYON v1", pyon_v1.encode, _decode_v1)
V2: Final = Dialect("PYON v2", pyon.encode, pyon.decode)
V2_PLAIN_FLOAT64: Final = Dialect("PYON v2", _encode_plain_float64, pyon.decode)


def excerpt(line: bytes) -> str:
    """Show the beginning of a line in an error message."""
    shown = repr(line[:60])[1:]
    return shown if len(line) <= 60 else f"{shown}… ({len(line)} bytes)"
