"""Large values in short, for a person at a prompt. What programs read is never shortened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pprint import pformat
from typing import Any, Final

_MOST_ITEMS: Final = 200  # of all containers in a value together; most take a line each
_MOST_CHARACTERS: Final = 2000  # of a text, and bytes of what holds bytes: a screen full


class _Rest:
    """Stands for what is left out."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def abridged_text(value: Any) -> str:
    """Give a value as `pprint` has it, without most of what it has too many of.

    Arrays are shortened by NumPy itself.
    """
    shortener = _Shortener()
    copy = shortener.shortened(value)
    # A part of a dictionary is shown in its own order, with what is left out at its end.
    return pformat(copy, sort_dicts=False) if shortener.cut else pformat(value)


class _Shortener:
    """Copies a value as far as there is room; `cut` tells whether it had no room for all."""

    def __init__(self) -> None:
        self.cut = False
        self._left = _MOST_ITEMS

    def shortened(self, value: Any) -> Any:
        kind = type(value)
        if kind in (str, bytes, bytearray) and len(value) > _MOST_CHARACTERS:
            self.cut = True
            rest = len(value) - _MOST_CHARACTERS
            return _Rest(f"{value[:_MOST_CHARACTERS]!r} ... {rest} more")
        if kind in (list, tuple, set, frozenset):
            items = [self.shortened(item) for item in self._some_of(value)]
            if len(items) < len(value):
                items.append(_Rest(f"... {len(value) - len(items)} more"))
            return kind(items)
        if kind is dict:
            found = {key: self.shortened(value[key]) for key in self._some_of(value)}
            if len(found) < len(value):
                found[_Rest("...")] = _Rest(f"{len(value) - len(found)} more")
            return found
        return value

    def _some_of(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            if not self._left:
                self.cut = True
                break
            self._left -= 1
            yield item
