"""Signatures and docstrings, as `get_rpc_method_list` gives them. Nothing described is run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

from sipyco_rpc._compat import empty_argspec, full_argspec

# The entry of the server's own method.
TERMINATE: Final = (
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


def _annotation_text(annotation: Any) -> str:
    if isinstance(annotation, str):
        return annotation
    name = getattr(annotation, "__name__", None)
    return name if isinstance(name, str) else str(annotation)


def _docstring(value: object) -> str | None:
    docstring = inspect.getdoc(value)
    return docstring if isinstance(docstring, str) else None


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
        argspec = empty_argspec()
    try:
        return argspec, _docstring(function)
    except Exception:  # noqa: BLE001  (likewise)
        return argspec, None


def document_object(instance: object, methods: Mapping[str, Callable[..., Any]]) -> dict[str, Any]:
    """Return the listing of an object.

    Args:
        instance: the object.
        methods: those of its methods that are listed, by their names.
    """
    return {
        "docstring": _docstring(instance),
        "methods": {name: document_function(method) for name, method in methods.items()},
    }


def make_encodable(listing: dict[str, Any], encodable: Callable[[Any], bool]) -> dict[str, Any]:
    """Replace the defaults that cannot be sent by their `repr`.

    Args:
        listing: from `document_object`.
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
