"""The output of commands: written in any encoding, and its failures told from others.

`print` raises an `OSError` for a full disk, as a socket does for a lost connection, and leaves
what it could not write to the end of the interpreter, which complains once more.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

FAILED: Final = 1
INTERRUPTED: Final = 130  # what shells say of a program that Ctrl-C ended


class OutputError(Exception):
    """Standard output takes nothing; the reason is the cause, and the text."""


@contextmanager
def _output() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise OutputError(f"standard output: {type(exc).__name__}: {exc}") from exc


def show(text: str = "", end: str = "\n") -> None:
    """Write to standard output; what there is is out after `flush`.

    Raises:
        OutputError: it cannot be written.
    """
    if sys.stdout is None:  # as `>&-` has it; `print` would say nothing
        raise OutputError("standard output is closed")
    with _output():
        print(text, end=end)


def flush() -> None:
    """Write what waits; errors are those of `show`."""
    if sys.stdout is not None:
        with _output():
            sys.stdout.flush()


def show_error(text: str) -> None:
    """Write a line to standard error, if that can be written to."""
    show_part(f"{text}\n")


def show_part(text: str) -> None:
    """Write a part of a line to standard error, if that can be written to."""
    if sys.stderr is not None:  # `print` would take standard output for it
        try:
            print(text, end="", file=sys.stderr, flush=True)
        except OSError:
            pass  # there is nobody left to tell; the exit status does


def run_command(program: str, command: Callable[[], None]) -> None:
    """Run a command whose output may fail.

    Characters that the output's encoding lacks are shown as `repr` escapes them. If nobody reads
    the output any more (`| head`), that is the end, without a word.

    Args:
        program: its name, for error messages.
        command: it writes by `show`, and ends with `SystemExit` if anything else goes wrong.
    """
    for stream, errors in (
        (sys.stdin, "surrogateescape"),  # a wrong byte spoils its line, and not those behind it
        (sys.stdout, "backslashreplace"),
        (sys.stderr, "backslashreplace"),
    ):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)
    try:
        try:
            command()
        finally:
            flush()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except OutputError as exc:
        if not isinstance(exc.__cause__, BrokenPipeError):
            show_error(f"{program}: {exc}")
        _drop_output()
        sys.exit(FAILED)


def _drop_output() -> None:
    """Have the interpreter not show_error when it flushes once more, at its end."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    except (AttributeError, OSError):
        pass  # it is no file, and waits for nothing
