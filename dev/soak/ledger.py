"""Files that processes write what they did to, line by line, and that outlive their SIGKILL.

What the lines mean is not known here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Ledger", "Tail"]


class Ledger:
    """Append lines to a file; from any thread, and for several processes at once.

    A line is one `write`: the system has it whole, whatever becomes of the process.
    """

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, *fields: object) -> None:
        """Append a line of fields; only the last may have white space in it."""
        text = " ".join(map(str, fields)).replace("\n", " / ")
        os.write(self._descriptor, text.encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


class Tail:
    """Read the lines that have been added to a file since the last time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0

    def lines(self) -> Iterator[str]:
        """Give the complete lines that are new."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._position)
                data = file.read()
        except FileNotFoundError:
            return  # its process has not begun
        whole, newline, _ = data.rpartition(b"\n")
        self._position += len(whole) + len(newline)
        for line in whole.splitlines():
            yield line.decode()
