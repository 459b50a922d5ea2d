"""Write several files, all of them or none. What is in them is no matter here."""

from __future__ import annotations

import errno
import os
import stat
import sys
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
        replace: whether it may take the place of another file, which passes on its owner and
            group if this process may give them, and takes away the bits that it does not have. A
            symbolic link stays one.
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
                target = Path(os.path.realpath(path))
                if target.is_dir():  # which the rename would find out, after others
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
                path = target.with_name(f".{target.name}.{os.urandom(8).hex()}.tmp")
                renames.append((path, target))
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
            if file.replace and file.path.exists():
                _take_after(descriptor, file)
            stream.write(file.data)
            stream.flush()
            os.fsync(descriptor)
    except OSError as exc:
        # A full disk names no file, and other errors the temporary one.
        raise OSError(exc.errno, exc.strerror, str(file.path)) from exc


def _take_after(descriptor: int, file: NewFile) -> None:
    """Let a program that could read the old file read the new one, and nobody else."""
    if sys.platform == "win32":  # pragma: elsewhere (Windows)
        return
    old, new = file.path.stat(), os.fstat(descriptor)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        for owner in (old.st_uid, -1):  # -1: only root gives files away
            try:
                os.fchown(descriptor, owner, old.st_gid)
                break
            except OSError:
                pass  # the file is ours, then, as every new one
    os.fchmod(descriptor, file.mode & stat.S_IMODE(old.st_mode))


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
