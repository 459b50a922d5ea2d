"""The interactive mode of `sipyco_rpctool`: a prompt whose names are the remote methods."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from pprint import pprint
from typing import Any, Final

from sipyco_rpc.pc_rpc import Client
from sipyco_tools._rpctool_values import Namespace, each, remote_notes

__all__: list[str] = []

_HISTORY: Final = Path("~/.sipyco_rpctool_history")
_HISTORY_LENGTH: Final = 1000  # lines


class _Completer:
    """Complete the names of methods, for `readline`."""

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def __call__(self, text: str, state: int) -> str | None:
        matching = [name for name in self._names if name.startswith(text)]
        return matching[state] if state < len(matching) else None


def _set_up_readline(names: list[str]) -> Any:
    """Give the prompt completion and history, where the system has `readline`."""
    try:
        import readline
    except ImportError:
        return None
    readline.set_completer(_Completer(names))
    readline.set_completer_delims(" \t\n()[]{},=+-*/'\"")
    editline = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if editline else "tab: complete")
    try:
        readline.read_history_file(_HISTORY.expanduser())
    except OSError:
        pass  # the first time there is none
    return readline


def _keep_history(readline: Any) -> None:
    try:
        readline.set_history_length(_HISTORY_LENGTH)
        readline.write_history_file(_HISTORY.expanduser())
    except OSError:
        pass  # a home that cannot be written to is no reason to complain at every exit


def run(client: Client, methods: Mapping[str, Any]) -> None:
    """Read, evaluate and print until the end of input.

    Args:
        client: with its target selected.
        methods: the names of its methods.

    Raises:
        OSError, EOFError: the connection was lost.
    """
    names = Namespace({name: getattr(client, name) for name in methods})
    readline = _set_up_readline(sorted([*methods, "np"])) if sys.stdin.isatty() else None
    try:
        while True:
            try:
                line = input(f"({client.get_selected_target()}) ")
            except EOFError:
                print()
                return
            except KeyboardInterrupt:
                print()
                continue
            if line.strip():
                _evaluate(line.strip(), names)
    finally:
        if readline is not None:
            _keep_history(readline)


def _evaluate(line: str, names: Namespace) -> None:
    try:
        for value in each(names.evaluate(line)):
            if value is not None:
                pprint(value)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return
    except Exception as exc:
        remote = getattr(exc, "parent_traceback", None)
        if remote is None:
            if isinstance(exc, (OSError, EOFError)):
                raise  # the connection is gone: so is the point of a prompt
            print(f"{type(exc).__name__}: {exc}")
            return
        print("Remote exception:")
        print(f"{type(exc).__name__}: {exc}")
        for note in remote_notes(exc):
            print(note)
        print("".join(remote), end="")
