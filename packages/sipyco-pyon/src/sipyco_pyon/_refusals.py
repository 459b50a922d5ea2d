"""What errors say of a value that cannot be written: where it is, and what to do.

Loaded when there is one. Nothing of the value's own code runs for it.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from sipyco_pyon._registry import STANDARD_TYPES, VALUE, safe_repr

# Of a place: people read no more.
_KEY: Final = 60  # characters of a key
_ENDS: Final = 10  # levels from outside, and as many from inside

_SHOWN: Final = frozenset({bool, bytes, complex, float, int, type(None)})

_BOTH: Final = "in both programs"


def explain(
    error: Exception,
    name: str,
    places: list[tuple[Any, Any, Any]],
    refused: tuple[Any] | None,
    *,
    in_hook: bool = False,
    dialect: str = "v2",
) -> None:
    """Say in the error of a value that cannot be written where it is, and what to do.

    Args:
        error: what was raised.
        name: what errors call the whole value.
        places: where it is in what is around it; see `place_of`.
        refused: the value, if its type is unknown.
        in_hook: whether a hook of the program has raised it: then it gets a note.
        dialect: the version of PYON.
    """
    place = place_of(name, places) if places or name != VALUE else ""
    if in_hook:
        if place:
            error.add_note(f"It was raised in encoding {place}.")
        return
    advice = f": {advice_for(refused[0], dialect)}" if refused is not None else ""
    if place or advice:
        error.args = (f"{error}{advice}{place and f'; it is {place}'}",)


def place_of(name: str, places: list[tuple[Any, Any, Any]]) -> str:
    """Show a place, such as `arguments[1]["when"]`.

    Args:
        name: of the whole value.
        places: from inside out, the kind of each part, the container, and what is in it.
    """
    shown = name
    content: str | None = None  # of a registered type that is the container of the next part
    for number, (kind, container, inner) in enumerate(reversed(places)):
        if _ENDS <= number < len(places) - _ENDS:
            if number == _ENDS:
                shown += "[…]"
            continue
        if content is not None:
            kind = content if content != "item" else kind
        content = getattr(kind, "content", None)
        if content is None:
            last = number == len(places) - 1
            shown = _inside(shown, kind, container, inner, last)
    return shown


def _inside(around: str, kind: Any, container: Any, inner: Any, last: bool) -> str:
    """Show the place of what is in a container, whose place is shown already."""
    if kind == "value":
        return f"{around}[{_key_text(inner)}]"
    if kind == "field":
        return f"{around}.{inner}"
    if kind == "item":
        return f"{around}[{_index(container, inner)}]"
    if kind == "set":
        shown = f"an item of {around}"
    elif kind == "key":
        shown = f"a key of {around}"
    else:  # the arguments of a tag
        tag = kind if isinstance(kind, str) else kind.name
        shown = f"part {_index(container, inner)} of the `{tag}` {around}"
    return shown if last else f"({shown})"


def _index(items: list[Any], item: Any) -> int:
    return next((index for index, other in enumerate(items) if other is item), 0)


def _key_text(key: Any) -> str:
    if isinstance(key, str):
        text = repr(str.__str__(key)[:_KEY])[1:-1].replace('"', '\\"').replace("\\'", "'")
        return f'"{text}"' if len(key) <= _KEY else f'"{text}…"'
    items = key if type(key) is tuple else (key,)
    if _SHOWN.issuperset(map(type, items)):
        return safe_repr(key)[:_KEY]
    return f"<{type(key).__name__}>"


def advice_for(value: object, dialect: str) -> str:
    """Tell what to do with a value of a type that cannot be encoded."""
    cls = type(value)
    registering = f"register its class {_BOTH}"
    otherwise = _otherwise(cls)
    if otherwise:
        return otherwise if dialect == "v1" else f"{otherwise}, or {registering}"
    if dialect == "v1":
        return "PYON v1, which the other side speaks or the file is in, has no further types"
    if _names(cls, STANDARD_TYPES):
        return f"call `pyon.register_standard_types()` {_BOTH}"
    if any(_names(base, {"enum.Enum"}) for base in cls.__mro__) or any(
        "__dataclass_fields__" in vars(base) for base in cls.__mro__
    ):
        return f"call `pyon.register_standard_types({cls.__name__})` {_BOTH}"
    return f"{registering}: `pyon.register([{cls.__name__}], …)`"


def _names(cls: type, names: Any) -> bool:
    """Tell whether a class is among some that are named as they are imported."""
    module = cls.__module__
    # `pathlib` has had its classes in a module of its own for a while.
    return isinstance(module, str) and f"{module.partition('._')[0]}.{cls.__name__}" in names


def _otherwise(cls: type) -> str:
    """Tell what to send in place of a value of a class, if that is known."""
    numpy: Any = sys.modules.get("numpy")
    bases = cls.__mro__
    names = {base.__name__ for base in bases}
    if numpy is not None and getattr(numpy, "ndarray", None) in bases:
        if "MaskedArray" in names:
            return "it would lose its mask; send `.filled(…)`, or `.data` and `.mask`"
        if "Quantity" in names:
            return "it would lose its unit; send `.value` and `str(….unit)`"
        return "it would arrive as a plain array; send `numpy.asarray(…)`"
    if numpy is not None and getattr(numpy, "generic", None) in bases:
        return "send what Python has, as `float(…)` or `str(…)` gives it"
    if "Quantity" in names and any("magnitude" in vars(base) for base in bases):
        return "it would lose its unit; send `.magnitude` and `str(….units)`"
    if cls is memoryview:
        return "send `bytes(…)`"
    if "__next__" in vars(cls) or cls.__name__.startswith("dict_"):
        return "send `list(…)`"
    return ""
