"""Errors of a program's start that are told to a person in one line, in place of a traceback.

A port that is taken and a certificate that is not there are no faults of the program: ten frames
of asyncio hide the line that helps. The exceptions stay what they are for programs that catch
them.
"""

from __future__ import annotations

import sys
from os.path import basename

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from types import TracebackType
    from typing import TypeVar

    E = TypeVar("E", bound=BaseException)

__all__ = ["in_one_line", "tell_in_one_line"]

_enabled = False


def tell_in_one_line() -> None:
    """Have this program end by one line where nobody catches such an error.

    A program that has a `sys.excepthook` of its own keeps it. With the log at DEBUG there is the
    traceback, as ever.
    """
    global _enabled
    _enabled = True


def in_one_line(exc: E) -> E:
    """Mark an exception as one whose text says all; return it."""
    exc.sipyco_in_one_line = True  # type: ignore[attr-defined]
    # Not before: most programs never need it. Debuggers, notebooks and others have their own.
    if _enabled and sys.excepthook is sys.__excepthook__:
        sys.excepthook = _hook
    return exc


def _hook(kind: type[BaseException], exc: BaseException, traceback: TracebackType | None) -> None:
    if not getattr(exc, "sipyco_in_one_line", False) or _debugs():
        sys.__excepthook__(kind, exc, traceback)
        return
    program = basename(sys.argv[0] if sys.argv else "") or "python"
    if sys.stderr is not None:  # `print` would take standard output for it
        print(f"{program}: {_text(exc)}", file=sys.stderr, flush=True)


def _text(exc: BaseException) -> str:
    """Give the text of an exception without the number of its error, which its words tell."""
    if not isinstance(exc, OSError) or not exc.strerror:
        return str(exc)
    return exc.strerror if exc.filename is None else f"{exc.strerror}: {exc.filename}"


def _debugs() -> bool:
    logging = sys.modules.get("logging")
    return logging is not None and bool(logging.getLogger("sipyco").isEnabledFor(logging.DEBUG))
