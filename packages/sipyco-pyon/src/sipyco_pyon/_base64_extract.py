"""Extraction of long base64 from a text before it is read as JSON. Nothing else of PYON here.

A string literal of valid JSON may have another content, and the text is still valid. So the data
of a long array is taken from where it stands, straight into the memory of the array, and what is
read as JSON has a short string in its place. Whatever is not exactly as `encode` writes it stays
in the text.
"""

from __future__ import annotations

import os

from sipyco_pyon._base64 import b64decode
from sipyco_pyon._compat import make_scanner
from sipyco_pyon._registry import TAG
from sipyco_pyon._tag_decoder import decode_short_tag, numpy_codec

TYPE_CHECKING = False  # importing `typing` costs more than all of this package
if TYPE_CHECKING:
    from typing import Any, Final

# Literals of twice this length contain a whole window without a quote, and are found by that.
# Shorter ones cost less in the scanner than to be extracted.
_WINDOW: Final = 2048
EXTRACT_FROM: Final = 2 * _WINDOW

# In valid JSON these can only be what they look like: within a string, their quotes would be
# escaped. In what is not valid JSON it does no harm: reading fails at the same place.
_ARRAY: Final = '{"__jsonclass__":["nparray",['
_BYTES: Final = '{"__jsonclass__":["bytes",["'

# Base64 is decoded in pieces that stay in the processor's cache.
_CHUNK: Final = 65536

# A peer must not be able to refer to what was extracted, so it must not be able to guess this.
_TOKEN: Final = os.urandom(16).hex()


def _only_tuples(members: dict[str, Any]) -> Any:
    """Accept what the description of a dtype consists of."""
    if TAG in members:
        description = members[TAG]
        if type(description) is not list or not description or description[0] != "tuple":
            raise ValueError("no description of a dtype")
    return decode_short_tag(members)


_scan_head: Final = make_scanner(_only_tuples)


def extract_base64(source: Any) -> tuple[Any, dict[str, Any]]:
    """Extract the data of long arrays and long `bytes`.

    Args:
        source: a string, or bytes that hold one.

    Returns:
        The text that is left, of the same class, and the values by the strings that stand for
        their data there.
    """
    extraction = _Extraction(source)
    return extraction.rest(), extraction.values


class _Extraction:
    """A text, of which the beginning is in pieces and values already."""

    def __init__(self, source: Any) -> None:
        self.values: dict[str, Any] = {}
        self._source = source
        self._is_text = isinstance(source, str)
        self._view = source if self._is_text else memoryview(source)
        self._pieces: list[Any] = []
        self._done = 0  # what comes before is in the pieces
        self._search()

    def rest(self) -> Any:
        """Return the text that is left."""
        if not self._pieces:
            return self._source
        pieces = [*self._pieces, self._source[self._done :]]
        return "".join(pieces) if self._is_text else b"".join(pieces)

    def _mark(self, text: str) -> Any:
        """Give a text in the class of the source."""
        return text if self._is_text else text.encode("ascii")

    def _search(self) -> None:
        source = self._source
        quote = self._mark('"')
        length = len(source)
        position = 0
        while position + _WINDOW <= length:
            if source.find(quote, position, position + _WINDOW) >= 0:
                position += _WINDOW
                continue
            end = source.find(quote, position)
            if end < 0:
                return
            start = source.rfind(quote, max(position - _WINDOW, self._done), position) + 1
            if start:
                self._extract(start, end)
            position = end + 1

    def _extract(self, start: int, end: int) -> None:
        """Extract the literal with that content, if it is the data of an array or of bytes."""
        head = self._source[max(start - _WINDOW, self._done) : start]
        try:
            if head.endswith(self._mark(_BYTES)):
                value: Any = b64decode(self._view[start:end])
            else:
                value = self._array(head, start, end)
        except Exception:  # noqa: BLE001  (whatever is wrong is told when the text is read)
            return
        if value is None:
            return
        name = f"{_TOKEN}-{len(self.values)}"
        self.values[name] = value
        self._pieces.append(self._source[self._done : start])
        self._pieces.append(self._mark(name))
        self._done = end

    def _array(self, head: Any, start: int, end: int) -> Any:
        """Decode an array, or return None where no array's data begins."""
        begin = head.rfind(self._mark(_ARRAY))
        if begin < 0:
            return None
        head = head[begin + len(_ARRAY) - 1 :]
        text = (head if self._is_text else head.decode("ascii")) + '"]'
        arguments, length = _scan_head(text, 0)
        if length != len(text) or type(arguments) is not list or len(arguments) != 3:
            return None
        shape, description, data = arguments
        if data != "":
            return None
        padding = self._source.count(self._mark("="), end - 2, end)
        size = (end - start) // 4 * 3 - padding
        array, memory = numpy_codec().empty_array(shape, description, size)
        position = 0
        for at in range(start, end, _CHUNK):
            chunk = b64decode(self._view[at : min(at + _CHUNK, end)])
            after = position + len(chunk)
            # Refused if padding has made it shorter, but at the end.
            memory[position:after] = chunk
            position = after
        return array if position == size else None
