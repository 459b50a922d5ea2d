"""The interactive mode of `sipyco_rpctool`: a prompt whose names are the remote methods."""

from __future__ import annotations

import ast
import codeop
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from sipyco_rpc.pc_rpc import Client
from sipyco_tools._cli.output import OutputError, flush, show, show_error
from sipyco_tools._cli.terminal import show_code
from sipyco_tools._rpctool.abridge import abridged_text
from sipyco_tools._rpctool.editing import keep_history, set_up_readline
from sipyco_tools._rpctool.names import LostServer, names_of
from sipyco_tools._rpctool.values import UsageError, each, meant, provide_numpy, remote_notes

_FILE: Final = "<input>"  # what Python says in errors
_CONTINUED: Final = "... "


def run(client: Client, listing: Mapping[str, Any]) -> None:
    """Read, evaluate and print until the end of input.

    Args:
        client: it has selected its target.
        listing: what the server says of it.

    Raises:
        OSError: the connection was lost.
        EOFError: it was closed by the other side.
        OutputError: standard output takes nothing.
        UsageError: standard input gives nothing.
    """
    if sys.stdin is None:  # as `<&-` has it
        raise UsageError("standard input is closed")
    names = names_of(client, listing)
    readline = set_up_readline(names) if sys.stdin.isatty() else None
    try:
        _read_and_execute(f"({client.get_selected_target()}) ", names)
    finally:
        if readline is not None:
            keep_history(readline)


def _read_and_execute(prompt: str, names: dict[str, Any]) -> None:
    lines: list[str] = []  # of the statement that is being typed
    while True:
        flush()
        try:
            lines.append(input(_CONTINUED if lines else prompt))
        except EOFError:
            show()
            if lines:
                _execute("\n".join([*lines, ""]), names)
            return
        except OSError as exc:
            show()  # it may be the prompt that could not be written
            flush()
            raise UsageError(f"standard input: {type(exc).__name__}: {exc}") from exc
        except KeyboardInterrupt:
            show()
            lines = []
            continue
        source = "\n".join(lines) if len(lines) > 1 else lines[0].strip()
        if not _is_incomplete(source):
            lines = []
            if source.strip():
                _execute(source, names)


def _is_incomplete(source: str) -> bool:
    """Tell whether the lines so far are the beginning of a statement."""
    try:
        return codeop.compile_command(source, _FILE, "single") is None
    except (SyntaxError, ValueError, OverflowError):
        return False  # it is said when it is to be executed


def _execute(source: str, names: dict[str, Any]) -> None:
    try:
        tree = ast.parse(source, _FILE, "single")
        provide_numpy(tree, names)
        with _displayed_by_us(names):
            exec(compile(tree, _FILE, "single"), names)  # noqa: S102
    except KeyboardInterrupt:
        show_error("interrupted")
    except OutputError:
        raise
    except LostServer as lost:
        raise lost.args[0] from None  # a prompt has no point any more
    except Exception as exc:  # noqa: BLE001  (whatever the statement raised)
        remote = getattr(exc, "parent_traceback", None)
        if remote is not None:
            show("Remote exception:")
        hint = meant(exc.name, names) if isinstance(exc, NameError) and exc.name else ""
        show(f"{type(exc).__name__}: {exc}{hint}")
        if remote is not None:
            for note in remote_notes(exc):
                show(note)
            show("".join(remote), end="")


@contextmanager
def _displayed_by_us(names: dict[str, Any]) -> Iterator[None]:
    """Have Python show the values of expressions in our way."""

    def display(result: Any) -> None:
        for value in each(result):
            if value is not None:
                names["_"] = value
                show_code(abridged_text(value))
                flush()

    original, sys.displayhook = sys.displayhook, display
    try:
        yield
    finally:
        sys.displayhook = original
