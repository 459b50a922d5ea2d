"""What the prompt of `sipyco_rpctool` has names for: the remote methods, and `help`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from sipyco_rpc.pc_rpc import Client
from sipyco_tools._cli.output import show
from sipyco_tools._rpctool.progress import progress_shown

_WIDTH: Final = 38  # of the signatures in the list of methods, beyond which a line is its own


class LostServer(Exception):
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
        raise LostServer(exc) from None


class RemoteName:
    """A remote method as a name of the prompt; `help` shows the remote one."""

    def __init__(self, name: str, method: Callable[..., Any]) -> None:
        self.__name__ = self.__qualname__ = name
        self._method = method

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with _connection(), progress_shown():
            result = self._method(*args, **kwargs)
        return _items(result) if isinstance(result, Iterator) else result

    def __get__(self, instance: object, owner: type | None = None) -> RemoteName:
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


class _Unquoted(str):
    """An annotation, which is text in a listing, as it was written."""

    __repr__ = str.__str__


def signature_text(method: RemoteName) -> str:
    """Give a method as it is called: `set_attenuation(attenuation: float)`."""

    def unquoted(annotation: Any) -> Any:
        return _Unquoted(annotation) if isinstance(annotation, str) else annotation

    signature = inspect.signature(method)
    parameters = [
        parameter.replace(annotation=unquoted(parameter.annotation))
        for parameter in signature.parameters.values()
    ]
    result = unquoted(signature.return_annotation)
    return f"{method.__name__}{inspect.Signature(parameters, return_annotation=result)}"


class Help:
    """`help` shows the methods, `help(name)` all about one of them, or about anything else."""

    def __init__(self, target: str | None, description: str | None, names: dict[str, Any]) -> None:
        self._target = target
        self._description = description
        self._names = names

    def __call__(self, *args: Any) -> None:
        if not args:
            show(repr(self))
            return
        import pydoc

        (wanted,) = args
        pydoc.help(self._names.get(wanted, wanted) if isinstance(wanted, str) else wanted)

    def __repr__(self) -> str:
        methods = [value for value in self._names.values() if isinstance(value, RemoteName)]
        summary = (self._description or "no docstring").partition("\n")[0]
        lines = [f"`{self._target}`: {summary}", ""]
        for method in sorted(methods, key=lambda method: method.__name__):
            summary = (method.__doc__ or "").strip().partition("\n")[0]
            lines.append(_beside(f"  {signature_text(method)}", summary))
        lines += [
            "",
            "help(NAME) shows all of one. Lines are Python: x = NAME(...), loops, imports;",
            "`np` is NumPy, `_` the last value that was shown, `client` the connection, whose",
            "attributes are the properties: client.voltage = 12. Ctrl-D leaves.",
        ]
        return "\n".join(lines)


def _beside(text: str, remark: str) -> str:
    if not remark:
        return text
    if len(text) > _WIDTH:
        return f"{text}\n{'':{_WIDTH}}  {remark}"
    return f"{text:{_WIDTH}}  {remark}"


def names_of(client: Client, listing: Mapping[str, Any]) -> dict[str, Any]:
    """Give the names of the prompt for a target; those of methods go before all others."""
    names: dict[str, Any] = {"__name__": "__main__", "client": client}
    names["help"] = Help(client.get_selected_target(), listing.get("docstring"), names)
    names.update({name: RemoteName(name, getattr(client, name)) for name in listing["methods"]})
    return names
