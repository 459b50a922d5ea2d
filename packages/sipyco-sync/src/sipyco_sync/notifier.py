"""`Notifier`, a structure that announces its changes, and what applies them. No sockets here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sipyco_rpc.support.process_bound import not_copyable
from sipyco_sync._array_guard import check_step
from sipyco_sync._limits import MAX_KEYS
from sipyco_sync._mods import Changes, Mod, ModAction, PreparedPublish, apply_mod

__all__ = ["Mod", "ModAction", "Notifier", "PreparedPublish", "process_mod", "update_from_dict"]

# The address that pickles hold: it lasts when a file moves.
for _public in (ModAction, PreparedPublish):
    _public.__module__ = __name__
    # Since 3.13: a line of another file. Python drops it itself for classes without a metaclass.
    if "__firstlineno__" in vars(_public):
        delattr(_public, "__firstlineno__")

_ABSENT: Final = object()


def process_mod(target: Any, mod: Mod) -> None:
    """Apply a mod to a structure, in place.

    Args:
        target: the structure; a plain one, or a `Notifier`.
        mod: as `ModAction` describes it, but for `init`, which has no structure to be applied to.

    Raises:
        ValueError: the action is `init` or unknown; the mod would go into a copy of a part of a
            list or an array, or cost far more than it and the structure are large; or its path is
            too long.
        LookupError: there is nothing at the path, or no such key.
        Exception: what else the containers raise where a mod does not fit them, such as
            `TypeError`.
    """
    for steps, key in enumerate(mod.get("path", ())):
        if steps == MAX_KEYS:
            raise ValueError(f"expected a path of at most {MAX_KEYS} keys, got a longer one")
        check_step(target.raw_view if isinstance(target, Notifier) else target, key)
        target = target[key]
    apply_mod(target, mod)


class Notifier:
    """A nested structure of dictionaries and lists that announces every change.

        datasets = Notifier({"temperatures": []})
        datasets["temperatures"].append(21.5)

    Every change is a mod that `publish` receives after it has been applied. With a `Publisher`,
    a value that cannot be encoded is refused before anything changes, and changes may come from
    any thread. What is assigned is held as it is, not copied: change it through the notifier
    only, and do not hold one list or dictionary in two places. A slice of a list is a copy, to
    read from: to change it is a `ValueError` where anybody is told.

    A change to an array that costs far more than its value and the array are large, such as one
    long text that NumPy would convert for each of many items, is a `ValueError` here as it would
    be for subscribers. "The protocols" has the limits.

    A notifier is always true, empty or not.

    Args:
        backing_struct: the structure.
        root: the notifier of the whole structure, if this is one of a part of it.
        path: keys and indices from the root to this part.

    Attributes:
        raw_view: the plain structure, to read from.
        root: the notifier of the whole structure.
        changes: what all parts share (`sipyco_sync._mods.Changes`).
    """

    def __init__(
        self, backing_struct: Any, root: Notifier | None = None, path: Sequence[Any] = ()
    ) -> None:
        self.raw_view = backing_struct
        self.root = self if root is None else root
        self.changes: Changes = Changes() if root is None else root.changes
        self._path = list(path)
        self._parent: Notifier | None = None  # known where this one came from indexing

    @property
    def publish(self) -> Callable[[Mod], Any] | None:
        """What is called with each mod (see `ModAction`), or None; it may be assigned."""
        return self.changes.publish

    @publish.setter
    def publish(self, publish: Callable[[Mod], Any] | None) -> None:
        self.changes.publish = publish

    __reduce__ = not_copyable("copy or pickle the structure, which is its `raw_view`")

    def append(self, x: Any) -> None:
        """Append to a list."""
        self._change(self._mod("append", x=x))

    def insert(self, i: int, x: Any) -> None:
        """Insert an item into a list, before an index."""
        self._change(self._mod("insert", i=i, x=x))

    def pop(self, i: Any = -1) -> Any:
        """Remove an item of a list by its index, or of a dictionary by its key, and return it."""
        return self._change(self._mod("pop", i=i))

    def __setitem__(self, key: Any, value: Any) -> None:
        self._change(self._mod("setitem", key=key, value=value))

    def __delitem__(self, key: Any) -> None:
        self._change(self._mod("delitem", key=key))

    def __getitem__(self, key: Any) -> Notifier:
        part = Notifier(self.raw_view[key], self.root, [*self._path, key])
        part._parent = self
        return part

    def update(
        self, other: Mapping[Any, Any] | Iterable[tuple[Any, Any]] = (), **more: Any
    ) -> None:
        """Set items of a dictionary; with a `Publisher`, all of them or none."""
        items = dict(other, **more)
        self._change(*(self._mod("setitem", key=k, value=v) for k, v in items.items()))

    def extend(self, items: Iterable[Any]) -> None:
        """Append items to a list; with a `Publisher`, all of them or none."""
        self._change(*[self._mod("append", x=item) for item in items])

    def setdefault(self, key: Any, default: Any = None) -> Notifier:
        """Set an item of a dictionary if the key is not there; return what is there, as indexing.

        `datasets.setdefault("temperatures", []).append(21.5)`
        """
        with self.changes.lock:
            if key not in self.raw_view:
                self[key] = default
            return self[key]

    def __len__(self) -> int:
        return len(self.raw_view)

    def __contains__(self, item: Any) -> bool:
        return item in self.raw_view

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the plain keys or items, for reading."""
        return iter(self.raw_view)

    def __bool__(self) -> bool:
        return True  # programs write `if notifier:` to see whether there is one

    def __repr__(self) -> str:
        return f"Notifier({self.raw_view!r})"

    def _mod(self, action: str, **arguments: Any) -> Mod:
        return {"action": action, "path": list(self._path), **arguments}

    def _change(self, *mods: Mod) -> Any:
        """Apply changes to this part, and announce each; return what the last took out."""
        changes, result = self.changes, None
        publish = changes.publish
        if isinstance(publish, PreparedPublish):
            # Large values are encoded without keeping other threads from their changes.
            announcements = [publish.prepare(mod) for mod in mods]
            with changes.lock:
                self._check_attached()
                for mod in mods:
                    self._refuse_cycle(mod)
                for mod, announce in zip(mods, announcements, strict=True):
                    result = apply_mod(self.raw_view, mod)
                    changes.count += 1
                    announce()
            return result
        if publish is not None:
            self._check_attached()
        for mod in mods:
            result = apply_mod(self.raw_view, mod)
            changes.count += 1
            if publish is not None:
                publish(mod)
        return result

    def _check_attached(self) -> None:
        """Refuse to change a part that has been replaced or moved: copies would go astray."""
        part = self
        while (whole := part._parent) is not None:
            container, key = whole.raw_view, part._path[-1]
            check_step(container, key)
            there = part.raw_view
            if isinstance(container, dict):
                there = container.get(key, _ABSENT)
            elif isinstance(container, list):
                there = container[key] if -len(container) <= key < len(container) else _ABSENT
            if there is not part.raw_view:
                raise LookupError(
                    f"the part at {part._path!r} has been replaced or moved since it was taken "
                    "from the notifier: take it again"
                )
            part = whole

    def _refuse_cycle(self, mod: Mod) -> None:
        """Refuse a value that holds the structure which it becomes a part of.

        It could be encoded now, but the structure could never be again.
        """
        value = mod.get("value", mod.get("x"))
        if not isinstance(value, (list, dict, tuple)):
            return
        above = {id(self.root.raw_view)}
        part: Notifier | None = self
        while part is not None:
            above.add(id(part.raw_view))
            part = part._parent
        to_see: list[Any] = [value]
        while to_see:
            container = to_see.pop()
            if id(container) in above:
                raise ValueError("the value contains the structure that it is to be a part of")
            items = container.values() if isinstance(container, dict) else container
            to_see.extend(item for item in items if isinstance(item, (list, dict, tuple)))


def update_from_dict(target: Notifier, source: Mapping[Any, Any]) -> None:
    """Make a notifier of a dictionary equal to another one, changing only what differs.

    Values of the top level are compared by value, type, shape and dtype; NaN equals itself.

    Args:
        target: the notifier, or a plain dictionary.
        source: what it is to become.
    """
    current = target.raw_view if isinstance(target, Notifier) else target
    for key in [key for key in current if key not in source]:
        del target[key]
    for key, value in source.items():
        if key not in current or not _same(current[key], value):
            target[key] = value


def _same(a: Any, b: Any) -> bool:
    """Tell whether two values are alike, without asking an array whether it is true."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(value, b[key]) for key, value in a.items())
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(_same, a, b))
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(a, numpy.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and _same_items(a, b)
    try:
        return bool(a is b or a == b or (a != a and b != b))
    except Exception:  # noqa: BLE001  (a type of the program's own: to send it again is safe)
        return False


def _same_items(a: Any, b: Any) -> bool:
    """Compare arrays of one dtype and shape."""
    if a.dtype.names is not None:
        return all(_same_items(a[name], b[name]) for name in a.dtype.names)
    if a.dtype.hasobject:
        return all(map(_same, a.flat, b.flat))
    return bool(((a == b) | ((a != a) & (b != b))).all())
