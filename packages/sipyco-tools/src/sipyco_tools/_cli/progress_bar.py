"""A bar for what takes long, on standard error and for persons. What it counts is not known."""

from __future__ import annotations

import shutil
import sys
import time
from typing import Final

from sipyco_tools._cli.colour import is_terminal
from sipyco_tools._cli.output import show_part

_PATIENCE: Final = 0.5  # seconds; what is over by then needs no bar
_INTERVAL: Final = 0.1  # seconds between two pictures
_WIDTH: Final = 30  # characters of the bar itself
_MIB: Final = 1024 * 1024


class ProgressBar:
    """Shows how far something has come, once it has taken a while; `clear` removes it."""

    def __init__(self) -> None:
        self._begun = self._drawn = time.monotonic()
        self._shown = False
        self._terminal = is_terminal(sys.stderr)

    def update(self, what: str, done: int, total: int | None) -> None:
        """Take note of how far it has come.

        Args:
            what: is done, such as "received".
            done: bytes so far.
            total: bytes in all, if that is known.
        """
        now = time.monotonic()
        if not self._terminal or now - self._begun < _PATIENCE or now - self._drawn < _INTERVAL:
            return
        self._drawn, self._shown = now, True
        text = f"{what} {done / _MIB:.1f} MiB"
        if total:
            filled = _WIDTH * done // total
            text = (
                f"{text} of {total / _MIB:.1f} [{'#' * filled:{_WIDTH}}] {100 * done // total} %"
            )
        show_part("\r" + text[: shutil.get_terminal_size().columns - 1] + "\x1b[K")

    def clear(self) -> None:
        """Remove it, before something else is written."""
        if self._shown:
            show_part("\r\x1b[K")
        self._begun, self._shown = time.monotonic(), False
