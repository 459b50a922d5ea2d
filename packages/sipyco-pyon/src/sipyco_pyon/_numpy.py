"""Arrays and scalars of NumPy as arguments of tags: the only module that imports NumPy.

It is imported when there is something to do for it, so `sipyco_pyon` works without NumPy.
"""

from __future__ import annotations

import math
from typing import Any, Final

from sipyco_pyon._base64 import b64decode, b64encode

try:
    import numpy as np
except ImportError as exc:
    raise ImportError(
        "this value needs NumPy; install it with: pip install 'sipyco-pyon[numpy]'"
    ) from exc

__all__: list[str] = []

# An array of items without any bytes takes no room in a document, but may do so in memory.
_MAX_EMPTY_ITEMS: Final = 2**20


def scalar_types(names: set[str]) -> frozenset[type]:
    """Return the classes of the scalars with these names."""
    return frozenset(getattr(np, name) for name in names)


def describe_dtype(dtype: Any) -> Any:
    """Give what `np.dtype` rebuilds a dtype from: its `str`, or the description of its fields."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return (describe_dtype(base), shape)
    if dtype.fields is None:
        return dtype.str
    try:
        if np.dtype(dtype.descr) == dtype:
            return dtype.descr
    except (TypeError, ValueError):
        pass  # overlapping fields have no such description
    fields = [dtype.fields[name] for name in dtype.names]
    return {
        "names": list(dtype.names),
        "formats": [describe_dtype(field[0]) for field in fields],
        "offsets": [int(field[1]) for field in fields],
        "itemsize": dtype.itemsize,
    }


def array_arguments(array: Any) -> tuple[list[int], Any, bytes]:
    """Give the shape, the dtype and the base64 of an array.

    Raises:
        TypeError: the array holds objects.
    """
    if array.dtype.hasobject:
        raise TypeError(f"`{array!r}`: an array of objects is not PYON encodable")
    return list(array.shape), describe_dtype(array.dtype), b64encode(array.tobytes())


def scalar_arguments(scalar: Any) -> tuple[Any, bytes]:
    """Give the dtype and the base64 of a scalar.

    Raises:
        TypeError: the scalar holds objects.
    """
    if scalar.dtype.hasobject:
        raise TypeError(f"`{scalar!r}`: a scalar of objects is not PYON encodable")
    return describe_dtype(scalar.dtype), b64encode(scalar.tobytes())


def _dtype(description: Any) -> Any:
    dtype = np.dtype(description)
    if dtype.hasobject:
        raise ValueError("objects cannot be decoded")
    if dtype.subdtype is not None:
        raise ValueError(f"{dtype} is no dtype of an array")
    return dtype


def decode_array(shape: Any, description: Any, data: Any) -> Any:
    """Rebuild an array; it is C-contiguous and writable, and owns its memory."""
    sizes = tuple(shape)
    if not all(type(size) is int and size >= 0 for size in sizes):
        raise ValueError(f"a shape is made of integers from 0 on, got {sizes!r:.60}")
    dtype = _dtype(description)
    raw = b64decode(data)
    count = math.prod(sizes)
    if count * dtype.itemsize != len(raw):
        raise ValueError(
            f"an array of shape {sizes!r:.60} and dtype {dtype} has "
            f"{count * dtype.itemsize} bytes, got {len(raw)}"
        )
    if not raw:
        if count > _MAX_EMPTY_ITEMS:
            raise ValueError(f"too many items without content: {count}")
        return np.zeros(sizes, dtype)
    return np.frombuffer(raw, dtype).reshape(sizes).copy()


def decode_scalar(description: Any, data: Any) -> Any:
    """Rebuild a scalar."""
    dtype = _dtype(description)
    raw = b64decode(data)
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
    return np.frombuffer(raw, dtype).copy()[0]
