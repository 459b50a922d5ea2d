"""The NumPy codec: arrays and scalars as arguments of tags. Only this module imports NumPy.

It is imported when there is something to do for it, so `sipyco_pyon` works without NumPy.
"""

from __future__ import annotations

import math

from sipyco_pyon._base64 import b64decode
from sipyco_pyon._registry import safe_repr
from sipyco_pyon.limits import MAX_DIMENSIONS, MAX_EMPTY_ITEMS

try:
    import numpy as np
except ImportError as exc:
    raise ImportError(
        "this value needs NumPy; install it with: pip install 'sipyco-pyon[numpy]'"
    ) from exc

TYPE_CHECKING = False  # importing `typing` costs more than all of this package
if TYPE_CHECKING:
    from typing import Any, Final

_MAX_LENGTH: Final = 2**63 - 1

# The dtypes of nearly all arrays, in both byte orders: NumPy makes the string anew each time.
_KINDS: Final = (
    *("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"),
    *("f2", "f4", "f8", "c8", "c16"),
)
_COMMON: Final[list[Any]] = [np.dtype(order + kind) for kind in _KINDS for order in "<>"]
DTYPE_TEXTS: Final[dict[Any, str]] = {dtype: f'"{dtype.str}"' for dtype in _COMMON}
_DTYPES: Final[dict[str, Any]] = {dtype.str: dtype for dtype in _COMMON}

# The numbers of dtypes that packages have added begin here, or are negative.
_ADDED: Final = 256

# NumPy's, which type checkers ask more of than can be known of data from the wire. It takes each
# dtype as it is: `empty` and `zeros` make `S1` of `S0`, and times without a unit native.
_ndarray: Final[Any] = np.ndarray


def describe_dtype(dtype: Any) -> Any:
    """Give what `np.dtype` rebuilds a dtype from: its `str`, or the description of its fields.

    Raises:
        TypeError: nothing of this kind rebuilds it.
    """
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return (describe_dtype(base), shape)
    if dtype.fields is None:
        if 0 <= dtype.num < _ADDED or _gives(dtype.str, dtype):
            return dtype.str
        # A package has added it, such as `bfloat16`.
        advice = "send `.astype(…)` of one that NumPy has"
        if dtype.itemsize in (1, 2, 4, 8):
            advice += f", or the bits, `.view(numpy.uint{8 * dtype.itemsize})`"
        raise TypeError(
            f"values of dtype `{dtype!s:.60}` are not PYON encodable: its description, "
            f"`{dtype.str}`, does not give it back; {advice}"
        )
    try:
        if _gives(dtype.descr, dtype):
            return dtype.descr
    except ValueError:
        pass  # overlapping fields have no such description
    fields = [dtype.fields[name] for name in dtype.names]
    description = {
        "names": list(dtype.names),
        "formats": [describe_dtype(field[0]) for field in fields],
        "offsets": [int(field[1]) for field in fields],
        "itemsize": dtype.itemsize,
    }
    if any(len(field) > 2 for field in fields):
        description["titles"] = [field[2] if len(field) > 2 else None for field in fields]
    return description


def _gives(description: Any, dtype: Any) -> bool:
    """Tell whether a description gives a dtype back."""
    try:
        return bool(np.dtype(description) == dtype)
    except (TypeError, ValueError):
        return False


def dtype_description(owner: Any) -> Any:
    """Give what rebuilds the dtype of an array or a scalar.

    Raises:
        TypeError: it holds objects, or its dtype is not one of NumPy's.
    """
    if owner.dtype.hasobject:
        what = "an array" if isinstance(owner, _ndarray) else "a scalar"
        # Strings of any length are objects to NumPy.
        advice = "; send `.astype(str)`" if owner.dtype.kind == "T" else ""
        raise TypeError(f"`{owner!r}`: {what} of objects is not PYON encodable{advice}")
    return describe_dtype(owner.dtype)


def array_memory(array: Any) -> memoryview:
    """Give the bytes of an array that has some, in C order: its own memory if that has them so."""
    if not array.flags.c_contiguous:
        array = array.copy(order="C")
    try:
        return memoryview(array).cast("B")
    except (BufferError, NotImplementedError, TypeError, ValueError):
        # Times, and some others, cannot be exported as what they are.
        return memoryview(array.reshape(-1).view(np.uint8))


def _dtype(description: Any) -> Any:
    dtype = _DTYPES.get(description) if type(description) is str else None
    if dtype is not None:
        return dtype
    dtype = np.dtype(description)
    if dtype.hasobject:
        raise ValueError("objects cannot be decoded")
    if dtype.subdtype is not None:
        raise ValueError(f"{dtype} is no dtype of an array")
    return dtype


def _sizes(shape: Any, dtype: Any, length: int) -> tuple[int, ...]:
    """Check that a shape fits a number of bytes."""
    if type(shape) is list and len(shape) == 1:  # most arrays are lines
        size = shape[0]
        if type(size) is int and length != 0 and size * dtype.itemsize == length:
            return (size,)
    if not isinstance(shape, (list, tuple)):  # a `range` is as long as one likes
        raise ValueError(
            f"a shape is a list of integers from 0 on, got a `{type(shape).__name__}`"
        )
    sizes = tuple(shape)
    if len(sizes) > MAX_DIMENSIONS:
        raise ValueError(f"an array has at most {MAX_DIMENSIONS} dimensions, got {len(sizes)}")
    for size in sizes:
        if type(size) is not int or not 0 <= size <= _MAX_LENGTH:
            # Of what else it may be not even a text is made: that of an array may take minutes.
            got = safe_repr(size) if type(size) is int else f"a `{type(size).__name__}`"
            raise ValueError(f"a shape is made of integers from 0 on, got {got:.60}")
    count = math.prod(sizes)
    if count * dtype.itemsize != length:
        raise ValueError(
            f"an array of shape {sizes!r:.60} and dtype {dtype!s:.60} has "
            f"{count * dtype.itemsize} bytes, got {length}"
        )
    if length == 0 and count > MAX_EMPTY_ITEMS:
        raise ValueError(f"too many items without content: {count}")
    return sizes


def decode_array(shape: Any, description: Any, data: Any) -> Any:
    """Rebuild an array from base64; it is C-contiguous and writable, and owns its memory."""
    dtype = _dtype(description)
    raw = b64decode(data)
    sizes = _sizes(shape, dtype, len(raw))
    return _ndarray(sizes, dtype, raw).copy() if raw else _ndarray(sizes, dtype)


def array_from_buffer(shape: Any, description: Any, memory: Any) -> Any:
    """Make an array of memory, which is copied only if it is read-only or not aligned."""
    dtype = _dtype(description)
    length = memory.nbytes if type(memory) is _ndarray else memoryview(memory).nbytes
    sizes = _sizes(shape, dtype, length)
    if length == 0:
        return _ndarray(sizes, dtype)
    array = _ndarray(sizes, dtype, memory)
    return array if array.flags.behaved else array.copy()  # aligned, and writable


def empty_array(shape: Any, description: Any, length: int) -> tuple[Any, memoryview]:
    """Make an array of so many bytes whose content is yet to come, and give its memory."""
    dtype = _dtype(description)
    array = _ndarray(_sizes(shape, dtype, length), dtype)
    return array, array_memory(array)


def decode_scalar(description: Any, data: Any) -> Any:
    """Rebuild a scalar."""
    dtype = _dtype(description)
    raw = b64decode(data)
    if dtype.itemsize == 0 and raw == {"S": b"\0", "U": b"\0\0\0\0"}.get(dtype.kind):
        raw = b""  # `tobytes` of an empty string gives one character
    if len(raw) != dtype.itemsize:
        raise ValueError(f"a {dtype} has {dtype.itemsize} bytes, got {len(raw)}")
    # Arrays forget trailing zeros of these two; scalars do not.
    if dtype.kind == "S":
        return np.bytes_(raw)
    if dtype.kind == "U":
        codec = "utf-32-be" if dtype.byteorder == ">" else "utf-32-le"
        return np.str_(raw.decode(codec, "surrogatepass"))
    if not raw:
        return np.zeros((), dtype)[()]
    return _ndarray(1, dtype, raw).copy()[0]
