"""Circular references: looked for only when a structure could not be written to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from sipyco_pyon._registry import _encoders, further_numpy_kind, is_built_in
from sipyco_pyon.limits import MAX_HOOK_CALLS

_END: Final = object()


class _Search:
    """A walk through a structure that does not need the stack."""

    def __init__(self, default: Callable[[Any], Any] | None) -> None:
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
    value: Any, default: Callable[[Any], Any] | None = None
) -> ValueError | None:
    """Make the error of a structure that contains itself, or give None if it does not.

    Values of an unknown type are looked at as what `default` gives to write in their place.
    """
    try:
        found = _Search(default).find(value)
    except Exception:  # noqa: BLE001  (of a hook: then what has happened before is the error)
        return None
    if found is _END:
        return None
    return ValueError(f"a `{type(found).__name__}` contains itself: it cannot be PYON encoded")
