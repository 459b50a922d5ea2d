"""Types of options that the commands about logs have in common."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from sipyco_tools._cli.arguments import argument_type, parsed_size
from sipyco_tools._logging.text import TRACE
from sipyco_tools._logstore.times import parsed_age, parsed_time

_LEVELS: Final = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

time = argument_type(parsed_time)
age = argument_type(parsed_age)


@argument_type
def database_size(text: str) -> int:
    found = parsed_size(text)
    if found < 1024 * 1024:
        raise ValueError(f"expected at least 1M, got {text!r}")
    return found


@argument_type
def rotation(text: str) -> int | None:
    """Read `day`, or a size: None for `day`."""
    if text == "day":
        return None
    try:
        return parsed_size(text)
    except ValueError:
        raise ValueError(f"expected `day` or a size such as 100M, got {text!r}") from None


@argument_type
def level(text: str) -> int:
    name = text.upper()
    if name in _LEVELS:
        return TRACE if name == "TRACE" else int(getattr(logging, name))
    if text.isascii() and text.isdecimal() and len(text) < 5:
        return int(text)
    raise ValueError(f"expected one of {', '.join(_LEVELS)}, or a number, got {text!r}")


@argument_type
def limit(text: str) -> int | None:
    """Read how many, None for `all`."""
    if text == "all":
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise ValueError(f"expected `all` or a number, got {text!r}")
    return int(text)


@argument_type
def path(text: str) -> Path:
    if not text:  # a variable of a script that is not set
        raise ValueError("expected a file, got an empty name")
    return Path(text).absolute()
