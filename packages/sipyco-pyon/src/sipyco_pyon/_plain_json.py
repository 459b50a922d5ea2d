"""Plain values as JSON by the encoder in C, as a whole. No tags here."""

from __future__ import annotations

from sipyco_pyon._compat import encode_plain
from sipyco_pyon._registry import COMPILED, TAG

TYPE_CHECKING = False  # importing `typing` costs more than all of this package
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Final

JSON_SCALARS: Final = frozenset({str, int, float, bool, type(None)})

# Tell whether there are no other classes among those given. Bound, as they are called very often.
are_scalars: Final[Callable[[Iterable[type]], bool]] = JSON_SCALARS.issuperset
are_strings: Final[Callable[[Iterable[type]], bool]] = frozenset({str}).issuperset

# Containers of so many plain items go to the encoder in C. Compiled, the loop of `Writer` is as
# quick as that and has no call to pay for; uncompiled it never is.
FLAT_FROM: Final = 24 if COMPILED else 0

# The members of a request or a reply, and some more. To look into many in vain costs more than to
# write them.
_SMALL: Final = 8

# Long lists mostly hold one class, and to count it is quicker than to look up that of each item.
_LONG: Final = 1000


def all_strings(items: dict[Any, Any]) -> bool:
    """Tell whether all keys are strings, of a class that may be derived."""
    for key in items:  # noqa: SIM110  (compiled, this is the quickest)
        if not isinstance(key, str):
            return False
    return True


def flat_json(container: Any) -> str | None:
    """Write a scalar of JSON, or a container of which it is known that it holds nothing else.

    Returns:
        The text, or None if an integer is beyond the interpreter's limit of digits.
    """
    try:
        return "".join(encode_plain(container, 0))
    except ValueError:
        return None


def plain_json(value: Any) -> str | None:
    """Write a value by the encoder in C alone, if it is seen at once that this can write it.

    That is a scalar of JSON, or a container of some; or a small container of such containers, as
    requests and replies are.

    Returns:
        The text; None where the encoder in C could not write the value, or it pays to look closer.
    """
    cls = type(value)
    if cls is dict:
        if len(value) < FLAT_FROM or not are_strings(map(type, value)) or TAG in value:
            return None
        items = value.values()
    elif cls is list:
        if len(value) < FLAT_FROM:
            return None
        items = value
        if len(value) > _LONG:
            classes = list(map(type, value))
            if classes.count(classes[0]) == len(classes):
                items = value[:1]
    elif cls in JSON_SCALARS:
        items = ()
    else:
        return None
    if not are_scalars(map(type, items)):
        if len(value) > _SMALL:
            return None
        for item in items:
            inner = type(item)
            if inner is dict:
                if not are_strings(map(type, item)) or TAG in item:
                    return None
                if not are_scalars(map(type, item.values())):
                    return None
            elif inner is list:
                if not are_scalars(map(type, item)):
                    return None
            elif inner not in JSON_SCALARS:
                return None
    return flat_json(value)
