"""How values become lines: the two PYON dialects. No conversation here."""

from __future__ import annotations

from sipyco_pyon import pyon

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from typing import Any, Final

    from sipyco_rpc.support.memory import Text


class DialectV1:
    """PYON v1, which resembles Python source: of programs from before 2025."""

    name: Final = "PYON v1"

    def to_line(self, value: Any) -> bytes:
        from sipyco_pyon import pyon_v1  # newer programs do without it

        return pyon_v1.encode(value).encode("ascii") + b"\n"

    def decode(self, text: Text, buffers: list[Any]) -> Any:
        from sipyco_pyon import pyon_v1

        return pyon_v1.decode(text.decode())


class DialectV2:
    """PYON v2, which is JSON.

    Args:
        plain_float64: write `numpy.float64` scalars as plain numbers, as older programs do.
    """

    name: Final = "PYON v2"

    def __init__(self, plain_float64: bool = False) -> None:
        self.plain_float64 = plain_float64

    def to_line(self, value: Any) -> bytes:
        return pyon.encode_bytes(value, plain_float64=self.plain_float64, end="\n")

    def decode(self, text: Text, buffers: list[Any]) -> Any:
        return pyon.decode(text, buffers=buffers) if buffers else pyon.decode(text)


V1: Final = DialectV1()
V2: Final = DialectV2()
