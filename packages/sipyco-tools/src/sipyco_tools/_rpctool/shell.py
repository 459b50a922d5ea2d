"""The interactive mode of `sipyco_rpctool`: a prompt whose names are the remote methods."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pprint import pformat
from typing import Any, Final

from sipyco_rpc.pc_rpc import Client
from sipyco_tools._cli.output import OutputError, flush, show, show_error
from sipyco_tools._rpctool.values import UsageError, each, evaluate, remote_notes

_HISTORY: Final = Path("~/.sipyco_rpctool_history")
_HISTORY_LENGTH: Final = 1000  # lines


class _ConnectionLost(Exception):
    """A remote method has lost the connection; the argument is what it raised."""


@contextmanager
def _connection() -> Iterator[None]:
    """Tell errors of the connection from those that an expression raises here."""
    try:
        yield
    except TimeoutError:
        raise  # the next call gets its own answer, or says that there is no connection
    except (OSError, EOFError) as exc:
        if getattr(exc, "parent_traceback", None) is not None:
            raise  # the method raised it, over there
        raise _ConnectionLost(exc) from None


class _Method:
    """A remote method as a name of the prompt; `help` shows the remote one."""

    def __init__(self, name: str, method: Callable[..., Any]) -> None:
        self.__name__ = self.__qualname__ = name
        self._method = method

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with _connection():
            result = self._method(*args, **kwargs)
        return _items(result) if isinstance(result, Iterator) else result

    def __get__(self, instance: object, owner: type | None = None) -> _Method:
        return self  # for `inspect`, which takes it for a routine then

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._method)

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        return self._method.__doc__

    def __repr__(self) -> str:
        return repr(self._method)


def _items(result: Iterator[Any]) -> Iterator[Any]:
    with _connection():
        yield from result


def _set_up_readline(names: list[str]) -> Any:
    """Give the prompt completion and history, where the system has `readline`."""
    try:
        import readline
    except ImportError:
        return None

    def complete(text: str, state: int) -> str | None:
        matching = [name for name in names if name.startswith(text)]
        return matching[state] if state < len(matching) else None

    readline.set_completer(complete)
    readline.set_completer_delims(" \t\n()[]{},=+-*/'\"")
    # Since Python 3.13 it is said; before, the docstring tells.
    backend = getattr(readline, "backend", None)
    editline = "libedit" in (readline.__doc__ or "") if backend is None else backend == "editline"
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

    Raises:
        OSError: the connection was lost.
        EOFError: it was closed by the other side.
        OutputError: standard output takes nothing.
        UsageError: standard input gives nothing.
    """
    if sys.stdin is None:  # as `<&-` has it
        raise UsageError("standard input is closed")
    names = {name: _Method(name, getattr(client, name)) for name in methods}
    readline = _set_up_readline(sorted([*methods, "np"])) if sys.stdin.isatty() else None
    try:
        _read_and_evaluate(client, names)
    finally:
        if readline is not None:
            _keep_history(readline)


def _read_and_evaluate(client: Client, names: dict[str, Any]) -> None:
    while True:
        flush()
        try:
            line = input(f"({client.get_selected_target()}) ")
        except EOFError:
            show()
            return
        except OSError as exc:
            show()  # it may be the prompt that could not be written
            flush()
            raise UsageError(f"standard input: {type(exc).__name__}: {exc}") from exc
        except KeyboardInterrupt:
            show()
            continue
        if line.strip():
            _evaluate(line.strip(), names)


def _evaluate(line: str, names: dict[str, Any]) -> None:
    try:
        for value in each(evaluate(line, names)):
            if value is not None:
                show(pformat(value))
                flush()
    except KeyboardInterrupt:
        show_error("interrupted")
    except OutputError:
        raise
    except _ConnectionLost as lost:
        raise lost.args[0] from None  # a prompt has no point any more
    except Exception as exc:  # noqa: BLE001  (whatever the expression raised)
        remote = getattr(exc, "parent_traceback", None)
        if remote is not None:
            show("Remote exception:")
        show(f"{type(exc).__name__}: {exc}")
        if remote is not None:
            for note in remote_notes(exc):
                show(note)
            show("".join(remote), end="")
