"""Texts of PYON v1 before Python's parser gets them: what it would refuse, or would choke on.

What they mean is not known here.
"""

from __future__ import annotations

import re
from typing import Final

from sipyco_pyon._numbers import from_decimal

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

# Of a text beside its strings, in characters. Python's parser takes up to 550 bytes for each: so
# no more in all than values of the other dialect take, in the longest line of the protocols.
MAX_SYNTAX: Final = 4 * 1024 * 1024


def check_size(text: str) -> None:
    """Refuse a text that would take too much memory.

    Raises:
        ValueError: that is so.
    """
    if len(text) <= MAX_SYNTAX:
        return
    size, position = 0, 0
    for match in _STRING_OR_COMMENT.finditer(text):
        start = match.start()
        if _FORMATTED.search(text, max(position, start - 2), start):
            raise ValueError("not part of PYON v1: a string with expressions in it")
        size += start - position + 1
        position = match.end()
        if size > MAX_SYNTAX:
            break
    if size + len(text) - position > MAX_SYNTAX:
        raise ValueError(
            f"not PYON v1: beside its strings it has more than {MAX_SYNTAX} characters; "
            "arrays have none, and PYON v2 has no such limit"
        )


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
