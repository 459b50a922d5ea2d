"""Classes and dtypes of NumPy arrive as what they are, or are refused with what to do instead."""

from __future__ import annotations

import array
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sipyco_pyon import pyon, pyon_v1

np = pytest.importorskip("numpy")

# NumPy 2.5 warns of times without a unit.
pytestmark = pytest.mark.filterwarnings("ignore:The 'generic' unit:DeprecationWarning")

BOTH = pytest.mark.parametrize("module", [pyon, pyon_v1], ids=["v2", "v1"])


def added_dtype() -> Any:
    """Give a dtype that is not NumPy's own, as packages add them."""
    try:
        from numpy._core import _rational_tests
    except ImportError:
        _rational_tests = pytest.importorskip("numpy.core._rational_tests")
    return np.dtype(_rational_tests.rational)


@BOTH
@pytest.mark.parametrize(
    "name", ["longlong", "ulonglong", "intc", "uintc", "int_", "uint", "intp"]
)
def test_integers_of_the_platform_are_those_of_their_size(module: ModuleType, name: str) -> None:
    scalar = getattr(np, name)(100)
    text = module.encode(scalar)
    assert text == module.encode(np.array(scalar).astype(scalar.dtype.str)[()])
    decoded = module.decode(text)
    assert decoded.dtype == scalar.dtype
    assert decoded == 100


@BOTH
def test_a_sum_over_an_array_of_the_platform_is_encoded(module: ModuleType) -> None:
    total = np.asarray(array.array("q", [1, 2])).sum()
    decoded = module.decode(module.encode({"total": total}))["total"]
    assert type(decoded) is np.int64
    assert decoded == 3


@pytest.mark.parametrize("value", ["1.1", "-inf", "1e4000", "nan"])
def test_long_doubles_are_encoded(value: str) -> None:
    for scalar in (np.longdouble(value), np.clongdouble(np.longdouble(value))):
        decoded = pyon.decode(pyon.encode(scalar))
        assert decoded.dtype == scalar.dtype
        assert np.array_equal(decoded, scalar, equal_nan=True)
        in_array = pyon.decode(pyon.encode(np.array([scalar])))[0]
        assert type(in_array) is type(decoded)


def test_the_older_dialect_knows_sized_numbers_only() -> None:
    with pytest.raises(TypeError, match=r"not PYON serializable: send what Python has, as"):
        pyon_v1.encode(np.longdouble(1))


@pytest.mark.parametrize("count", [3, 1000, 50_000])
def test_a_memory_map_is_an_array(tmp_path: Path, count: int) -> None:
    mapped = np.memmap(tmp_path / "file", "<i4", mode="w+", shape=(count,))
    mapped[:] = np.arange(count)
    assert pyon.encode(mapped) == pyon.encode(np.arange(count, dtype="<i4"))
    assert pyon.encode_bytes([mapped[::2]]) == pyon.encode_bytes([np.asarray(mapped)[::2]])
    buffers: list[memoryview] = []
    text = pyon.encode(mapped, buffer_callback=buffers.append)
    decoded = pyon.decode(text, buffers=[bytearray(buffer) for buffer in buffers])
    assert type(decoded) is np.ndarray
    assert decoded.tolist() == list(range(count))


def test_a_class_that_a_program_has_registered_is_the_programs() -> None:
    pyon.register(
        [np.memmap, np.longdouble], name="mine", encode=lambda x: [str(x)], decode=np.longdouble
    )
    try:
        assert pyon.encode(np.longdouble(2)) == '{"__jsonclass__":["mine",["2.0"]]}'
        assert pyon.decode(pyon.encode(np.longdouble("0.5"))) == 0.5
    finally:
        pyon.deregister([np.memmap, np.longdouble], "mine")


class Labelled(np.ndarray):  # type: ignore[misc]
    """An array with something more, which would be lost."""


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (np.ma.array([1, 2], mask=[0, 1]), "it would lose its mask; send `.filled"),
        (np.arange(4).view(Labelled), "it would arrive as a plain array; send `numpy.asarray"),
        (
            np.rec.array([(1,)], dtype=[("a", "<i4")]),
            "it would arrive as a plain array; send `numpy.asarray",
        ),
        (np.rec.array([(1,)], dtype=[("a", "<i4")])[0], "send what Python has"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_would_lose_something_is_refused(value: Any, advice: str) -> None:
    with pytest.raises(TypeError, match=f"is not PYON encodable: {advice}.*, or register its cl"):
        pyon.encode(value)
    with pytest.raises(TypeError, match=f"is not PYON serializable: {advice}"):
        pyon_v1.encode(value)


@BOTH
def test_a_dtype_that_a_package_has_added_is_refused(module: ModuleType) -> None:
    added = added_dtype()
    refused = (
        r"dtype `rational` .* its description, `[<>]V8`, does not give it back; .*numpy.uint64"
    )
    for size in (0, 3, 20_000):
        with pytest.raises(TypeError, match=refused):
            module.encode(np.zeros(size, added))
        for field in (("a", added), ("a", added, (2,)), ("a", [("b", "i1"), ("c", added)])):
            with pytest.raises(TypeError, match=refused):
                module.encode(np.zeros(size, [field, ("z", "<i4")]))
    with pytest.raises(TypeError, match="send what Python has"):
        module.encode(added.type(1, 2))
    with pytest.raises(TypeError, match=refused if module is pyon else "not PYON serializable"):
        module.encode(np.zeros(1, [("a", added)])[0])
    bits = np.zeros(3, added).view(np.uint64)  # as the error says
    assert module.decode(module.encode(bits)).tobytes() == bits.tobytes()


def test_an_added_dtype_is_refused_with_buffers_too() -> None:
    with pytest.raises(TypeError, match="`rational`"):
        pyon.encode(np.zeros(3000, added_dtype()), buffer_callback=print)


@BOTH
@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "uint2"])
def test_numbers_for_machine_learning_are_refused(module: ModuleType, name: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    values = np.zeros(4, getattr(ml_dtypes, name))
    with pytest.raises(TypeError, match=rf"`{name}` .*send `.astype\(…\)` .*`.view\(numpy.uint"):
        module.encode(values)
    with pytest.raises(TypeError, match="send what Python has"):
        module.encode(values[0])


@BOTH
def test_strings_of_any_length_are_refused(module: ModuleType) -> None:
    if not hasattr(np.dtypes, "StringDType"):
        pytest.skip("NumPy 1 has none")
    with pytest.raises(TypeError, match=r"is not PYON encodable; send `.astype\(str\)`"):
        module.encode(np.array(["a", "bc"], np.dtypes.StringDType()))
