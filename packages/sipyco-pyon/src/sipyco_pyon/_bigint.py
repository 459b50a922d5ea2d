"""Long integers as decimal text, whatever limit the interpreter has. No PYON here.

Python limits conversions between `int` and `str` (4,300 digits by default) because they take
quadratic time. These take less than that, and leave the limit of the program alone. They have one
of their own all the same: a peer must not be able to stop a program for hours by one number.
"""

from __future__ import annotations

from sipyco_pyon.limits import MAX_DIGITS

TYPE_CHECKING = False  # importing `typing` costs more than all of this package
if TYPE_CHECKING:
    from typing import Final

_CHUNK: Final = 600  # digits that are always allowed: the limit cannot be set below 640
_MAX_BITS: Final = 332_193  # of an integer with so many digits, at most


def _too_long(digits: object) -> ValueError:
    """Make the error of an integer that has too many digits."""
    return ValueError(f"an integer has at most {MAX_DIGITS} digits, got {digits}")


def check_digits(value: int) -> None:
    """Raise `ValueError` if an integer surely has too many digits, without counting them."""
    if value.bit_length() > _MAX_BITS:
        raise _too_long(f"about {value.bit_length() * MAX_DIGITS // _MAX_BITS}")


def to_decimal(value: int) -> str:
    """Write an integer in decimal.

    Raises:
        ValueError: it has more than `MAX_DIGITS` digits.
    """
    if value.bit_length() <= 3 * _CHUNK:
        return int.__repr__(value)
    if value < 0:
        return "-" + to_decimal(-value)
    check_digits(value)
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
    text = "".join(pieces).lstrip("0")
    if len(text) > MAX_DIGITS:
        raise _too_long(len(text))
    return text


def from_decimal(text: str) -> int:
    """Read an integer: an optional sign and decimal digits.

    Raises:
        ValueError: there are more than `MAX_DIGITS` of them.
    """
    if len(text) <= _CHUNK:
        return int(text)
    if text[0] in "+-":
        magnitude = from_decimal(text[1:])
        return -magnitude if text[0] == "-" else magnitude
    if len(text) > MAX_DIGITS:
        raise _too_long(len(text))
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
