"""Signatures as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

__all__ = ["formatargspec"]


def _shown(annotation: Any) -> str:
    if isinstance(annotation, type):
        return annotation.__qualname__
    return repr(annotation)


def formatargspec(
    args: Iterable[str],
    varargs: str | None = None,
    varkw: str | None = None,
    defaults: Iterable[Any] | None = None,
    kwonlyargs: Iterable[str] = (),
    kwonlydefaults: Mapping[str, Any] | None = {},
    annotations: Mapping[str, Any] = {},
    *,
    formatvalue: Callable[[Any], str] = lambda value: "=" + repr(value),
) -> str:
    """Give the text of a signature, from the fields of `inspect.FullArgSpec`.

        >>> formatargspec(["a", "b"], defaults=(1,))
        '(a, b=1)'

    Args:
        args: names of the positional parameters.
        varargs: name of the `*` parameter, or None.
        varkw: name of the `**` parameter, or None.
        defaults: of the last of `args`.
        kwonlyargs: names of the parameters that are keywords only.
        kwonlydefaults: their defaults, by their names.
        annotations: by the names of parameters, and `return`; strings are shown quoted.
        formatvalue: gives the text of a default, with what comes before it.
    """

    def named(name: str) -> str:
        return f"{name}: {_shown(annotations[name])}" if name in annotations else name

    positional = list(args)
    values = tuple(defaults or ())
    plain = len(positional) - len(values)
    parts = [named(name) for name in positional[:plain]]
    parts += [
        named(name) + formatvalue(value)
        for name, value in zip(positional[plain:], values, strict=True)
    ]
    keyword_only = list(kwonlyargs)
    if varargs is not None:
        parts.append("*" + named(varargs))
    elif keyword_only:
        parts.append("*")
    for name in keyword_only:
        default = (
            formatvalue((kwonlydefaults or {})[name]) if name in (kwonlydefaults or {}) else ""
        )
        parts.append(named(name) + default)
    if varkw is not None:
        parts.append("**" + named(varkw))
    result = f"({', '.join(parts)})"
    return f"{result} -> {_shown(annotations['return'])}" if "return" in annotations else result
