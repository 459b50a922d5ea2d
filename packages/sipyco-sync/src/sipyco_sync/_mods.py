"""Mods, which are changes of a structure as dictionaries, and who is told of them."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import Enum
from typing import Any, TypeAlias

from sipyco_rpc.support.process_bound import after_fork_in_child
from sipyco_sync._array_guard import check_setitem

Mod: TypeAlias = dict[str, Any]  # see `ModAction`


class ModAction(Enum):
    """The actions of mods; the value of each is what stands in a mod.

    A mod is one change of a structure, as a plain dictionary. It travels as a line, and callbacks
    (`Notifier.publish`, `notify_cb` of subscribers) get it as it is:

    | `action` | other keys | change |
    | --- | --- | --- |
    | `"init"` | `struct` | `struct` replaces the whole structure |
    | `"append"` | `path`, `x` | `container.append(x)` |
    | `"insert"` | `path`, `i`, `x` | `container.insert(i, x)` |
    | `"pop"` | `path`, `i` | `container.pop(i)` |
    | `"setitem"` | `path`, `key`, `value` | `container[key] = value` |
    | `"delitem"` | `path`, `key` | `del container[key]` |

    `path` is the list of keys and indices that lead from the whole structure to the container:
    `{"action": "append", "path": ["temperatures"], "x": 21.5}`.
    """

    init = "init"
    append = "append"
    insert = "insert"
    pop = "pop"
    setitem = "setitem"
    delitem = "delitem"


def apply_mod(container: Any, mod: Mod) -> Any:
    """Make one change to the container that it is about; return what `pop` took out."""
    action = mod["action"]
    if action == "setitem":
        check_setitem(container, mod["key"], mod["value"])
        container[mod["key"]] = mod["value"]
    elif action == "append":
        container.append(mod["x"])
    elif action == "insert":
        container.insert(mod["i"], mod["x"])
    elif action == "pop":
        return container.pop(mod["i"])
    elif action == "delitem":
        del container[mod["key"]]
    elif action == "init":
        raise ValueError("`init` replaces the whole structure: there is nothing to apply it to")
    else:
        raise ValueError(f"unknown action of a mod: {action!r}")
    return None


class PreparedPublish(ABC):
    """A `publish` callback that can refuse a mod before it is applied, as a `Publisher`'s does."""

    @abstractmethod
    def prepare(self, mod: Mod) -> Callable[[], None]:
        """Encode a mod, or raise; return what announces it once it has been applied."""

    @abstractmethod
    def __call__(self, mod: Mod) -> None:
        """Announce a mod that has been applied already."""

    def after_fork(self) -> None:  # noqa: B027  (not all have peers)
        """Go on in a child that was forked, where nobody is to be told; the lock is a new one."""


class Changes:
    """What the parts of one notifier share, and all that a `Publisher` needs to know of it.

    Attributes:
        lock: is held while a prepared mod is applied and announced, and while a snapshot is taken:
            it orders them. It is reentrant: a callback may change the structure once more.
        count: how many changes there have been; tells whether a snapshot is still true.
        publish: is called with each mod, or None.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.count = 0
        self.publish: Callable[[Mod], Any] | None = None
        after_fork_in_child(self._after_fork)

    def _after_fork(self) -> None:
        self.lock = threading.RLock()  # a thread of the parent may hold the other
        if isinstance(self.publish, PreparedPublish):
            self.publish.after_fork()
