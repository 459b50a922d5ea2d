"""Values from the tags that stand for them. No text here."""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice
from time import thread_time

from sipyco_pyon._base64 import b64decode
from sipyco_pyon._registry import TAG, _decoders

TYPE_CHECKING = False  # importing `typing` costs more than all of this package
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Final

__all__: list[str] = []

_PIECE: Final = 256  # items that go into a dictionary or a set before the time is looked at
_PATIENCE: Final = 256 * 5e-6  # seconds for them: numbers and strings take a twentieth
_TIMES: Final = 4  # as long as to hash their keys may they take: a long tuple is slow to hash

_codec: Any = None


def numpy_codec() -> Any:
    """Return the module that imports NumPy, at the first need for it.

    Raises:
        ImportError: NumPy is not installed.
    """
    global _codec
    if _codec is None:
        from sipyco_pyon import _numpy

        _codec = _numpy
    return _codec


def _decode_fraction(*arguments: Any) -> Any:
    from fractions import Fraction

    if not all(type(argument) is int for argument in arguments):
        # A text such as "1e999999999" would take all memory.
        raise ValueError("a Fraction is made of integers")
    return Fraction(*arguments)


def _decode_array(shape: Any, dtype: Any, data: Any) -> Any:
    return numpy_codec().decode_array(shape, dtype, data)


def _decode_scalar(dtype: Any, data: Any) -> Any:
    return numpy_codec().decode_scalar(dtype, data)


def _decode_dict(items: Any = ()) -> Any:
    return _gathered({}, items)


def _decode_ordered_dict(items: Any = ()) -> Any:
    return _gathered(OrderedDict(), items)


def _decode_set(items: Any = ()) -> Any:
    return _gathered(set(), items)


def _gathered(collection: Any, items: Any) -> Any:
    """Fill an empty dictionary or set, unless its keys take the square of the time.

    Python compares a key with those that have its hash, and looks in many places where hashes lead
    to the same ones. Numbers can be made so, and only the time tells all the ways. It is the time
    that this thread has worked, and the slowest piece does not count: it may be Python that looks
    for garbage, or a dictionary that grows.

    Raises:
        ValueError: the keys take too long, or what is no collection raises it.
    """
    if isinstance(items, dict) or len(items) <= _PIECE:
        collection.update(items)
        return collection
    rest = iter(items)
    spent = slowest = allowed = 0.0
    while piece := list(islice(rest, _PIECE)):
        began = thread_time()
        collection.update(piece)
        took = thread_time() - began
        spent += took
        slowest = max(slowest, took)
        allowed += _PATIENCE
        if took > _PATIENCE:
            keys = piece if isinstance(collection, set) else [next(iter(pair)) for pair in piece]
            allowed += _TIMES * _time_to_hash(keys)
            if spent - slowest > allowed:
                raise ValueError(f"too many of its {len(items)} keys collide in Python's tables")
    return collection


def _time_to_hash(keys: list[Any]) -> float:
    """Measure what no choice of keys can make longer than they are."""
    began = thread_time()
    for key in keys:
        hash(key)
    return thread_time() - began


_BUILT_IN: Final[dict[str, Callable[..., Any]]] = {
    "Fraction": _decode_fraction,
    "OrderedDict": _decode_ordered_dict,
    "bytes": b64decode,
    "complex": complex,
    "dict": _decode_dict,
    "nparray": _decode_array,
    "npscalar": _decode_scalar,
    "set": _decode_set,
    "slice": slice,
    "tuple": tuple,
}


def rebuild(tag: str, arguments: Iterable[Any]) -> Any:
    """Rebuild a value of a built-in tag.

    Raises:
        ValueError: the arguments are malformed, whatever the cause inside.
    """
    try:
        return _BUILT_IN[tag](*arguments)
    except (ImportError, RecursionError):
        raise
    except Exception as exc:
        raise ValueError(f"malformed `{tag}`: {exc}") from exc


def untag(members: dict[str, Any]) -> Any:
    """Give the value that a JSON object stands for: its tag's, or itself if it has none.

    Raises:
        ValueError: the tag is malformed.
        TypeError: the tag is unknown.
    """
    if TAG not in members:
        return members
    description = members[TAG]
    if type(description) is not list or len(description) != 2:
        raise ValueError(f"malformed `{TAG}`: expected a name and its arguments")
    name, arguments = description
    # Those that structures are full of come first.
    if name == "tuple":
        if type(arguments) is list and len(arguments) == 1 and type(arguments[0]) is list:
            return tuple(arguments[0])
    elif name == "dict":
        if type(arguments) is list and len(arguments) == 1 and type(arguments[0]) is list:
            items = arguments[0]
            if len(items) <= _PIECE:
                try:
                    return dict(items)
                except Exception:  # noqa: BLE001  (`rebuild` says what is wrong)
                    pass
    elif name == "nparray" and type(arguments) is list and len(arguments) == 3:
        try:
            codec = numpy_codec() if _codec is None else _codec
            return codec.decode_array(arguments[0], arguments[1], arguments[2])
        except (ImportError, RecursionError):
            raise
        except Exception as exc:
            raise ValueError(f"malformed `nparray`: {exc}") from exc
    if not isinstance(name, str):
        raise ValueError(f"malformed `{TAG}`: expected a name and its arguments")
    if name in _BUILT_IN:
        if not isinstance(arguments, list):
            raise ValueError(f"malformed `{name}`: the arguments are not an array")
        return rebuild(name, arguments)
    if name == "buffer":
        raise ValueError("malformed `buffer`: there are no buffers")
    decoder = _decoders.get(name)
    if decoder is None:
        # A name of a peer's: it may be long, and have in it what terminals obey.
        raise TypeError(f"Object of type `{repr(name[:60])[1:-1]}` is not PYON decodable")
    return decoder(*arguments)
