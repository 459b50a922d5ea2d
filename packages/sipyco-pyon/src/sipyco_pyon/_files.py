"""Replace a file so that a reader, or a crash, sees the old one or the new one. No PYON here."""

from __future__ import annotations

import os
import stat
from os import PathLike

__all__: list[str] = []


def replace_text(filename: str | PathLike[str], text: str) -> None:
    """Write a text to a file, in UTF-8, atomically.

    The text is written to a temporary file in the same directory, flushed to disk, and renamed
    over the old one, whose permission bits it keeps. A symbolic link is followed. When anything
    fails, the old file is untouched and nothing else is left behind.

    Raises:
        OSError: the directory or the disk does not allow it.
    """
    target = os.path.realpath(os.fspath(filename))
    directory = os.path.dirname(target)
    temporary = f"{target}.{os.getpid()}-{os.urandom(4).hex()}.tmp"
    try:
        mode: int | None = stat.S_IMODE(os.stat(target).st_mode)
    except FileNotFoundError:
        mode = None  # the bits that an ordinary `open` would give
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
            if mode is not None:
                os.chmod(temporary, mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        try:
            os.unlink(temporary)
        except FileNotFoundError:
            pass  # renamed already
        raise
    _flush_directory(directory)


def _flush_directory(directory: str) -> None:
    """Make the new name durable, where the system can."""
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError:
        return  # Windows cannot open directories
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # nor can some network file systems flush them
    finally:
        os.close(descriptor)


def read_text(filename: str | PathLike[str]) -> str:
    """Read a file in UTF-8."""
    with open(filename, encoding="utf-8") as file:
        return file.read()
