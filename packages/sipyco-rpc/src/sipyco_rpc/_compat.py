"""Differences between Pythons and event loops, and what none of them promises, with a way around.

An entry says what it is for and in which versions. Whatever it finds, or does not find, there is a
public way to go on: a Python to come may make it slower, and does not break it. Nothing is loaded
here that a client without asyncio does without.

Two modules of their own have what takes more room: `support.aliasing` (reference counts), and
`net.workarounds` (faults of asyncio and OpenSSL, by public means).
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    import asyncio
    import inspect
    import socket
    from collections.abc import Callable
    from typing import Any

__all__: list[str] = []


def prepare_tracebacks() -> None:
    """Have loaded what shows a traceback.

    All versions load some of it as they show the first one, and 3.15 fails if it cannot. A process
    that has no descriptor left can load nothing, and the record of just that would be lost.
    """
    import traceback

    try:
        len(0 + int("x"))  # type: ignore[arg-type]  # a part of the line is marked
    except ValueError as exc:
        traceback.format_exception(exc)


def full_argspec(function: Callable[..., Any]) -> dict[str, Any]:
    """Give the fields of `inspect.getfullargspec`, with annotations as they are or as text.

    Since Python 3.14 annotations are evaluated when they are asked for, and may name what only
    type checkers import: then all of them are text.

    Raises:
        TypeError, ValueError: it has no signature that could be read.
    """
    import inspect

    try:
        found = inspect.getfullargspec(function)
    except Exception:  # noqa: BLE001  (an annotation may do anything)
        return _argspec_of_signature(function)
    return {name: getattr(found, name) for name in _FIELDS}


def signature(function: Callable[..., Any]) -> inspect.Signature:
    """Give the signature of a function; its annotations may be of any kind.

    Since Python 3.14 they are evaluated when they are asked for, unless as text.

    Raises:
        TypeError, ValueError: it has none that could be read.
    """
    import inspect

    return inspect.signature(function, **_unevaluated())


def _unevaluated() -> dict[str, Any]:
    options: dict[str, Any] = {}
    if sys.version_info >= (3, 14):
        import annotationlib

        options["annotation_format"] = annotationlib.Format.STRING
    return options


def empty_argspec() -> dict[str, Any]:
    """Give what `inspect.getfullargspec` gives for a function without parameters."""
    return {**dict.fromkeys(_FIELDS), "args": [], "kwonlyargs": [], "annotations": {}}


_FIELDS = ("args", "varargs", "varkw", "defaults", "kwonlyargs", "kwonlydefaults", "annotations")


def _argspec_of_signature(function: Callable[..., Any]) -> dict[str, Any]:
    import functools
    import inspect

    # A first parameter that is bound is shown, too.
    if not inspect.isroutine(function) and not isinstance(function, (type, functools.partial)):
        function = type(function).__call__
    function = getattr(function, "__func__", function)
    found = inspect.signature(function, follow_wrapped=False, **_unevaluated())
    empty, kinds = inspect.Parameter.empty, inspect.Parameter
    argspec = empty_argspec()
    positional, keyword_only = [], []
    for name, parameter in found.parameters.items():
        if parameter.kind is kinds.VAR_POSITIONAL:
            argspec["varargs"] = name
        elif parameter.kind is kinds.VAR_KEYWORD:
            argspec["varkw"] = name
        elif parameter.kind is kinds.KEYWORD_ONLY:
            keyword_only.append(parameter)
        else:
            positional.append(parameter)
    argspec["args"] = [each.name for each in positional]
    argspec["defaults"] = tuple(e.default for e in positional if e.default is not empty) or None
    argspec["kwonlyargs"] = [each.name for each in keyword_only]
    argspec["kwonlydefaults"] = {
        each.name: each.default for each in keyword_only if each.default is not empty
    } or None
    annotations = {"return": found.return_annotation}
    annotations |= {name: each.annotation for name, each in found.parameters.items()}
    argspec["annotations"] = {
        name: annotation for name, annotation in annotations.items() if annotation is not empty
    }
    return argspec


def epoll_selector(loop: asyncio.AbstractEventLoop) -> Any:
    """Return what an event loop waits with, if that is an epoll of asyncio's, else None.

    No public attribute leads to it (3.11 to 3.15). Where it is not found, closing the loop
    in a child that was forked takes descriptors out of the parent's set.
    """
    selector = getattr(loop, "_selector", None)
    return selector if type(selector).__name__ == "EpollSelector" else None


def release(transport: asyncio.BaseTransport, sock: socket.socket | None) -> None:
    """Close the socket of a transport whose loop is closed: no callback will ever run.

    asyncio's transports keep the socket, and warn of it when they are collected (3.11 to 3.15),
    unless they are told that it is gone. A loop of another kind, such as uvloop, closes what
    it has when it is closed.

    Args:
        transport: of any loop.
        sock: its socket, or None for what has none.
    """
    # That of TLS is around another one.
    protocol = getattr(transport, "_ssl_protocol", None)
    inner: Any = getattr(protocol, "_transport", None) or transport
    try:
        transport.abort()  # type: ignore[attr-defined]
    except Exception:  # noqa: BLE001  (it is closed, and could not have the loop call it back)
        pass
    if sock is not None:
        sock.close()
    try:
        inner._sock = None
    except Exception:  # noqa: BLE001  (uvloop's, or one that is not as it is known)
        pass
