"""Copies of arguments that are used later: what the caller changes meanwhile does not count."""

from __future__ import annotations

import copy
import sys
from collections import OrderedDict
from typing import Any, Final

from sipyco_pyon import pyon

_CONSTANT: Final = frozenset({bool, bytes, complex, float, int, range, str, type(None)})


def captured(value: Any, memo: dict[int, Any]) -> Any:
    """Copy a value as far as it may change: containers, arrays, and what PYON knows otherwise.

    What cannot be sent, such as a function or a driver, is given as it is.

    Args:
        value: what to copy.
        memo: what was copied already, by its identity: an array in two places stays one.
    """
    kind = type(value)
    if kind in _CONSTANT:
        return value
    if id(value) in memo:
        return memo[id(value)]
    numpy = sys.modules.get("numpy")
    result: Any
    if kind is list:
        result = memo[id(value)] = []
        result += [captured(item, memo) for item in value]
    elif kind is dict or kind is OrderedDict:
        result = memo[id(value)] = kind()
        # Keys are hashed: what changes in them is lost for everyone.
        result.update({key: captured(item, memo) for key, item in value.items()})
    elif kind is tuple:
        result = memo[id(value)] = tuple([captured(item, memo) for item in value])
    elif kind is set or kind is bytearray:
        result = memo[id(value)] = kind(value)
    elif kind is getattr(numpy, "ndarray", None):
        result = memo[id(value)] = value.copy(order="K")
    elif _is_encodable(value):
        result = copy.deepcopy(value, memo)
    else:
        result = value
    return result


def _is_encodable(value: Any) -> bool:
    try:
        pyon.encode(value)
    except Exception:  # noqa: BLE001  (any error means no)
        return False
    return True
