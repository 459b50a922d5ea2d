"""Whether what a command writes may have colours, and texts in them. No layout here."""

from __future__ import annotations

import os
from typing import Final, TextIO

STYLES: Final = {  # by the codes of ECMA-48, which terminals and Windows since 10 understand
    "bold": "1",
    "dim": "2",
    "red": "31",
    "yellow": "33",
    "cyan": "36",
    "bold red": "1;31",
}


def is_terminal(stream: TextIO | None) -> bool:
    """Tell whether a person looks at what is written to a stream."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # it is closed
        return False


def is_coloured(stream: TextIO | None) -> bool:
    """Tell whether to write colours: to a terminal that has some, unless `NO_COLOR` is set."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return is_terminal(stream)


def paint(text: str, style: str) -> str:
    """Give a text in a style of `STYLES`, for a stream that `is_coloured`."""
    return f"\x1b[{STYLES[style]}m{text}\x1b[0m"
