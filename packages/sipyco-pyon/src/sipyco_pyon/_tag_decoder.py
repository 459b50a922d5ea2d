"""Decoding of tags: values from the JSON objects that stand for them. No text here."""

from __future__ import annotations

from collections import OrderedDict

from sipyco_pyon._base64 import b64decode
from sipyco_pyon._hash_flooding import HashFloodingGuard
from sipyco_pyon._registry import STANDARD_TAGS, TAG, _decoders
from sipyco_pyon.limits import UNCHECKED_KEYS

TYPE_CHECKING = False  # importing `typing` costs more than all of this package
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

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
        _BUILT_IN["nparray"] = _numpy.decode_array
        _BUILT_IN["npscalar"] = _numpy.decode_scalar
    return _codec


def _decode_fraction(*arguments: Any) -> Any:
    from fractions import Fraction

    if not all(type(argument) is int for argument in arguments):
        # A text such as "1e999999999" would take all memory.
        raise ValueError("a Fraction is made of integers")
    return Fraction(*arguments)


def _refuse_range(items: Any) -> None:
    """Refuse to take all items of a range: the text of one is short, whatever its length."""
    if type(items) is range:
        raise ValueError("expected a list of items, got a `range`")


def _decode_tuple(*arguments: Any) -> Any:
    if arguments:
        _refuse_range(arguments[0])
    return tuple(*arguments)


def _refuse_buffer(*arguments: Any) -> Any:
    raise ValueError("there are no buffers")


_BUILT_IN: Final[dict[str, Callable[..., Any]]] = {
    "Fraction": _decode_fraction,
    "OrderedDict": OrderedDict,
    "buffer": _refuse_buffer,
    "bytes": b64decode,
    "complex": complex,
    "dict": dict,
    # Of these the first calls put those of the codec in their places.
    "nparray": lambda *arguments: numpy_codec().decode_array(*arguments),
    "npscalar": lambda *arguments: numpy_codec().decode_scalar(*arguments),
    "set": set,
    "slice": slice,
    "tuple": _decode_tuple,
}
_HASHING: Final = frozenset({"OrderedDict", "dict", "frozenset", "set"})


def add_built_in(name: str, decode: Callable[..., Any]) -> None:
    """Have values of one more tag rebuilt, as those of the others are, from its arguments."""
    _BUILT_IN[name] = decode


def _unknown_tag(name: str) -> TypeError:
    """Make the error of a tag that is not known here."""
    if name in STANDARD_TAGS:
        advice = "the other side uses standard types: call `pyon.register_standard_types()` here"
    else:
        advice = "register it here, as the other side has"
    # A name of a peer's: it may be long, and have in it what terminals obey.
    shown = repr(name[:60])[1:-1]
    return TypeError(f"Object of type `{shown}` is not PYON decodable; {advice}")


class TagDecoder:
    """Gives the values of the tags of one text; the guard is None if that is too short for one."""

    def __init__(self, guard: HashFloodingGuard | None) -> None:
        self._guard = guard

    def decode_tag(self, members: dict[str, Any]) -> Any:
        """Give the value that a JSON object stands for: its tag's, or itself if it has none.

        Raises:
            ValueError: the tag is malformed, whatever the cause inside.
            TypeError: the tag is unknown.
        """
        if TAG not in members:
            return members
        description = members[TAG]
        if type(description) is not list or len(description) != 2:
            raise ValueError(f"malformed `{TAG}`: expected a name and its arguments")
        name, arguments = description
        if name == "tuple" and type(arguments) is list and len(arguments) == 1:
            items = arguments[0]
            if type(items) is list:
                return tuple(items)  # at once: structures are full of them
        if type(name) is not str:
            raise ValueError(f"malformed `{TAG}`: expected a name and its arguments")
        decoder = _BUILT_IN.get(name)
        if decoder is None:
            decoder = _decoders.get(name)
            if decoder is None:
                raise _unknown_tag(name)
            _refuse_range(arguments)
            return decoder(*arguments)
        try:
            if type(arguments) is not list:
                raise ValueError("the arguments are not an array")
            if name in _HASHING and arguments and len(arguments[0]) > UNCHECKED_KEYS:
                self._check_keys(arguments[0], name == "set" or name == "frozenset")
            return decoder(*arguments)
        except (ImportError, RecursionError):
            raise
        except Exception as exc:
            raise ValueError(f"malformed `{name}`: {exc}") from exc

    def finish(self) -> None:
        """Check that no buffer is left that nothing has taken, at the end of the text."""

    def _check_keys(self, items: Any, is_set: bool) -> None:
        """Check that many items may go into a dictionary or a set."""
        if not isinstance(items, (dict, list, set, tuple)):
            # The items of an array would take many times its memory, and no program writes such
            # a thing.
            raise ValueError(f"expected a list of items, got a `{type(items).__name__}`")
        if self._guard is None:
            return
        if is_set:
            self._guard.check(list(items), True)
        elif not isinstance(items, dict):  # the keys of one were checked when it was made
            # Nearly all are lists. What is no pair is found when the dictionary is made.
            keys = [
                pair[0] if type(pair) is list and pair else next(iter(pair), None)
                for pair in items
            ]
            self._guard.check(keys, False)


# For texts that are too short to hold so many keys that it matters.
decode_short_tag: Final = TagDecoder(None).decode_tag
