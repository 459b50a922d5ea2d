"""Signatures of remote methods, from the listing of a server. No sockets here."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final

_KINDS: Final = inspect.Parameter


def _parameter(
    name: str,
    kind: Any,  # its class has no public name
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


ANY: Final = inspect.Signature(
    [
        inspect.Parameter("args", _KINDS.VAR_POSITIONAL),
        inspect.Parameter("kwargs", _KINDS.VAR_KEYWORD),
    ]
)
