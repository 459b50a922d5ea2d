"""Files that are written as a whole or not at all. Nothing of PYON here.

A file is written under a temporary name in its directory, flushed to the disk, and renamed over
the old one: a reader sees the old one or the new one, and after a crash one of them is there.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import time

from sipyco_pyon.limits import ABANDONED_AFTER

TYPE_CHECKING = False  # importing `typing` costs more than all of this package
if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike
    from typing import Final

__all__ = ["NewFile", "read_text", "replace_text", "write_files"]

# Temporary files are `.sipyco-`, 16 hexadecimal digits, `.tmp`. The name of the file is no part of
# it: that may have all the 255 bytes that file systems allow.
_PREFIX: Final = ".sipyco-"
_SUFFIX: Final = ".tmp"
_DIGITS: Final = 16

_ATTEMPTS: Final = 3  # to replace a file whose temporary one is gone each time

# When this process last looked for such files, by directory. Not at each write: a directory may
# hold very many files.
_looked: Final[dict[str, float]] = {}
_MAX_LOOKED: Final = 256  # directories to remember; with more, some are looked through more often


class NewFile:
    """A file for `write_files` to write.

    Args:
        path: its name.
        data: its content.
        mode: the most permission bits that it gets. A file that is replaced passes on its own; a
            new one has at most those of reading and writing, less the umask.
        replace: whether it may take the place of another file. That passes on its owner and group,
            too, if the process may give them. A symbolic link is followed; another hard link keeps
            the old content.
    """

    def __init__(
        self, path: str | PathLike[str], data: bytes, mode: int = 0o7777, *, replace: bool = True
    ) -> None:
        self.data = data
        self._path = os.fspath(path)
        self._mode = mode
        self._replace = replace
        self._target = os.path.realpath(path) if replace else os.path.abspath(path)
        self._directory = os.path.dirname(self._target)
        self._written = ""  # the name under which it is on the disk

    def _write(self) -> None:
        """Write the content under a temporary name, or under its own if none is to be replaced."""
        self._written, old, name = "", None, self._target
        if self._replace:
            old = _status(self._target)
            name = f"{_PREFIX}{os.urandom(_DIGITS // 2).hex()}{_SUFFIX}"
            name = os.path.join(self._directory, name)
        # From the first moment it is readable by nobody who may not read it in the end.
        mode = self._mode & 0o666 & (old.st_mode if old else 0o666)
        try:
            # O_EXCL: what somebody else makes in the meantime, a link perhaps, is not written to.
            descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except (FileNotFoundError, PermissionError) as exc:
            # The file itself may well be there, and writable: what it takes must be said.
            text = f"{exc.strerror}: no file can be made in {self._directory}"
            raise OSError(exc.errno, text) from exc
        self._written = name
        with open(descriptor, "wb") as file:
            if self._replace:
                _remove_abandoned(self._directory, os.fstat(descriptor).st_mtime)
            if old:
                _keep_owner(descriptor, old)
                mode = self._mode & stat.S_IMODE(old.st_mode)
                if stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:
                    os.chmod(name, mode)
            file.write(self.data)
            file.flush()
            os.fsync(descriptor)

    def _rename(self) -> None:
        """Give it its name, if that is another one."""
        if self._written == self._target:
            return
        for _ in range(_ATTEMPTS):
            if not self._written:
                self._write()
            try:
                os.replace(self._written, self._target)
                return
            except FileNotFoundError:
                self._written = ""  # somebody took it for left behind
        raise FileNotFoundError(errno.ENOENT, "its temporary file is removed each time")

    def _discard(self) -> None:
        """Remove what was written, unless it has replaced another file."""
        try:
            os.unlink(self._written)
        except OSError:
            pass  # renamed already, or lost with its disk: the first error says more


def replace_text(filename: str | PathLike[str], text: str) -> None:
    """Write a text to a file, in UTF-8, as `write_files` does.

    Args:
        filename: the file, which is replaced if there is one.
        text: its content.

    Raises:
        UnicodeEncodeError: the text has lone surrogates.
        OSError: as for `write_files`.
    """
    write_files([NewFile(filename, text.encode())])


def read_text(filename: str | PathLike[str]) -> str:
    """Read a file in UTF-8."""
    with open(filename, encoding="utf-8") as file:
        return file.read()


def write_files(files: Iterable[NewFile]) -> None:
    """Write files, all of them or none, and flush them to the disk.

    Files that replace others get their names when everything is on the disk. Only a crash, or an
    error, between two of these renames can leave some of them new and others old. Otherwise, when
    anything fails, all is as it was before; what a process that was killed has left under
    temporary names, a later call removes.

    Args:
        files: they are written, and get their names, in this order.

    Raises:
        FileExistsError: a file is there, and may not be replaced.
        OSError: the directory or the disk does not allow it, or what is to be replaced is no
            regular file. Its `filename` is the path that was given.
    """
    files = list(files)
    try:
        for file in files:
            file._write()
        for file in files:
            file._rename()
    except BaseException as exc:
        for each in files:
            each._discard()
        if isinstance(exc, OSError):
            # A full disk names no file, and other errors the temporary one.
            raise OSError(exc.errno, exc.strerror, file._path) from exc
        raise
    for directory in {file._directory for file in files}:
        _flush_directory(directory)


def _status(target: str) -> os.stat_result | None:
    """Return the status of the file to replace, or None if there is none."""
    try:
        old = os.stat(target)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(old.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(old.st_mode):
        # Such as `/dev/null`, which root could replace by a file.
        raise OSError(errno.EINVAL, "expected a regular file, got a device, a pipe or a socket")
    return old


def _keep_owner(descriptor: int, old: os.stat_result) -> None:
    """Give a new file the owner and group of the old one, as far as this process may."""
    if sys.platform == "win32":  # pragma: elsewhere (Windows)
        return
    new = os.fstat(descriptor)
    if (new.st_uid, new.st_gid) == (old.st_uid, old.st_gid):
        return
    for owner in (old.st_uid, -1):  # -1: only root gives files away, but a group of ours will do
        try:
            os.fchown(descriptor, owner, old.st_gid)
            return
        except OSError:
            pass  # the file is ours, then, as every new one


def _remove_abandoned(directory: str, now: float) -> None:
    """Remove what killed processes have left in a directory, once in a while.

    `now` is the time by the clock of the file system, which may be that of another host.
    """
    moment = time.monotonic()
    if moment - _looked.get(directory, -ABANDONED_AFTER) < ABANDONED_AFTER:
        return
    if len(_looked) >= _MAX_LOOKED:
        _looked.clear()
    _looked[directory] = moment
    try:
        with os.scandir(directory) as entries:
            for entry in filter(_is_temporary, entries):
                try:
                    if now - entry.stat(follow_symlinks=False).st_mtime >= ABANDONED_AFTER:
                        os.unlink(entry)
                except OSError:
                    pass  # it has gone, or is somebody else's
    except OSError:
        pass  # one may be allowed to make files in a directory, and not to list it


def _is_temporary(entry: os.DirEntry[str]) -> bool:
    digits = entry.name.removeprefix(_PREFIX).removesuffix(_SUFFIX)
    return (
        entry.name == f"{_PREFIX}{digits}{_SUFFIX}"
        and len(digits) == _DIGITS
        and set(digits) <= set("0123456789abcdef")
        and entry.is_file(follow_symlinks=False)
    )


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
