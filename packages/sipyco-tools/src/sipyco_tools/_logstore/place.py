"""Where the database of logs is, if nobody says so: the same for those who write and read."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

VARIABLE: Final = "SIPYCO_LOGS"  # of the environment; it names the file


def default_database() -> Path:
    """Return the path of the database: what `SIPYCO_LOGS` says, or one for this user.

    That is in the directory for what programs keep: `$XDG_STATE_HOME` (`~/.local/state`), or
    `%LOCALAPPDATA%`.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).absolute()
    return _state_directory() / "sipyco" / "logs.db"


def make_directory(path: Path) -> None:
    """Make the directory of the default database, for its owner only; another must be there.

    Raises:
        OSError: it cannot be made.
    """
    own = _state_directory() / "sipyco"
    if path.parent == own:
        own.mkdir(mode=0o700, parents=True, exist_ok=True)


def _state_directory() -> Path:
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")  # pragma: elsewhere (Windows)
        return (
            Path(local) if local else Path.home() / "AppData" / "Local"
        )  # pragma: elsewhere (Windows)
    named = os.environ.get("XDG_STATE_HOME", "")
    # The specification of these directories has relative ones ignored.
    return Path(named) if os.path.isabs(named) else Path.home() / ".local" / "state"
