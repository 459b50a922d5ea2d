"""A file that has the port of a server for as long as it can be used. No sockets here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sipyco_pyon.files import read_text, replace_text
from sipyco_rpc.support.one_line import in_one_line

__all__ = ["port_file", "remove_port_files"]


# The files that there are, with their contents, for when the process is ended at once. Two servers
# may be given the same one.
_written: Final[list[tuple[str, str]]] = []


@contextmanager
def port_file(path: str | os.PathLike[str] | None, port: int) -> Iterator[None]:
    """Have the number of a port in a file, which is written as a whole, and removed in the end.

    Args:
        path: of the file, which is replaced if there is one; None for none.
        port: what to write, with a newline.

    Raises:
        OSError: it cannot be written.
    """
    if path is None:
        yield
        return
    path, text, process = os.path.abspath(path), f"{port}\n", os.getpid()
    try:
        replace_text(path, text)
    except OSError as exc:
        reason = f"cannot write the port file: {exc.strerror}"
        raise in_one_line(OSError(exc.errno, reason, path)) from exc
    _written.append((path, text))
    try:
        yield
    finally:
        _written.remove((path, text))
        if os.getpid() == process:  # and not a child that was forked
            _remove(path, text)


def remove_port_files() -> None:
    """Remove all that there are: the process is about to end."""
    for path, text in list(_written):
        _remove(path, text)


def _remove(path: str, text: str) -> None:
    """Remove the file, unless somebody else has written it since."""
    try:
        if read_text(path) == text:
            os.unlink(path)
    except (OSError, ValueError):
        pass  # it is gone, or another one is in its place
