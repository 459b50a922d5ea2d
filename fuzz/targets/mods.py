"""`sync_struct` without connections: lines as mods, and mods that are applied to a copy."""

from __future__ import annotations

import copy
from typing import Any

from fuzz.compare import canonical
from sipyco_sync._snapshot import _Request
from sipyco_sync._subscriber import decode_mod
from sipyco_sync.notifier import Notifier, process_mod

__all__ = ["one_input"]


def one_input(data: bytes) -> None:
    """Apply each line to a structure: the plain one, and the same in a notifier."""
    _check_snapshot(data)
    plain: Any = {"list": [1, 2, 3], "dict": {"a": {}}, "value": 1}
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
        applied = _applied(plain, mod)
        assert _applied(notifier, theirs) == applied, mod
        if not applied:
            return  # a subscription ends there
        _check_same(plain, notifier.raw_view)


def _applied(target: Any, mod: Any) -> bool:
    """Apply a mod; tell whether it fits. That it may not, whatever the reason, is documented."""
    try:
        process_mod(target, mod)
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
