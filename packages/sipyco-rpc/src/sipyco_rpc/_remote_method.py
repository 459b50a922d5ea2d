"""Methods of a target as attributes of a client, with their signatures. No sockets here."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from sipyco_rpc.protocol import IncompatibleServer

T = TypeVar("T")

_KINDS: Final = inspect._ParameterKind


def _parameter(
    name: str,
    kind: inspect._ParameterKind,
    argspec: Mapping[str, Any],
    defaults: Mapping[str, Any],
) -> inspect.Parameter:
    annotations = argspec.get("annotations") or {}
    return inspect.Parameter(
        name,
        kind,
        default=defaults.get(name, inspect.Parameter.empty),
        annotation=annotations.get(name, inspect.Parameter.empty),
    )


def signature_from(argspec: Mapping[str, Any]) -> inspect.Signature:
    """Build a signature from the argspec of a method listing, without its `self`."""
    args = list(argspec["args"])
    values = tuple(argspec.get("defaults") or ())
    defaults = dict(zip(args[len(args) - len(values) :], values, strict=True))
    if args and args[0] in ("self", "cls") and args[0] not in defaults:
        del args[0]
    parameters = [_parameter(a, _KINDS.POSITIONAL_OR_KEYWORD, argspec, defaults) for a in args]
    if argspec.get("varargs"):
        parameters.append(_parameter(argspec["varargs"], _KINDS.VAR_POSITIONAL, argspec, {}))
    keyword_defaults = argspec.get("kwonlydefaults") or {}
    parameters += [
        _parameter(name, _KINDS.KEYWORD_ONLY, argspec, keyword_defaults)
        for name in argspec.get("kwonlyargs") or ()
    ]
    if argspec.get("varkw"):
        parameters.append(_parameter(argspec["varkw"], _KINDS.VAR_KEYWORD, argspec, {}))
    annotations = argspec.get("annotations") or {}
    return inspect.Signature(
        parameters, return_annotation=annotations.get("return", inspect.Signature.empty)
    )


_ANY_SIGNATURE: Final = inspect.Signature(
    [
        inspect.Parameter("args", _KINDS.VAR_POSITIONAL),
        inspect.Parameter("kwargs", _KINDS.VAR_KEYWORD),
    ]
)


def documented(
    listing: Mapping[str, Any], name: str
) -> tuple[Mapping[str, Any], str | None] | None:
    """Find a method in a listing: the pair (argspec, docstring), or None."""
    found = listing["methods"].get(name)
    if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[0], dict)):
        return None  # a listing is a peer's word; help must not fail on it
    argspec, docstring = found
    return argspec, docstring if isinstance(docstring, str) else None


class RemoteMethod:
    """A method of the target, as an attribute of a client.

    Its signature and docstring are the remote ones. They are asked for when someone looks at
    them (`help`, `inspect.signature`, the tab key), never for a call.

    Args:
        name: of the method.
        owner: what to show it as a method of, such as "`lda` on ::1 port 3253".
        call: does the call.
        documentation: gives the pair (argspec, docstring), or None where it cannot be had.
    """

    def __init__(
        self,
        name: str,
        owner: str,
        call: Callable[[str, tuple[Any, ...], dict[str, Any]], Any],
        documentation: Callable[[str], tuple[Mapping[str, Any], str | None] | None],
    ) -> None:
        self.__name__ = self.__qualname__ = name
        self._owner = owner
        self._call = call
        self._documentation = documentation

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(self.__name__, args, kwargs)

    # `inspect` takes what has `__get__` and no `__set__` for a routine: `help` then shows the
    # method itself in place of this class.
    def __get__(self, instance: object, owner: type | None = None) -> RemoteMethod:
        return self

    @property
    def __signature__(self) -> inspect.Signature:
        documented = self._documentation(self.__name__)
        try:
            return _ANY_SIGNATURE if documented is None else signature_from(documented[0])
        except (AttributeError, KeyError, TypeError, ValueError):
            return _ANY_SIGNATURE  # a listing is a peer's word; help must not fail on it

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        documented = self._documentation(self.__name__)
        return None if documented is None else documented[1]

    def __repr__(self) -> str:
        return f"<remote method `{self.__name__}` of {self._owner}>"


def as_interface(client: object, interface: Callable[..., T]) -> T:
    """Give a client the type of an interface, for type checkers and editors.

        class Lda(Protocol):
            def set_attenuation(self, attenuation: float) -> None: ...

        lda = as_interface(Client("::1", 3253), Lda)

    Args:
        client: a client that has selected its target.
        interface: a class or `typing.Protocol`; its public methods are what is needed. For an
            `AsyncioClient` they are `async def`.

    Returns:
        The client itself.

    Raises:
        IncompatibleServer: the target lacks methods of the interface; the text lists them.
    """
    needed = [
        name
        for name in dir(interface)
        if not name.startswith("_") and callable(getattr(interface, name, None))
    ]
    missing = [name for name in needed if not hasattr(client, name)]
    if missing:
        names = ", ".join(f"`{name}`" for name in missing)
        of = getattr(interface, "__name__", repr(interface))
        raise IncompatibleServer(f"{client!r} lacks methods of `{of}`: {names}")
    return client  # type: ignore[return-value]
