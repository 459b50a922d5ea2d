"""Inputs that are kept: a text file for each target, with an input on each line.

A line is a literal of Python's `bytes`. So a corpus can be read, searched and reviewed, a line of
it can be pasted into a test, and a change of it is a few lines; a folder with hundreds of nameless
binary files, as fuzzers have it, is none of that.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path
from typing import Final

__all__ = ["FOLDER", "path_of", "read", "write"]

FOLDER: Final = Path(__file__).parent / "corpora"


def path_of(target: str) -> Path:
    """Tell where the inputs of a target are kept."""
    return FOLDER / f"{target}.txt"


def read(path: Path, *, must_exist: bool = False) -> list[bytes]:
    """Read the inputs of a file; if there is none, there are none.

    Raises:
        OSError: it cannot be read; or there is none, where it must exist.
        ValueError: a line is no literal of `bytes`.
    """
    if not must_exist and not path.exists():
        return []
    inputs = []
    for number, line in enumerate(path.read_text("ascii", "backslashreplace").splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        try:
            data = ast.literal_eval(line)
        except (SyntaxError, ValueError):
            data = None
        if not isinstance(data, bytes):
            raise ValueError(f"{path}, line {number}: expected a literal of bytes, got {line:.60}")
        inputs.append(data)
    return inputs


def write(path: Path, inputs: Iterable[bytes]) -> None:
    """Write inputs to a file: each once, short ones first."""
    lines = [repr(data) for data in sorted(set(inputs), key=lambda data: (len(data), data))]
    path.write_text("".join([line + "\n" for line in lines]), "ascii")
