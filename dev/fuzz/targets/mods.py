"""`sync_struct` without connections: lines as mods, and mods that are applied to a copy.

A mod must cost no more than it and the structure are large. Of memory that is checked here, as
what is allocated while it is applied: at most so many times both of them, and some bytes in any
case. Of time it is what the fuzzer allows for an input. An array has one large item, of which a
mod that multiplies makes hundreds.
"""

from __future__ import annotations

import copy
import sys
import tracemalloc
from typing import Any, Final

from dev.fuzz.compare import canonical
from sipyco_sync._snapshot import _Request
from sipyco_sync._subscriber import decode_mod
from sipyco_sync.notifier import Notifier, process_mod

try:
    import numpy as np
except ImportError:  # in the minimal environment
    np = None  # type: ignore[assignment]

__all__ = ["one_input"]

_TIMES: Final = 64  # as large as it and the structure; NumPy casts large items 128 at a time
_BYTES: Final = 8 * 1024 * 1024  # in any case
_LARGE: Final = 64 * 1024  # bytes of the one large item


def _start() -> Any:
    """Give the structure that the first line finds."""
    start: dict[str, Any] = {"list": [1, 2, 3], "dict": {"a": {}}, "value": 1}
    if np is not None:
        record: list[Any] = [
            ("n", "<i4"),
            ("m", "<f8", (2,)),
            ("s", f"S{_LARGE}", (1,)),
            ("none", [], (9,)),
        ]
        start["arrays"] = {
            "reals": np.zeros((2, 3)),
            "large": np.zeros(1, f"S{_LARGE}"),
            "records": np.zeros(1, record),
            "objects": np.array([None, {}], dtype=object),
        }
    return start


def one_input(data: bytes) -> None:
    """Apply each line to a structure: the plain one, and the same in a notifier."""
    _check_snapshot(data)
    plain = _start()
    notifier = Notifier(copy.deepcopy(plain))
    for line in data.split(b"\n"):
        try:
            mod = decode_mod(line)
        except (ValueError, TypeError, ImportError):
            continue
        assert isinstance(mod, dict)
        assert isinstance(mod["action"], str)
        try:
            theirs = copy.deepcopy(mod)  # what a mod brings becomes a part of the structure
        except RecursionError:
            return
        if mod["action"] == "init" and "struct" in mod:
            plain, notifier = mod["struct"], Notifier(theirs["struct"])
            continue
        applied = _applied_in_bounds(plain, mod)
        assert _applied(notifier, theirs) == applied, mod
        if not applied:
            return  # a subscription ends there
        _check_same(plain, notifier.raw_view)


def _applied_in_bounds(target: Any, mod: Any) -> bool:
    """Apply a mod to the plain structure; tell whether it fits."""
    allowed = _TIMES * (_size(target) + _size(mod)) + _BYTES
    others = tracemalloc.is_tracing()  # it was asked for at the start of Python
    tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        applied = _applied(target, mod)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        if not others:
            tracemalloc.stop()
    assert peak - before <= allowed, f"it took {peak - before} bytes, and {allowed} are allowed"
    return applied


def _size(value: Any) -> int:
    """Tell how many bytes a value takes."""
    size = 0
    to_see = [value]
    while to_see:
        item = to_see.pop()
        size += sys.getsizeof(item)
        if isinstance(item, dict):
            to_see += item.keys()
            to_see += item.values()
        elif isinstance(item, (list, tuple, set)):
            to_see += item
        elif np is not None and isinstance(item, np.ndarray):
            size += 0 if item.base is None else item.nbytes  # of its own ones Python tells
            if item.dtype.kind == "O":
                to_see += item.flat
    return size


def _applied(target: Any, mod: Any) -> bool:
    """Apply a mod; tell whether it fits. That it may not, whatever the reason, is documented."""
    try:
        process_mod(target, mod)
    except MemoryError:  # of what NumPy does not even try to get
        raise
    except Exception:  # noqa: BLE001
        return False
    return True


def _check_same(one: Any, other: Any) -> None:
    try:
        assert canonical(one) == canonical(other)
    except RecursionError:
        pass  # mod by mod it may become deeper than can be compared


def _check_snapshot(data: bytes) -> None:
    """Check that the first line is taken for a structure however it arrives, or refused."""
    results = [_snapshot(data, step) for step in (1, 16, max(1, len(data)))]
    assert results[0] == results[1] == results[2]


def _snapshot(data: bytes, step: int) -> Any:
    request = _Request("name", 2**20)
    try:
        for start in range(0, len(data), step):
            result = request.receive(data[start : start + step])
            if result:
                return _shown(result[0])
        request.receive(b"")
    except (ValueError, EOFError, TypeError, ImportError) as exc:
        return type(exc).__name__
    raise AssertionError("the end of the connection has not been noticed")


def _shown(value: Any) -> Any:
    try:
        return canonical(value)
    except RecursionError:
        return "deep"
