"""PYON v2: Python values as JSON text and back, types and NumPy arrays included.

JSON has fewer types than Python. What it lacks is written as a tagged object, such as
`{"__jsonclass__": ["tuple", [[1, 2]]]}`. The older dialect, which resembles Python source, is in
`pyon_v1`.
"""

from __future__ import annotations

import os
import sys

from sipyco_pyon._compat import beyond_digit_limit
from sipyco_pyon._plain_json import plain_json
from sipyco_pyon._reader import read, read_with_options
from sipyco_pyon._registry import VALUE, deregister, register
from sipyco_pyon._registry import _numpy_scalar as _numpy_scalar  # programs iterate over it
from sipyco_pyon._writer import Writer
from sipyco_pyon.files import read_text, replace_text

TYPE_CHECKING = False  # importing `typing` costs more than all of this package
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from os import PathLike
    from typing import Any, Final

    Buffer = Any  # `collections.abc.Buffer`, which Python 3.11 does not have

__all__ = [
    "decode",
    "deregister",
    "encode",
    "encode_bytes",
    "load_file",
    "new_buffer",
    "register",
    "register_standard_types",
    "store_file",
    "wrap",
]

# As much as may be taken at once for who only says that more will come.
_MAPPED_FROM: Final = 1024 * 1024

# Of an integer: the least that the interpreter's limit can be set to.
_ALLOWED_DIGITS: Final = 640


def encode(
    x: Any,
    pretty: bool = False,
    *,
    plain_float64: bool = False,
    buffer_callback: Callable[[memoryview], object] | None = None,
    name: str = VALUE,
    **kwargs: Any,
) -> str:
    """Write a value as PYON v2.

    Args:
        x: the value: None, bool, int, float, complex, str, bytes, list, tuple, dict, set, slice,
            `Fraction`, `OrderedDict`, NumPy arrays and scalars, registered types (see
            `register_standard_types`, too), and any nesting of these. Subclasses of the JSON types
            and of tuple are written as their base.
        pretty: indent by 4 spaces, one member a line, instead of one line without spaces.
        plain_float64: write `numpy.float64` scalars as plain numbers, as older programs do.
        buffer_callback: called with the memory of each array, and of each `bytes`, that is long:
            one-dimensional, of format "B". It is the memory of the value itself, not a copy,
            unless an array is not C-contiguous. The text then has the number of the call there,
            from 0 on: `decode` needs these buffers, in this order. Short data stays in the text,
            and so does what comes after 4,096 buffers.
        name: what errors call the value, in telling the place of what cannot be encoded:
            `"arguments"` in `arguments[1]["when"]`.
        **kwargs: as for `json.dumps`.

    Raises:
        TypeError: a value of a type that cannot be encoded; the text shows it, its place in what
            is around it, and what to do.
        AssertionError: a dictionary has the key `__jsonclass__`.
        ValueError: a structure contains itself, or an integer has more than 100,000 digits.
        RecursionError: a structure is nested too deeply.
    """
    if pretty or kwargs:
        return _encode_with_options(x, pretty, plain_float64, buffer_callback, name, kwargs)
    text = plain_json(x)
    if text is not None:
        return text
    return Writer(x, plain_float64, None, buffer_callback, name).text()


def encode_bytes(
    x: Any,
    *,
    plain_float64: bool = False,
    buffer_callback: Callable[[memoryview], object] | None = None,
    end: str = "",
    name: str = VALUE,
) -> bytes:
    """Write a value as PYON v2 in ASCII, on one line: `encode` for whoever sends it.

    It takes one copy less of long arrays. The arguments and errors are those of `encode`.

    Args:
        x: the value.
        plain_float64: as for `encode`.
        buffer_callback: as for `encode`.
        end: what comes after the value, such as a newline: to add it later would be a copy.
        name: as for `encode`.
    """
    text = "null" if x is None else plain_json(x)  # most methods return None
    if text is not None:
        return (text + end if end else text).encode("ascii")
    return Writer(x, plain_float64, None, buffer_callback, name).data(end)


def _encode_with_options(
    x: Any,
    pretty: bool,
    plain_float64: bool,
    buffer_callback: Callable[[memoryview], object] | None,
    name: str,
    options: dict[str, Any],
) -> str:
    """Write a value by `json.dumps`: what is to be JSON goes through JSON once more."""
    import json

    # Neither way takes long integers: a string that nobody can guess stands for each.
    token = os.urandom(16).hex()
    long_integers: list[str] = []

    def from_digits(digits: str) -> int | str:
        if len(digits) <= _ALLOWED_DIGITS:
            return int(digits)
        long_integers.append(digits)
        return f"{token}-{len(long_integers) - 1}-"

    text = Writer(x, plain_float64, options.pop("default", None), buffer_callback, name).text()
    value = json.loads(text, parse_int=from_digits if beyond_digit_limit(text) else None)
    layout: dict[str, Any] = {"indent": 4} if pretty else {"separators": (",", ":")}
    text = json.dumps(value, **{**layout, **options})
    for index, digits in enumerate(long_integers):
        text = text.replace(f'"{token}-{index}-"', digits, 1)
    return text


def decode(
    s: str | bytes | bytearray | memoryview,
    *,
    buffers: Sequence[Buffer] | None = None,
    **kwargs: Any,
) -> Any:
    """Read a value from PYON v2.

    Args:
        s: the text.
        buffers: what `encode` gave to its `buffer_callback`, in this order, or copies of it. An
            array is made of such memory without a copy if it is writable and aligned, as that of
            `new_buffer` is; so the memory must belong to nobody else. Each can be used once.
        **kwargs: as for `json.loads`.

    Raises:
        ValueError: it is not JSON (`json.JSONDecodeError`), or a tagged value is malformed, or
            does not fit the buffers, or an integer has more than 100,000 digits.
        TypeError: a tag is unknown.
        ImportError: it holds NumPy values, and NumPy is not installed.
        RecursionError: it is nested too deeply.
    """
    source: Any = s
    cls = type(s)
    if cls is not bytearray and cls is not bytes and cls is not str:
        if isinstance(source, memoryview):
            source = bytes(source)
        elif isinstance(source, str):
            source = str.__str__(source)  # of a derived class, such as NumPy's
        elif not isinstance(source, (bytes, bytearray)):
            raise TypeError(f"a PYON text is str or bytes, got {cls.__name__}")
    if kwargs:
        return read_with_options(source, buffers, kwargs)
    return read(source, buffers)


def new_buffer(size: int) -> Any:
    """Return writable memory for a buffer that is to be received, with any content.

    It is an array of NumPy if that is loaded; otherwise a `bytearray`, or an anonymous `mmap` if
    it is long. The system gives pages of long memory only as they are written to: who announces
    much and sends little takes little. `decode` makes an array of any of them without a copy.

    Args:
        size: in bytes.
    """
    numpy: Any = sys.modules.get("numpy")
    empty = getattr(numpy, "empty", None)
    if empty is not None:
        return empty(size, numpy.uint8)
    return bytearray(size) if size < _MAPPED_FROM else _mapped(size)


def _mapped(size: int) -> Any:
    """Return memory of which nothing is taken yet."""
    try:
        import mmap  # without NumPy, and for long buffers only

        if sys.platform == "win32":
            return mmap.mmap(-1, size)  # pragma: elsewhere (Windows)
        # Private, or a child process would share it.
        return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, ImportError):
        return bytearray(size)  # a limit on their number, or no descriptor to load it with


def register_standard_types(*classes: type, **named: type) -> None:
    """Switch standard types on; in both programs, each of which may call it more than once.

        pyon.register_standard_types()
        pyon.register_standard_types(Colour, Point, **{"lab.Shape": Shape})

    They are `datetime`, `date`, `time`, `timedelta`, `timezone` and `ZoneInfo`, `Decimal`, `UUID`,
    the classes of `pathlib`, `frozenset`, `bytearray`, `deque` and `range`. Types that the program
    has registered itself stay as they are. They are in PYON v2 only.

    Args:
        *classes: enumerations and dataclasses, which are known by their names, without a module.
        **named: likewise, with the names that they are to have.

    Raises:
        TypeError: it is neither an enumeration nor a dataclass; or its values are written as the
            `int`, `str` and the like that they are derived from.
        AssertionError: another class has the name, or this one has another name.
    """
    from sipyco_pyon._own_classes import check_class, register_class
    from sipyco_pyon._standard_types import register_standard

    for cls in (*classes, *named.values()):
        check_class(cls)
    register_standard()
    for cls in classes:
        register_class(cls.__name__, cls)
    for name, cls in named.items():
        register_class(name, cls)


def wrap(o: Any) -> Any:
    """Return the value itself.

    It exists for `encode` hooks that pass tuples, or dictionaries with other keys than strings,
    through it: these need no help to round trip.
    """
    return o


def store_file(filename: str | PathLike[str], x: Any, **kwargs: Any) -> None:
    """Write a value to a file in the pretty form, atomically.

    A reader, or a crash at any moment, sees the old file or the new one, never a mixture. On
    failure the old file is untouched, and nothing else is left behind. A temporary file that a
    killed process left in the directory is removed by a later call, when it is ten minutes old.

    Args:
        filename: the file; a symbolic link is followed.
        x: the value.
        **kwargs: as for `encode`.

    Raises:
        TypeError, AssertionError, ValueError: as `encode`.
        OSError: the file cannot be written; the error names it.
    """
    replace_text(filename, encode(x, pretty=True, **kwargs))


def load_file(filename: str | PathLike[str], **kwargs: Any) -> Any:
    """Read a value from a file.

    Args:
        filename: the file, in UTF-8.
        **kwargs: as for `decode`.

    Raises:
        OSError: the file cannot be read.
        ValueError, TypeError, ImportError: as `decode`.
    """
    return decode(read_text(filename), **kwargs)
