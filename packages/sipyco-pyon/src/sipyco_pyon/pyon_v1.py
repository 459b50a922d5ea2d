"""PYON v1: the older dialect, which resembles Python source.

Programs from before 2025 speak it. Reading evaluates nothing: the text is parsed, and only what
the format consists of is accepted. New programs use `pyon`.
"""

from __future__ import annotations

from os import PathLike
from typing import Any

from sipyco_pyon._cycles import circular_reference_error
from sipyco_pyon._refusals import explain
from sipyco_pyon._registry import VALUE
from sipyco_pyon._v1_reader import check_size, read
from sipyco_pyon._v1_writer import Writer
from sipyco_pyon.files import read_text, replace_text

__all__ = ["decode", "encode", "load_file", "store_file"]


def encode(x: Any, pretty: bool = False, *, name: str = VALUE) -> str:
    """Write a value as PYON v1.

    Args:
        x: the value. Exact classes only: a subclass is not taken for its base.
        pretty: spread dictionaries over several lines.
        name: what errors call the value, in telling the place of what cannot be encoded.

    Raises:
        TypeError: a value of a type that cannot be encoded; the text shows it, and its place.
        ValueError: a structure contains itself, or an integer has more than 100,000 digits.
        RecursionError: a structure is nested too deeply.
    """
    writer = Writer(pretty)
    try:
        return writer.write(x)
    except RecursionError:
        error = circular_reference_error(x, name=name)
        if error is None:
            raise
    except (TypeError, ValueError) as exc:
        explain(exc, name, writer.places, writer.refused, dialect="v1")
        raise
    raise error


def decode(s: str) -> Any:
    """Read a value from PYON v1.

    Args:
        s: the text.

    Raises:
        ValueError: it is not PYON v1, or a value in it is malformed. An integer has more than
            100,000 digits, or the text more than 2,097,152 items, of which an array is one.
        ImportError: it holds NumPy values, and NumPy is not installed.
        RecursionError: it is nested too deeply.
    """
    check_size(s)
    return read(s)


def store_file(filename: str | PathLike[str], x: Any) -> None:
    """Write a value to a file in the pretty form, atomically; see `pyon.store_file`."""
    replace_text(filename, encode(x, pretty=True) + "\n")


def load_file(filename: str | PathLike[str]) -> Any:
    """Read a value from a file, which may be of any length; see `decode`."""
    return read(read_text(filename))
