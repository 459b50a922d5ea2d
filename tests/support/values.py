"""Values of every type that PYON has, and whether two are alike. NumPy's where it is there."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

from hypothesis import strategies as st

try:
    import numpy as np
except ImportError:  # one of the environments has none
    np = None  # type: ignore[assignment]

# Sizes of arrays in items: none, few, and more than stay in the text of a frame.
_SHAPES = [(), (0,), (3,), (2, 3), (0, 5), (1, 2, 3), (300,), (20, 30)]
_NUMBERS = ["i1", "<i2", ">i4", "<i8", "u1", "<u8", "<f2", "<f4", ">f4", "<f8", "<c8", "<c16"]
_OTHERS = ["?", "S5", "<U3", "V7", [("a", "<i4"), ("b", "<f8", (2,))]]
_TIMES = ["<M8[ns]", "<m8[s]"]


def _array(dtype: Any, shape: tuple[int, ...], seed: int) -> Any:
    """Make an array of any bytes that are values of its type."""
    dtype = np.dtype(dtype)
    count = math.prod(shape) * dtype.itemsize
    high = 2 if dtype.kind == "b" else 128  # characters, so that they are in Unicode
    raw = bytes((i * seed) % high if i % 4 == 0 or dtype.kind != "U" else 0 for i in range(count))
    return np.frombuffer(raw, dtype, math.prod(shape)).reshape(shape).copy()


def _has_a_sign_for_each_part(value: complex) -> bool:
    """Tell whether the older dialect can write a complex number: `-0j` has lost that of 0."""
    return value.real != 0 and value.imag != 0


def no_pairs(text: str) -> bool:
    """Tell whether no two surrogates in a text make up a character, which is how JSON is read."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass") == text


def _empty_strings() -> Any:
    return st.nothing() if np is None else st.sampled_from([np.str_(""), np.bytes_(b"")])


def _values(characters: Any, others: Any, array_types: list[Any], scalar_types: list[Any]) -> Any:
    texts = st.text(characters, max_size=8).filter(no_pairs)
    texts = texts.filter(lambda text: text != "__jsonclass__")
    plain = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.sampled_from([2**63, -(2**63) - 1, 10**700])
        | texts
        | st.binary(max_size=8)
        | st.integers(0, 3000).map(bytes)
        | st.fractions()
    )
    keys = plain | st.floats(allow_nan=False) | st.tuples(plain, plain)
    leaves = plain | st.floats() | others
    leaves |= st.builds(slice, *[st.none() | st.integers()] * 3)
    if np is not None:
        seeds = st.integers(1, 127)
        leaves |= st.builds(_array, st.sampled_from(array_types), st.sampled_from(_SHAPES), seeds)
        leaves |= st.builds(
            lambda dtype, seed: _array(dtype, (1,), seed)[0], st.sampled_from(scalar_types), seeds
        )
    return st.recursive(
        leaves | st.sets(keys, max_size=4),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.lists(inner, max_size=4).map(tuple)
            | st.dictionaries(keys, inner, max_size=4)
            | st.dictionaries(texts, inner, max_size=4)
            | st.lists(st.tuples(keys, inner), max_size=4).map(OrderedDict)
        ),
        max_leaves=12,
    )


V2_VALUES = _values(
    st.characters(),
    st.complex_numbers() | _empty_strings(),
    [*_NUMBERS, *_OTHERS, *_TIMES],
    [*_NUMBERS, *_OTHERS, *_TIMES],
)
# The older dialect knows fewer scalars.
V1_VALUES = _values(
    st.characters(),
    st.complex_numbers().filter(_has_a_sign_for_each_part) | st.sampled_from([0j, 1j, 1 + 0j]),
    [*_NUMBERS, *_OTHERS],
    _NUMBERS,
)


def alike(a: Any, b: Any) -> bool:
    """Tell whether values are equal, and of equal types throughout; NaN is equal to itself."""
    if np is not None and isinstance(a, (np.ndarray, np.generic)):
        return (
            type(a) is type(b)
            and a.dtype == b.dtype
            and a.shape == b.shape
            and bool(a.tobytes() == b.tobytes())
        )
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return len(a) == len(b) and all(map(alike, a.items(), b.items()))
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, slice):
        return alike([a.start, a.stop, a.step], [b.start, b.stop, b.step])
    if isinstance(a, complex):
        return alike((a.real, a.imag), (b.real, b.imag))
    if isinstance(a, float):
        return repr(a) == repr(b)
    return bool(a == b)
