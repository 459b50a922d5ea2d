"""Convert a file from PYON v1 to v2, in place, keeping the old one."""

from __future__ import annotations

import argparse
import os
import sys
from os import PathLike

from sipyco_pyon import pyon, pyon_v1

__all__: list[str] = []


def migrate(filename: str | PathLike[str]) -> str:
    """Convert a file from v1 to v2.

    Returns:
        The name of the old file now: that of the file with `_v1` after it.

    Raises:
        FileExistsError: there is a file of that name already; nothing was done.
        ValueError: the file is not PYON v1; nothing was done.
    """
    backup = f"{os.fspath(filename)}_v1"
    if os.path.lexists(backup):
        raise FileExistsError(f"{backup} exists already: not overwriting it")
    value = pyon_v1.load_file(filename)
    pyon.encode(value)  # before anything changes
    mode = os.stat(filename).st_mode
    os.rename(filename, backup)
    try:
        pyon.store_file(filename, value)
        os.chmod(filename, mode & 0o7777)
    except BaseException:
        os.replace(backup, filename)
        raise
    return backup


def main() -> None:
    """Run the converter as a command."""
    parser = argparse.ArgumentParser(
        prog="python -m sipyco.pyon",
        description="Convert files from PYON v1 (Python-like) to PYON v2 (JSON), in place. "
        "The old content is kept in FILE_v1.",
        epilog="example: python -m sipyco.pyon dataset_db.pyon",
    )
    parser.add_argument("files", metavar="FILE", nargs="+", help="file to convert")
    for filename in parser.parse_args().files:
        backup = migrate(filename)
        print(f"{filename}: converted; the old file is {backup}", file=sys.stderr)
