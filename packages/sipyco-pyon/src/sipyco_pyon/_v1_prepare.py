"""Texts of PYON v1 before Python's parser gets them: what it would refuse, or would choke on.

What they mean is not known here.
"""

from __future__ import annotations

import re
from typing import Final

from sipyco_pyon._bigint import from_decimal

__all__: list[str] = []

# A number that Python's own parser may refuse for its length.
_LONG_NUMBER: Final = re.compile(r"(?<![0-9])[0-9]{600,}")

# A string that is not terminated goes on to the end, or its quotes would all be looked at as
# beginnings of others.
_STRING: Final = (
    r'''"""(?:[^"\\]++|\\.|"(?!""))*+(?:""")?|"[^"\\]*+(?:\\.[^"\\]*+)*+"?'''
    r"""|'''(?:[^'\\]++|\\.|'(?!''))*+(?:''')?|'[^'\\]*+(?:\\.[^'\\]*+)*+'?"""
)
_STRING_OR_NUMBER: Final = re.compile(
    rf"{_STRING}|(?<![\w.])(?P<number>[0-9]{{600,}})(?![\w.])", re.DOTALL
)

# A comment may have what looks like the beginning of a string.
_STRING_OR_COMMENT: Final = re.compile(rf"{_STRING}|#[^\r\n]*", re.DOTALL)

# What makes a string one with expressions in it, just before its first quote.
_FORMATTED: Final = re.compile(r"(?:[ft]r?|r[ft])\Z", re.IGNORECASE)

# What Python's parser makes something of, beside strings: a character that is not part of a name
# or a number, or a word after another one. A list of numbers has one for each, the comma; a sign
# is part of its number where it cannot be an operator.
_ITEM: Final = re.compile(
    r"[^\w\s.+-]|(?<![\s,(\[{:=])[+-]|[+-](?![\d.])|\.(?![0-9])|(?<=\w)\s+(?=[\w+-])"
)

# Of a text. The parser takes up to 1,500 bytes for each: so about as much in all as values of the
# other dialect take, in the longest line of the protocols. Two million numbers may still come.
MAX_ITEMS: Final = 2 * 1024 * 1024

_SLICE: Final = 64 * 1024  # characters to look at in one go


def check_size(text: str) -> None:
    """Refuse a text that would take too much memory.

    Raises:
        ValueError: that is so.
    """
    if len(text) <= MAX_ITEMS:
        return
    count, position = 0, 0
    for match in _STRING_OR_COMMENT.finditer(text):
        start = match.start()
        if _FORMATTED.search(text, max(position, start - 2), start):
            raise ValueError("not part of PYON v1: a string with expressions in it")
        count += 1 + _items(text, position, start)
        position = match.end()
        if count > MAX_ITEMS:
            break
    if count + _items(text, position, len(text)) > MAX_ITEMS:
        raise ValueError(
            f"not PYON v1: it has more than {MAX_ITEMS} items; "
            "an array is one, and PYON v2 has no such limit"
        )


def _items(text: str, start: int, end: int) -> int:
    """Count what there is between two strings, as far as it matters."""
    count = 0
    for begin in range(start, end, _SLICE):
        count += len(_ITEM.findall(text, begin, min(begin + _SLICE, end)))
        if count > MAX_ITEMS:
            break
    return count


def take_numbers(text: str) -> tuple[str, list[int]]:
    """Put names in the places of the integers that the parser may refuse for their length.

    Returns:
        The text, in which `_long_0` stands for the first one, and the integers.

    Raises:
        ValueError: one of them is too long.
    """
    numbers: list[int] = []

    def stand_in(match: re.Match[str]) -> str:
        if match["number"] is None:
            return match[0]
        numbers.append(from_decimal(match["number"]))
        return f"_long_{len(numbers) - 1}"

    if _LONG_NUMBER.search(text):
        text = _STRING_OR_NUMBER.sub(stand_in, text)
    return text, numbers
