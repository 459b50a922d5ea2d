"""Integers of any size as decimal text, whatever limit the interpreter has. No PYON here.

Python limits conversions between `int` and `str` (4,300 digits by default) because they take
quadratic time. These take less than that, and leave the limit of the program alone.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing `typing` costs more than all of this package
if TYPE_CHECKING:
    from typing import Final

__all__: list[str] = []

_CHUNK: Final = 600  # digits that are always allowed: the limit cannot be set below 640


def to_decimal(value: int) -> str:
    """Write an integer in decimal."""
    if value.bit_length() <= 3 * _CHUNK:
        return int.__repr__(value)
    if value < 0:
        return "-" + to_decimal(-value)
    powers = [10**_CHUNK]
    while powers[-1] <= value:
        powers.append(powers[-1] ** 2)
    pieces: list[str] = []

    def write(part: int, level: int) -> None:
        if level < 0:
            pieces.append(int.__repr__(part).zfill(_CHUNK))
            return
        high, low = divmod(part, powers[level])
        write(high, level - 1)
        write(low, level - 1)

    write(value, len(powers) - 1)
    return "".join(pieces).lstrip("0")


def from_decimal(text: str) -> int:
    """Read an integer: an optional sign and decimal digits."""
    if len(text) <= _CHUNK:
        return int(text)
    if text[0] in "+-":
        magnitude = from_decimal(text[1:])
        return -magnitude if text[0] == "-" else magnitude
    first = len(text) % _CHUNK
    parts = [int(text[:first])] if first else []
    parts += [int(text[i : i + _CHUNK]) for i in range(first, len(text), _CHUNK)]
    power: int = 10**_CHUNK
    while len(parts) > 1:
        if len(parts) % 2:
            parts.insert(0, 0)
        parts = [high * power + low for high, low in zip(parts[::2], parts[1::2], strict=True)]
        power *= power
    return parts[0]
