"""The converter of files from PYON v1 to v2, in place, keeping the old ones."""

from __future__ import annotations

import argparse
import os
import sys
from os import PathLike

from sipyco_pyon import pyon, pyon_v1

__all__ = ["main", "migrate"]


def migrate(filename: str | PathLike[str]) -> str:
    """Convert a file from v1 to v2.

    A crash at any moment leaves the old file or the new one under the name; to run it again goes
    on. Where there are no hard links, there may be nothing under the name after a crash, and the
    old file is the one with `_v1`.

    Args:
        filename: the file; a symbolic link is followed.

    Returns:
        The name of the old file now: that of the file with `_v1` after it.

    Raises:
        FileExistsError: there is a file of that name already; nothing was done.
        ValueError: the file is not PYON v1; nothing was done.
    """
    backup = f"{os.fspath(filename)}_v1"
    interrupted = os.path.exists(backup) and os.path.samefile(filename, backup)
    if os.path.lexists(backup) and not interrupted:
        raise FileExistsError(f"{backup} exists already: not overwriting it")
    value = pyon_v1.load_file(filename)
    pyon.encode(value)  # before anything changes
    mode = os.stat(filename).st_mode
    target = os.path.realpath(filename)
    if not interrupted:
        try:
            os.link(target, backup)
        except OSError:  # this file system has none, or a symbolic link comes from another one
            target = os.fspath(filename)
            os.rename(target, backup)
    try:
        pyon.store_file(filename, value)
        os.chmod(filename, mode & 0o7777)
    except BaseException:
        os.replace(backup, target)
        if os.path.lexists(backup):  # two names of one file stay so
            os.unlink(backup)
        raise
    return backup


def _say(text: str) -> None:
    if sys.stderr is not None:  # `print` would take standard output for it
        try:
            print(text, file=sys.stderr)
        except OSError:
            pass  # whether anybody reads it changes nothing; the exit status tells


def main() -> None:
    """Convert the files that the command line names: see `python -m sipyco_pyon --help`."""
    parser = argparse.ArgumentParser(
        prog="python -m sipyco.pyon",
        description="Convert files from PYON v1 (Python-like) to PYON v2 (JSON), in place. "
        "The old content is kept in FILE_v1.",
        epilog="example: python -m sipyco.pyon dataset_db.pyon",
    )
    parser.add_argument("files", metavar="FILE", nargs="+", help="file to convert")
    failed = False
    for filename in parser.parse_args().files:
        try:
            backup = migrate(filename)
        except Exception as exc:  # noqa: BLE001  (whatever it is, it is of this file alone)
            _say(f"{filename}: {type(exc).__name__}: {exc}")
            failed = True
        else:
            _say(f"{filename}: converted; the old file is {backup}")
    if failed:
        sys.exit(1)
