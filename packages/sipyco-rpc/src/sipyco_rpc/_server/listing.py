"""What a target offers: names, signatures, docstrings. Nothing of the target is run for it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

from sipyco_rpc._compat import full_argspec
from sipyco_rpc.support.relay import RemoteTarget

__all__: list[str] = []

_MISSING: Final = object()

# Descriptors that give a method, and run nothing of the target to do so.
_METHOD_KINDS: Final = (
    staticmethod,
    classmethod,
    functools.partialmethod,
    functools.singledispatchmethod,
)

# What `inspect.getfullargspec` gives for a function without parameters.
_NO_ARGSPEC: Final[dict[str, Any]] = {
    "args": [],
    "varargs": None,
    "varkw": None,
    "defaults": None,
    "kwonlyargs": [],
    "kwonlydefaults": None,
    "annotations": {},
}

_TERMINATE: Final = (
    {
        "args": ["self"],
        "defaults": None,
        "varargs": None,
        "varkw": None,
        "kwonlyargs": [],
        "kwonlydefaults": [],
    },
    "Terminate the server.",
)
_OWN_TERMINATE: Final = ("terminate", True)


def _is_computed(target: object, name: str) -> bool:
    """Tell whether reading an attribute runs code of the target, as it does for a property."""
    found = inspect.getattr_static(type(target), name, _MISSING)
    if found is _MISSING or isinstance(found, (type, *_METHOD_KINDS)):
        return False
    if inspect.ismemberdescriptor(found):
        return False  # a slot: reading it runs no code
    return hasattr(type(found), "__get__") and not inspect.isroutine(found)


def _is_of_client(target: object, name: str) -> bool:
    """Tell whether a name is a client's own, which a server that relays it does not offer.

    A class derived from one of the clients may add names of its own, which are offered.
    """
    return isinstance(target, RemoteTarget) and any(
        RemoteTarget in cls.__bases__ and name in vars(cls) for cls in type(target).__mro__
    )


def _member(target: object, name: str) -> Any:
    """Get a public callable of a target, or `_MISSING`."""
    if name.startswith("_") or _is_of_client(target, name):
        return _MISSING
    if _is_computed(target, name):
        return _MISSING
    try:
        value = getattr(target, name, _MISSING)
        owner = getattr(value, "__self__", None)
    except Exception:  # noqa: BLE001  (one strange member must not hide the others)
        return _MISSING
    if _is_of_client(owner, name) and inspect.getattr_static(target, name, None) is None:
        return _MISSING  # a target that hands on what it lacks to a client of its own
    return value if callable(value) else _MISSING


def public_method_names(target: object, allowed: Iterable[str] | None = None) -> set[str]:
    """Return the names of a target that may be called.

    Args:
        target: the object.
        allowed: the only ones that may; None for all public ones.
    """
    names = dir(target) if allowed is None else allowed
    return {name for name in names if _member(target, name) is not _MISSING}


def bound_method(
    target: object, name: str, allowed: frozenset[str] | None = None
) -> Callable[..., Any]:
    """Return a method of a target by its name.

    Args:
        target: the object.
        name: of the method.
        allowed: the only ones that may be called; None for all public ones.

    Raises:
        AttributeError: there is none, or it must not be called.
    """
    if allowed is not None and name not in allowed:
        raise AttributeError(
            f"'{type(target).__name__}' object: `{name}` is not among the methods that this "
            "server allows"
        )
    if name.startswith("_"):
        raise AttributeError(
            f"'{type(target).__name__}' object: `{name}` begins with `_` and cannot be called"
        )
    method = _member(target, name)
    if method is not _MISSING:
        found: Callable[..., Any] = method
        return found
    if inspect.getattr_static(target, name, _MISSING) is _MISSING:
        raise AttributeError(f"'{type(target).__name__}' object has no attribute '{name}'")
    raise AttributeError(f"'{type(target).__name__}' object: `{name}` is not a method")


def checked_allowed_methods(
    targets: Mapping[str, Any], allowed_methods: Mapping[str, Iterable[str]] | None
) -> dict[str, frozenset[str]]:
    """Make sure that a list of what may be called means what its author thinks.

    Args:
        targets: objects by their names.
        allowed_methods: names of methods, by the names of targets; None for no list.

    Raises:
        ValueError: a target, or a method of one, is not there. What a callable target makes is
            not looked at.
    """
    checked: dict[str, frozenset[str]] = {}
    if allowed_methods is None:
        return checked
    if not isinstance(allowed_methods, Mapping):
        raise ValueError(
            "allowed_methods: expected a dictionary of lists, by the names of targets, "
            f"got {allowed_methods!r}"
        )
    for target_name, names in allowed_methods.items():
        if target_name not in targets:
            known = ", ".join(f"`{name}`" for name in sorted(targets))
            raise ValueError(f"allowed_methods: no target `{target_name}`; there are: {known}")
        if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
            raise ValueError(f"allowed_methods: expected a list of names, got {names!r}")
        checked[target_name] = frozenset(names)
        target = targets[target_name]
        for name in checked[target_name]:
            if not isinstance(name, str) or not _is_offered(target, name):
                raise ValueError(f"allowed_methods: `{target_name}` has no public method `{name}`")
    return checked


def _is_offered(target: object, name: str) -> bool:
    if callable(target):
        return not name.startswith("_")  # what it makes is not known yet
    return _member(target, name) is not _MISSING


def _annotation_text(annotation: Any) -> str:
    if isinstance(annotation, str):
        return annotation
    name = getattr(annotation, "__name__", None)
    return name if isinstance(name, str) else str(annotation)


def document_function(function: Callable[..., Any]) -> tuple[dict[str, Any], str | None]:
    """Return the pair (argspec, docstring) of a function.

    The argspec has the fields of `inspect.FullArgSpec`, with annotations as text. Where a
    signature cannot be read, as that of many built-in types, it is empty.
    """
    try:
        argspec = full_argspec(function)
        argspec["annotations"] = {
            name: _annotation_text(value) for name, value in argspec["annotations"].items()
        }
    except Exception:  # noqa: BLE001  (a listing cannot fail because of one member)
        argspec = dict(_NO_ARGSPEC)
    try:
        docstring = inspect.getdoc(function)
    except Exception:  # noqa: BLE001
        docstring = None
    return argspec, docstring if isinstance(docstring, str) else None


def describe(
    target: object, builtin_terminate: bool, allowed: Iterable[str] | None = None
) -> dict[str, Any]:
    """Return the signatures and docstrings of a target, as `get_rpc_method_list` gives them.

    Args:
        target: the object.
        builtin_terminate: whether there is a method `terminate` of the server's own.
        allowed: the only methods that may be called; None for all public ones.
    """
    docstring = inspect.getdoc(target)
    methods = {
        name: document_function(_member(target, name))
        for name in sorted(public_method_names(target, allowed))
    }
    if builtin_terminate:
        methods["terminate"] = _TERMINATE
    return {
        "docstring": docstring if isinstance(docstring, str) else None,
        "methods": methods,
    }


def is_relay(target: object) -> bool:
    """Tell whether a target is a client of another server, whose methods are offered."""
    return isinstance(target, RemoteTarget)


def describe_relay(
    target: Any, builtin_terminate: bool, allowed: Iterable[str] | None
) -> dict[str, Any] | Awaitable[dict[str, Any]]:
    """Do what `describe` does for a client: the other server knows the signatures.

    Raises:
        OSError, EOFError: it cannot be asked.
    """

    def complete(remote: dict[str, Any] | None) -> dict[str, Any]:
        if remote is None:
            remote = {"docstring": None, "methods": {}}  # there is no connection just now
        listing = describe(target, builtin_terminate, allowed)
        methods = listing["methods"]
        for name in methods.keys() & remote["methods"].keys():
            if not hasattr(type(target), name) and (name, builtin_terminate) != _OWN_TERMINATE:
                methods[name] = remote["methods"][name]
        return {"docstring": remote["docstring"], "methods": methods}

    async def complete_later(remote: Awaitable[dict[str, Any]]) -> dict[str, Any]:
        return complete(await remote)

    remote = target.get_rpc_method_list()
    return complete_later(remote) if inspect.isawaitable(remote) else complete(remote)


def make_encodable(listing: dict[str, Any], encodable: Callable[[Any], bool]) -> dict[str, Any]:
    """Replace the defaults that cannot be sent by their `repr`.

    Args:
        listing: from `describe`.
        encodable: tells whether a value can be sent.
    """
    if encodable(listing):
        return listing

    def shown(value: Any) -> Any:
        if encodable(value):
            return value
        try:
            return repr(value)
        except Exception:  # noqa: BLE001  (a __repr__ may do anything)
            return f"<{type(value).__name__}>"

    methods = {}
    for name, (argspec, docstring) in listing["methods"].items():
        clean = dict(argspec)
        if clean["defaults"]:
            clean["defaults"] = tuple(shown(value) for value in clean["defaults"])
        if clean["kwonlydefaults"]:
            clean["kwonlydefaults"] = {
                key: shown(value) for key, value in clean["kwonlydefaults"].items()
            }
        methods[name] = (clean, docstring)
    return {**listing, "methods": methods}
