"""Values from the tags that stand for them. No text here."""

from __future__ import annotations

from collections import OrderedDict

from sipyco_pyon._base64 import b64decode
from sipyco_pyon._collisions import FEW, Collisions
from sipyco_pyon._registry import TAG, _decoders

TYPE_CHECKING = False  # importing `typing` costs more than all of this package
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Final

__all__: list[str] = []

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


_COLLECTIONS: Final[dict[str, Callable[[], Any]]] = {
    "OrderedDict": OrderedDict,
    "dict": dict,
    "set": set,
}

_BUILT_IN: Final[dict[str, Callable[..., Any]]] = {
    "Fraction": _decode_fraction,
    "bytes": b64decode,
    "complex": complex,
    "nparray": _decode_array,
    "npscalar": _decode_scalar,
    "slice": slice,
    "tuple": tuple,
}


def _listed(items: Any) -> list[Any]:
    """Give the items of a long collection."""
    if type(items) is list:
        return items
    if isinstance(items, (dict, set, tuple)):
        return list(items)
    # The items of an array would take many times its memory, and no program writes such a thing.
    raise ValueError(f"expected a list of items, got a `{type(items).__name__}`")


class Rebuilder:
    """Gives the values of the tags of one text."""

    def __init__(self, collisions: Collisions | None) -> None:
        """Begin a text.

        Args:
            collisions: counts for it, unless it is too short for that.
        """
        self._collisions = collisions

    def rebuild(self, tag: str, arguments: Iterable[Any]) -> Any:
        """Rebuild a value of a built-in tag.

        Raises:
            ValueError: the arguments are malformed, whatever the cause inside.
        """
        try:
            if tag in _COLLECTIONS:
                return self._collection(_COLLECTIONS[tag](), list(arguments))
            return _BUILT_IN[tag](*arguments)
        except (ImportError, RecursionError):
            raise
        except Exception as exc:
            raise ValueError(f"malformed `{tag}`: {exc}") from exc

    def _collection(self, collection: Any, arguments: list[Any]) -> Any:
        """Fill an empty dictionary or set, unless its keys were chosen to take long.

        Raises:
            ValueError: they were, or what is no collection raises it.
        """
        if not arguments:
            return collection
        if len(arguments) > 1:
            raise ValueError(f"expected one argument, the items; got {len(arguments)}")
        items = arguments[0]
        if len(items) > FEW:
            self._check(_listed(items), isinstance(collection, set), isinstance(items, dict))
        collection.update(items)
        return collection

    def _check(self, items: list[Any], is_set: bool, of_dict: bool) -> None:
        """Check that many items may go into a dictionary or a set."""
        if self._collisions is None:
            return
        if is_set:
            self._collisions.check(items, True)
        elif not of_dict:  # the keys of one were checked when it was made
            # Nearly all are lists. What is no pair is found when the dictionary is made.
            keys = [
                pair[0] if type(pair) is list and pair else next(iter(pair), None)
                for pair in items
            ]
            self._collisions.check(keys, False)

    def untag(self, members: dict[str, Any]) -> Any:
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
                if len(items) <= FEW:
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
        if name in _BUILT_IN or name in _COLLECTIONS:
            if not isinstance(arguments, list):
                raise ValueError(f"malformed `{name}`: the arguments are not an array")
            return self.rebuild(name, arguments)
        if name == "buffer":
            raise ValueError("malformed `buffer`: there are no buffers")
        decoder = _decoders.get(name)
        if decoder is None:
            # A name of a peer's: it may be long, and have in it what terminals obey.
            raise TypeError(f"Object of type `{repr(name[:60])[1:-1]}` is not PYON decodable")
        return decoder(*arguments)


# For texts that are too short to hold so many keys that it matters.
untag_short: Final = Rebuilder(None).untag
