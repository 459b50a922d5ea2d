"""Write several files, all of them or none. What is in them is no matter here."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

__all__: list[str] = []


class NewFile(NamedTuple):
    """A file to write.

    Attributes:
        path: where; another file there is replaced only if `replace` says so.
        data: its content.
        mode: its permission bits, less those of the umask, from the first moment.
        replace: whether it may take the place of another file.
    """

    path: Path
    data: bytes
    mode: int
    replace: bool


def write_all(files: Iterable[NewFile]) -> None:
    """Write files and flush them to the disk; when that fails, leave none of them.

    Files that replace others are written beside them first, and get their names when everything
    is on the disk. Only a crash between two of these renames can leave some of them new, others
    old.

    Raises:
        FileExistsError: a file is there, and may not be replaced.
        OSError: a file cannot be written.
    """
    made: list[Path] = []
    renames: list[tuple[Path, Path]] = []
    try:
        for file in files:
            path = file.path
            if file.replace:
                path = path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")
                renames.append((path, file.path))
            _write(path, file, made)
        for temporary, path in renames:
            os.replace(temporary, path)
    except BaseException:
        for path in made:
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass  # it has its name already
        raise
    for directory in {path.parent for path in made}:
        _flush(directory)


def _write(path: Path, file: NewFile, made: list[Path]) -> None:
    try:
        # O_EXCL: neither another's file nor a link to one, made in the meantime, is written to.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file.mode)
        made.append(path)
        with open(descriptor, "wb") as stream:
            stream.write(file.data)
            stream.flush()
            os.fsync(descriptor)
    except OSError as exc:
        # A full disk names no file, and other errors the temporary one.
        raise OSError(exc.errno, exc.strerror, str(file.path)) from exc


def _flush(directory: Path) -> None:
    """Make new names durable, where the system can."""
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
