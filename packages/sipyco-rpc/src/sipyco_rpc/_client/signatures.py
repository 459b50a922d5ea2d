"""Signatures of remote methods, from the listing of a server. No sockets here."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import Parameter, Signature
from typing import Any, Final

ANY: Final = Signature(
    [Parameter("args", Parameter.VAR_POSITIONAL), Parameter("kwargs", Parameter.VAR_KEYWORD)]
)


def signature_of(documented: tuple[Mapping[str, Any], str | None] | None) -> Signature:
    """Return the signature of a method, without its `self`; that of any function if unknown.

    Args:
        documented: the argspec and the docstring of the method, or None.
    """
    if documented is None:
        return ANY
    try:
        return _signature_from(documented[0])
    except (AttributeError, KeyError, TypeError, ValueError):
        return ANY  # a listing is a peer's word; help must not fail on it


def _signature_from(argspec: Mapping[str, Any]) -> Signature:
    annotations = argspec.get("annotations") or {}

    def parameter(name: str, kind: Any, defaults: Mapping[str, Any]) -> Parameter:
        default = defaults.get(name, Parameter.empty)
        annotation = annotations.get(name, Parameter.empty)
        return Parameter(name, kind, default=default, annotation=annotation)

    args = list(argspec["args"])
    values = tuple(argspec.get("defaults") or ())
    defaults = dict(zip(args[len(args) - len(values) :], values, strict=True))
    if args and args[0] in ("self", "cls") and args[0] not in defaults:
        del args[0]
    parameters = [parameter(name, Parameter.POSITIONAL_OR_KEYWORD, defaults) for name in args]
    if argspec.get("varargs"):
        parameters.append(parameter(argspec["varargs"], Parameter.VAR_POSITIONAL, {}))
    defaults = argspec.get("kwonlydefaults") or {}
    names = argspec.get("kwonlyargs") or ()
    parameters += [parameter(name, Parameter.KEYWORD_ONLY, defaults) for name in names]
    if argspec.get("varkw"):
        parameters.append(parameter(argspec["varkw"], Parameter.VAR_KEYWORD, {}))
    return Signature(parameters, return_annotation=annotations.get("return", Signature.empty))
