"""What the system knows of a file, where SQLite does not tell. No databases here."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path
from typing import Any, Final, TypeAlias

Identity: TypeAlias = tuple[int, int] | None

_ROOM: Final = 64 * 1024  # bytes; beside the database SQLite needs half of it, to read it even
_VAGUE: Final = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR}


def identity(path: str) -> Identity:
    """Tell which file is at a path now; None if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def cause_of(exc: Exception, path: Path) -> Exception:
    """Return what is behind an error: a directory that is gone, a full disk, or the error itself.

    Args:
        exc: what SQLite, or who looked at the database, has said.
        path: of the database.
    """
    try:
        os.stat(path.parent)
    except OSError as reason:
        return reason
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    if code in _VAGUE and _is_full(path.parent):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path.parent)
    return exc


def _is_full(directory: Path) -> bool:
    try:
        disk = os.statvfs(directory)
    except (AttributeError, OSError):  # Windows has none
        return False
    # Some have no limit of files, and say that there are none.
    return disk.f_bavail * disk.f_frsize < _ROOM or disk.f_favail == 0 < disk.f_files


def may_pass(cause: Any) -> bool:
    """Tell whether a cause may go by itself, such as that of a full disk: it is worth waiting."""
    if isinstance(cause, OSError):
        return cause.errno in (errno.ENOSPC, errno.EDQUOT)
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY)
