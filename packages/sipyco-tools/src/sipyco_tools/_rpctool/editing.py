"""The line of the prompt as it is typed: completion by the tab key, and history."""

from __future__ import annotations

import ast
import builtins
import inspect
import keyword
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sipyco_tools._rpctool.names import RemoteName
from sipyco_tools._rpctool.values import UsageError, provide_numpy

_OLD_HISTORY: Final = "~/.sipyco_rpctool_history"  # of versions before 2.1
_HISTORY_LENGTH: Final = 1000  # lines
_CALLED: Final = re.compile(r"(\w+)\s*$")
_BY_KEYWORD: Final = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def candidates(text: str, before: str, names: dict[str, Any]) -> list[str]:
    """Give what a word may become: names, Python's words, and arguments of the method around it.

    Args:
        text: the word as far as it was typed; with dots, it is looked for in modules and objects.
        before: what is in the line before it.
        names: of the prompt.
    """
    owner, dot, attribute = text.rpartition(".")
    if dot:
        found = [f"{owner}.{name}" for name in _attributes(owner, names)]
        private = attribute.startswith("_")
        return [
            name
            for name in found
            if name.startswith(text) and (private or not name[len(owner) + 1 :].startswith("_"))
        ]
    own = [name for name in (*names, "np") if not name.startswith("__")]
    words = [*_arguments(before, names), *sorted({*own}), *keyword.kwlist]
    words += [name for name in dir(builtins) if not name.startswith("_")]
    return [word for word in dict.fromkeys(words) if word.startswith(text)]


def _attributes(owner: str, names: dict[str, Any]) -> list[str]:
    first, *rest = owner.split(".")
    try:
        provide_numpy(ast.Name(first), names)
        value = names[first] if first in names else getattr(builtins, first)
        for name in rest:
            value = getattr(value, name)
        return dir(value)
    except (UsageError, Exception):  # noqa: BLE001  (completion must not raise)
        return []


def _arguments(before: str, names: dict[str, Any]) -> Iterator[str]:
    """Give the arguments, with `=`, of the remote method whose parentheses are open."""
    depth = 0
    for index in range(len(before) - 1, -1, -1):
        if before[index] in ")]}":
            depth += 1
        elif before[index] in "([{":
            depth -= 1
        if depth < 0:
            called = _CALLED.search(before[:index])
            method = names.get(called[1]) if called else None
            if isinstance(method, RemoteName):
                for parameter in inspect.signature(method).parameters.values():
                    if parameter.kind in _BY_KEYWORD:
                        yield f"{parameter.name}="
            return


def set_up_readline(names: dict[str, Any]) -> Any:
    """Give the prompt completion and history, where the system has `readline`."""
    try:
        import readline
    except ImportError:
        return None
    found: list[str] = []

    def complete(text: str, state: int) -> str | None:
        if state == 0:
            try:
                before = readline.get_line_buffer()[: readline.get_begidx()]
                found[:] = candidates(text, before, names)
            except Exception:  # noqa: BLE001  (readline would leave it out in silence)
                found.clear()
        return found[state] if state < len(found) else None

    readline.set_completer(complete)
    readline.set_completer_delims(" \t\n()[]{},=+-*/'\":;<>!%&|^~@")
    # Since Python 3.13 it is said; before, the docstring tells.
    backend = getattr(readline, "backend", None)
    editline = "libedit" in (readline.__doc__ or "") if backend is None else backend == "editline"
    readline.parse_and_bind("bind ^I rl_complete" if editline else "tab: complete")
    for path in (history_path(), os.path.expanduser(_OLD_HISTORY)):
        try:
            readline.read_history_file(path)
            break
        except OSError:
            pass  # the first time there is none
    return readline


def history_path() -> Path:
    """Where lines are kept: in the directory for state of the XDG base directories."""
    state = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(state):  # those are to be ignored
        state = os.path.expanduser("~/.local/state")
    return Path(state) / "sipyco" / "rpctool_history"


def keep_history(readline: Any) -> None:
    """Write the lines of this and earlier prompts, for the next."""
    path = history_path()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        readline.set_history_length(_HISTORY_LENGTH)
        readline.write_history_file(path)
    except OSError:
        pass  # a home that cannot be written to is no reason to complain at every exit
