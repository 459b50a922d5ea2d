"""Replace a file so that a reader, or a crash, sees the old one or the new one. No PYON here."""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from os import PathLike

TYPE_CHECKING = False  # importing `typing` costs more than all of this package
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

__all__: list[str] = []

# Temporary files are `.sipyco-`, 16 hexadecimal digits, `.tmp`. The name of the file is no part of
# it: that may have all the 255 bytes that file systems allow.
_PREFIX: Final = ".sipyco-"
_SUFFIX: Final = ".tmp"
_DIGITS: Final = 16

# Seconds without a write after which a temporary file counts as left behind by a process that was
# killed. Neither the id of a process nor a lock would tell: the directory may be shared with other
# hosts and containers, and the locks of network file systems may hang. A process that was only
# slow finds its file gone, and writes another.
_ABANDONED: Final = 600.0
_ATTEMPTS: Final = 3  # of a store whose temporary file is gone each time

# When this process last looked for such files, by directory. Not at each store: a directory may
# hold very many files.
_looked: Final[dict[str, float]] = {}
_MAX_LOOKED: Final = 256  # directories to remember; with more, some are looked through more often


def replace_text(filename: str | PathLike[str], text: str) -> None:
    """Write a text to a file, in UTF-8, atomically.

    The text is written to a temporary file in the same directory, flushed to disk, and renamed
    over the old one. That passes on its permission bits, and its owner and group if the process
    may give them. A symbolic link is followed; another hard link keeps the old content. When
    anything fails, the old file is untouched and nothing else is left behind; what a process that
    was killed has left, a later call removes.

    Raises:
        OSError: the directory or the disk does not allow it, or what is there is no regular file.
            Its `filename` is the one that was given.
    """
    data = text.encode()  # what cannot be encoded fails before anything is made
    try:
        target = os.path.realpath(filename)
        for _ in range(_ATTEMPTS):
            if _replaced(target, data):
                break
        else:
            raise FileNotFoundError(errno.ENOENT, "its temporary file is removed each time")
    except OSError as exc:
        # A full disk names no file, and other errors the temporary one.
        raise OSError(exc.errno, exc.strerror, os.fspath(filename)) from exc
    _flush_directory(os.path.dirname(target))


def _replaced(target: str, data: bytes) -> bool:
    """Replace a file, or return False if somebody removed the temporary one."""
    old = _status(target)
    directory = os.path.dirname(target)
    temporary = os.path.join(directory, f"{_PREFIX}{os.urandom(_DIGITS // 2).hex()}{_SUFFIX}")
    # From the first moment it is readable by nobody who may not read it in the end. A new file
    # has the bits that an ordinary `open` would give.
    mode = 0o666 if old is None else old.st_mode & 0o666
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except (FileNotFoundError, PermissionError) as exc:
        # The file itself may well be there, and writable: what it takes must be said.
        raise OSError(exc.errno, f"{exc.strerror}: no file can be made in {directory}") from exc
    try:
        with open(descriptor, "wb") as file:
            _remove_abandoned(directory, os.fstat(descriptor).st_mtime)
            if old is not None:
                _keep_owner(descriptor, old)
                if stat.S_IMODE(os.fstat(descriptor).st_mode) != stat.S_IMODE(old.st_mode):
                    os.chmod(temporary, stat.S_IMODE(old.st_mode))
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        try:
            os.replace(temporary, target)
        except FileNotFoundError:
            return False
    except BaseException:
        try:
            os.unlink(temporary)
        except OSError:
            pass  # renamed already, or lost with its disk: the first error says more
        raise
    return True


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

    Args:
        directory: where to look.
        now: the time by the clock of the file system, which may be that of another host.
    """
    moment = time.monotonic()
    if moment - _looked.get(directory, -_ABANDONED) < _ABANDONED:
        return
    if len(_looked) >= _MAX_LOOKED:
        _looked.clear()
    _looked[directory] = moment
    try:
        with os.scandir(directory) as entries:
            _remove_each_if_abandoned(entries, now)
    except OSError:
        pass  # one may be allowed to make files in a directory, and not to list it


def _remove_each_if_abandoned(entries: Iterable[os.DirEntry[str]], now: float) -> None:
    for entry in entries:
        if _is_temporary(entry.name):
            _remove_if_abandoned(entry, now)


def _is_temporary(name: str) -> bool:
    digits = name.removeprefix(_PREFIX).removesuffix(_SUFFIX)
    return (
        name == f"{_PREFIX}{digits}{_SUFFIX}"
        and len(digits) == _DIGITS
        and set(digits) <= set("0123456789abcdef")
    )


def _remove_if_abandoned(entry: os.DirEntry[str], now: float) -> None:
    try:
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(status.st_mode) and now - status.st_mtime >= _ABANDONED:
            os.unlink(entry)
    except OSError:
        pass  # it has gone, or is somebody else's


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
