"""Descriptions of arrays that no program of ours writes: an error with a reason, or an array."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from sipyco_pyon import pyon, pyon_v1

np = pytest.importorskip("numpy")


def v2(shape: Any, dtype: Any, data: str = "") -> str:
    return json.dumps({"__jsonclass__": ["nparray", [shape, dtype, data]]})


def v1(shape: Any, dtype: Any, data: str = "") -> str:
    return f'nparray({shape!r}, {dtype!r}, b"{data}")'


def both(shape: Any, dtype: Any, data: str = "") -> list[tuple[Any, str]]:
    return [(pyon, v2(shape, dtype, data)), (pyon_v1, v1(shape, dtype, data))]


MANY = 10_000  # of 300,000 lengths the product alone once took minutes


@pytest.mark.parametrize(
    ("shape", "dtype", "reason"),
    [
        ([123456789] * MANY, "<f8", "an array has at most 64 dimensions, got 10000"),
        ([1] * 65, "<f8", "an array has at most 64 dimensions, got 65"),
        ([0] * 65, "<f8", "an array has at most 64 dimensions, got 65"),
        ([2**32, 2**32], "<f8", "an array of shape"),
        ([2**61], "<f8", "an array of shape"),
        ([2**63, 0], "<f8", "a shape is made of integers from 0 on, got"),
        ([-1], "<f8", "a shape is made of integers from 0 on, got"),
        ([-1, 0], "<f8", "a shape is made of integers from 0 on, got"),
        ([-1, -8], "|u1", "a shape is made of integers from 0 on, got"),
        ([0], "O", "objects cannot be decoded"),
        ([0], "|O8", "objects cannot be decoded"),
        ([0], {"names": ["a"], "formats": ["O"]}, "objects cannot be decoded"),
        ([0], {"a": ["O", 0]}, ""),
        ([2**20 + 1], "|V0", "too many items without content: 1048577"),
        ([2**40], "|V0", "too many items without content"),
        ([2**40], "<U0", "an array of shape|too many items without content"),
        ([1], "|V2147483647", "an array of shape"),
        ([1], "|S99999999999999999999", ""),
        ([1], "(1000000,1000000)f8", ""),
        ([1], "(" * 2000, ""),
        ([1], ",".join(["f8"] * 5000), "an array of shape"),
        ([1], "nosuch", ""),
        ([0], "M8[" + "9" * 5000 + "s]", ""),
        ([0], "T", "objects cannot be decoded|"),
    ],
)
def test_what_is_no_array_is_an_error(shape: Any, dtype: Any, reason: str) -> None:
    for module, text in both(shape, dtype):
        with pytest.raises(ValueError, match=f"^malformed `nparray`: ({reason})") as exc_info:
            module.decode(text)
        assert len(str(exc_info.value)) < 6000


def test_no_text_is_made_of_a_length_that_is_an_array() -> None:
    """It may take minutes, for an array of many dimensions and no bytes."""
    array = {"__jsonclass__": ["nparray", [[2, 2], "|V0", ""]]}
    for shape in ([array], [1, array], array):
        with pytest.raises(ValueError, match="integers from 0 on, got a `ndarray`"):
            pyon.decode(v2(shape, "<f8"))
    with pytest.raises(ValueError, match="integers from 0 on, got a `str`"):
        pyon.decode(v2(["1"], "<f8"))


def test_a_length_of_many_digits_is_none() -> None:
    for module, text in both(["N"], "<f8"):
        text = text.replace('"N"', "1" * 5000).replace("'N'", "1" * 5000)
        with pytest.raises(ValueError, match="a shape is made of integers from 0 on, got"):
            module.decode(text)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ([2**40, 0], "<f8"),
        ([0, 2**40], "<f8"),
        ([0], "|V2147483647"),
        ([0], "|S2147483647"),
        ([1000], "|V0"),
        ([0] * 32, "<f8"),
    ],
)
def test_an_array_without_content_takes_no_memory(shape: Any, dtype: str) -> None:
    for module, text in both(shape, dtype):
        array = module.decode(text)
        assert array.shape == tuple(shape)
        assert array.nbytes == 0
        again = module.decode(module.encode(array))
        assert (again.shape, again.dtype) == (array.shape, array.dtype)


def test_a_deep_dtype_does_not_end_the_process() -> None:
    """In a process of its own, as that is what it would end."""
    program = """
import sys
import numpy
from sipyco_pyon import pyon
for text in sys.stdin:
    try:
        value = pyon.decode(text)
        repr(value), value == value, hash(value.dtype)
        pyon.encode(value)
    except (ValueError, RecursionError) as exc:
        assert str(exc)
print("alive")
"""

    def fields(depth: int) -> str:
        return '{"names":["a"],"formats":[' * depth + '"<i2"' + "]}" * depth

    def lists(depth: int) -> str:
        opening = '[{"__jsonclass__":["tuple",[["a",'
        return opening * depth + '"<i2"' + "]]]}]" * depth

    lines = "".join(
        f'{{"__jsonclass__":["nparray",[[{count}],{make(depth)},""]]}}\n'
        for depth in (50, 150, 250, 400, 900, 3000, 20_000)
        for make in (fields, lists)
        for count in (0, 1)
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=lines, capture_output=True, text=True, timeout=50
    )
    assert (done.stdout, done.stderr, done.returncode) == ("alive\n", "", 0)


@pytest.mark.parametrize("value", [np.int64(3), np.array([1.0]), (np.float64(2),)])
def test_a_slice_of_the_older_dialect_may_have_values_of_numpy(value: Any) -> None:
    read = pyon_v1.decode(pyon_v1.encode(slice(value, None)))
    assert repr(read.start) == repr(value)
    assert (read.stop, read.step) == (None, None)
