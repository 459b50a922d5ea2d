"""Circular references: looked for only when a structure could not be written to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any, Final

from sipyco_pyon._refusals import place_of
from sipyco_pyon._registry import VALUE, _encoders, further_numpy_kind, is_built_in
from sipyco_pyon.limits import MAX_HOOK_CALLS

_END: Final = object()


class _Search:
    """A walk through a structure that does not need the stack.

    Attributes:
        path: what contains what was found, from outside, and that itself.
    """

    def __init__(self, default: Callable[[Any], Any] | None) -> None:
        self.path: list[Any] = []
        self._default = default
        self._hook_calls = 0

    def find(self, value: Any) -> Any:
        """Give a value that contains itself, or `_END`."""
        pending: list[Iterator[Any]] = [iter((value,))]
        # By their identities; kept, so that no other value gets one of these.
        path: dict[int, Any] = {}  # what contains what is looked at
        done: dict[int, Any] = {}
        while pending:
            item = next(pending[-1], _END)
            if item is _END:
                pending.pop()
                if path:
                    done.update([path.popitem()])
                continue
            if id(item) in path:
                containers = list(path.values())
                self.path = containers[: [id(each) for each in containers].index(id(item)) + 1]
                return item
            if id(item) not in done and (inner := self._inside(item)) is not None:
                path[id(item)] = item
                pending.append(iter(inner))
        return _END

    def _inside(self, value: Any) -> Iterable[Any] | None:
        """Give what would be written within a value, or None if it has nothing within."""
        if isinstance(value, dict):
            return [*value, *value.values()]
        if isinstance(value, (list, tuple)) or type(value) is set:
            return list(value)
        if type(value) is slice:
            return (value.start, value.stop, value.step)
        cls = type(value)
        registered = _encoders.get(cls)
        hook = registered.encode if registered is not None else self._default
        if hook is None or value is None or isinstance(value, (float, int, str)):
            return None
        if registered is None and (is_built_in(cls) or further_numpy_kind(cls) is not None):
            return None
        self._hook_calls += 1
        return (hook(value),) if self._hook_calls <= MAX_HOOK_CALLS else None


def circular_reference_error(
    value: Any, default: Callable[[Any], Any] | None = None, name: str = VALUE
) -> ValueError | None:
    """Make the error of a structure that contains itself, or give None if it does not.

    Values of an unknown type are looked at as what `default` gives to write in their place.
    """
    search = _Search(default)
    try:
        found = search.find(value)
    except Exception:  # noqa: BLE001  (of a hook: then what has happened before is the error)
        return None
    if found is _END:
        return None
    text = f"a `{type(found).__name__}` contains itself: it cannot be PYON encoded"
    places = _places(search.path)
    if places or name != VALUE:
        text += f"; it is {place_of(name, places)}"
    return ValueError(text)


def _places(path: list[Any]) -> list[tuple[Any, Any, Any]]:
    """Give the parts of a place, as `place_of` takes them."""
    places: list[tuple[Any, Any, Any]] = []
    registered: Any = None
    for outer, inner in pairwise(path):
        if isinstance(outer, dict):
            keys = [key for key, item in outer.items() if item is inner]
            places.append(("value", outer, keys[0]) if keys else ("key", outer, inner))
        elif isinstance(outer, (list, tuple)):
            places.append((registered or "item", outer, inner))
        elif type(outer) is set:
            places.append(("set", outer, inner))
        elif type(outer) is slice:
            places.append(("slice", [outer.start, outer.stop, outer.step], inner))
        else:  # a hook has given what is inside, as arguments if its class is registered
            registered = _encoders.get(type(outer))
            continue
        registered = None
    return places[::-1]
