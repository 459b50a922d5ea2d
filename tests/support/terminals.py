"""Standard output of a person, for what is written otherwise to a terminal."""

from __future__ import annotations


class Terminal:
    """A stream that is a terminal; what is written is kept.

    Attributes:
        text: all of it.
    """

    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass
