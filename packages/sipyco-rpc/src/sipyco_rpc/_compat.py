"""What Pythons and event loops do differently, and what none of them promises, with a way around.

An entry says what it is for and since when. Whatever it finds, or does not find, there is a public
way to go on: a Python to come may make it slower, and does not break it. Nothing is loaded here
that a client without asyncio does without.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from typing import Any

__all__: list[str] = []


def is_tls_error(exc: BaseException | None) -> bool:
    """Tell whether an error is one of `ssl`, which a program without TLS does without.

    Where the class says that it comes from, by `__module__`, is promised by nobody.
    """
    ssl = sys.modules.get("ssl")
    return ssl is not None and isinstance(exc, ssl.SSLError)


def clear_tls_errors(sock: Any) -> None:
    """Forget what an operation with TLS that failed has left in this thread.

    OpenSSL keeps errors by threads, since 3.2 also that of a socket that broke in the midst of
    sending. Python (up to 3.15) does not clear it, and the next operation of the thread that has
    to wait, on any connection, fails with it. A handshake begins by clearing: here is one without
    a socket.

    Args:
        sock: of the connection; nothing is done if it has no TLS.
    """
    context = getattr(sock, "context", None)
    if context is None:
        return
    import ssl

    try:
        bio = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), False, sock.server_hostname)
        bio.do_handshake()
    except Exception:  # noqa: BLE001  (it waits for an answer, as `SSLWantReadError` says)
        pass


def prepare_tracebacks() -> None:
    """Have loaded what shows a traceback.

    Pythons load some of it as they show the first one, and 3.15 fails if it cannot. A process that
    has no descriptor left can load nothing, and the record of just that would be lost.
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


_FIELDS = ("args", "varargs", "varkw", "defaults", "kwonlyargs", "kwonlydefaults", "annotations")


def _argspec_of_signature(function: Callable[..., Any]) -> dict[str, Any]:
    import functools
    import inspect

    options: dict[str, Any] = {"follow_wrapped": False}
    if sys.version_info >= (3, 14):
        import annotationlib

        options["annotation_format"] = annotationlib.Format.STRING
    # A first parameter that is bound is shown, too.
    if not inspect.isroutine(function) and not isinstance(function, (type, functools.partial)):
        function = type(function).__call__
    function = getattr(function, "__func__", function)
    signature = inspect.signature(function, **options)
    empty, kinds = inspect.Parameter.empty, inspect.Parameter
    argspec: dict[str, Any] = dict.fromkeys(_FIELDS)
    argspec |= {"args": [], "kwonlyargs": [], "annotations": {}}
    if signature.return_annotation is not empty:
        argspec["annotations"]["return"] = signature.return_annotation
    for name, parameter in signature.parameters.items():
        if parameter.kind is kinds.VAR_POSITIONAL:
            argspec["varargs"] = name
        elif parameter.kind is kinds.VAR_KEYWORD:
            argspec["varkw"] = name
        elif parameter.kind is kinds.KEYWORD_ONLY:
            argspec["kwonlyargs"].append(name)
            if parameter.default is not empty:
                argspec["kwonlydefaults"] = {
                    **(argspec["kwonlydefaults"] or {}),
                    name: parameter.default,
                }
        else:
            argspec["args"].append(name)
            if parameter.default is not empty:
                argspec["defaults"] = (*(argspec["defaults"] or ()), parameter.default)
        if parameter.annotation is not empty:
            argspec["annotations"][name] = parameter.annotation
    return argspec


def release(transport: asyncio.BaseTransport) -> None:
    """End the connection of a transport whose loop is closed: no callback will ever run.

    asyncio has no public way to close the descriptor then. Its transports keep the socket, and
    warn when they are collected with it (all Pythons so far; a loop of another kind, such as
    uvloop, closes what it has when it is closed). Where that is not found as it is known, the
    other side is told that it is over, and the descriptor is left to the garbage collector.
    """
    wrapper: Any = transport
    inner: Any = transport
    protocol = getattr(transport, "_ssl_protocol", None)
    if protocol is not None:
        inner = getattr(protocol, "_transport", None)
    public = transport.get_extra_info("socket")
    sock: Any = getattr(inner, "_sock", None)
    try:
        if sock.fileno() == public.fileno() and sock.getsockname() == public.getsockname():
            sock.close()
            inner._sock = None
            if wrapper is not inner:
                wrapper._closed = True
            return
    except Exception:  # noqa: BLE001  (whatever it is, it is not what is known)
        pass
    _shut_down(transport, public)


def _shut_down(transport: asyncio.BaseTransport, sock: Any) -> None:
    """End a connection, if its descriptor is not that of another one by now."""
    try:
        if (sock.getsockname(), sock.getpeername()) == (
            transport.get_extra_info("sockname"),
            transport.get_extra_info("peername"),
        ):
            sock.shutdown(2)  # both ways; `socket` has a name for it, and may not be loaded
    except Exception:  # noqa: BLE001  (uvloop's says in many ways that it is closed)
        pass
