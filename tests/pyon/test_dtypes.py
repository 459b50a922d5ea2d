"""Each dtype in each byte order, of few items and many, arrives as it was on every way."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sipyco_pyon import pyon, pyon_v1

np = pytest.importorskip("numpy")

# NumPy 2.5 warns of times without a unit.
pytestmark = pytest.mark.filterwarnings("ignore:The 'generic' unit:DeprecationWarning")

SIZES = ["b1", "i1", "u1", *(f"{kind}{size}" for kind in "iu" for size in (2, 4, 8))]
SIZES += ["f2", "f4", "f8", "c8", "c16", np.dtype("g").str[1:], np.dtype("G").str[1:]]
SIZES += ["S0", "S1", "S5", "U0", "U1", "U3", "V0", "V1", "V7", "V16"]
SIZES += [f"{kind}8{unit}" for kind in "Mm" for unit in ("", "[ns]", "[D]", "[25s]")]

simple = st.builds(str.__add__, st.sampled_from("<>"), st.sampled_from(SIZES)).map(np.dtype)


def fields(of: Any) -> Any:
    """Give dtypes with fields of the given ones, next to each other, apart, and with titles."""
    members = st.lists(of, min_size=1, max_size=3)
    shaped = st.tuples(of, st.sampled_from([(2,), (3, 1)])).filter(lambda pair: pair[0].itemsize)

    def apart(formats: list[Any], gap: int, titles: bool, reverse: bool) -> Any:
        names = [f"f{i}" for i in range(len(formats))]
        offsets, end = [], gap
        for dtype in formats:
            offsets.append(end)
            end += dtype.itemsize + gap
        described = {"names": names, "formats": formats, "offsets": offsets, "itemsize": end + gap}
        if titles:
            described["titles"] = [f"the {name}" for name in names]
        if reverse:
            described = {k: v if k == "itemsize" else v[::-1] for k, v in described.items()}
        return np.dtype(described)

    return (
        members.map(lambda formats: np.dtype([(f"f{i}", d) for i, d in enumerate(formats)]))
        | members.map(lambda formats: np.dtype([((f"t{i}", f"f{i}"), formats[0]) for i in (0, 1)]))
        | members.map(
            lambda formats: np.dtype([(f"f{i}", d) for i, d in enumerate(formats)], align=True)
        )
        | shaped.map(lambda pair: np.dtype([("a", *pair), ("é", "<i2")]))
        | st.builds(apart, members, st.integers(0, 3), st.booleans(), st.booleans())
    )


dtypes = simple | fields(simple) | fields(fields(simple))

# Items: none, few, and so many that base64 is cut out of the text, and put into it in pieces.
shapes = st.sampled_from([(), (0,), (3,), (2, 3), (2, 0), (700,), (90, 101)])


def filled(dtype: Any, shape: tuple[int, ...]) -> Any:
    """Make an array of exactly this dtype; `empty` would make others of some."""
    made = np.ndarray(shape, dtype)
    if made.nbytes:
        raw = (np.arange(made.nbytes) % 113 % 2).astype(np.uint8)
        made = np.ndarray(shape, dtype, bytearray(raw))
        write_text(made)
    return made


def write_text(made: Any) -> None:
    """Put characters where characters are, since not every number is one."""
    if made.dtype.names:
        for name in made.dtype.names:
            write_text(made[name])
    elif made.dtype.kind == "U" and made.dtype.itemsize:
        made[...] = "\U0001f600é"


def values_of(made: Any) -> Any:
    """Give what an array means: its bytes, without those that have no meaning."""
    if made.dtype.names:
        return [values_of(made[name]) for name in made.dtype.names]
    if made.dtype.kind in "fc" and made.dtype.itemsize not in (2, 4, 8):
        return [str(item) for item in made.reshape(-1)[:100]]  # long doubles have padding
    return made.tobytes()


def assert_same(read: Any, made: Any) -> None:
    assert type(read) is np.ndarray
    assert (read.dtype, read.shape) == (made.dtype, made.shape)
    assert read.dtype.str == made.dtype.str  # the byte order, and sizes
    assert values_of(read) == values_of(made)
    assert read.flags.c_contiguous
    assert read.flags.aligned
    assert read.flags.writeable


@settings(max_examples=40)
@given(dtypes, shapes)
@example(np.dtype(">M8"), (20_000,))
@example(np.dtype(">m8"), (20_000,))
@example(np.dtype("S0"), (2, 2))
@example(np.dtype(">U0"), (5,))
@example(np.dtype([("a", "S0"), ("b", ">M8")]), (3000,))
def test_arrays_arrive_as_they_were(dtype: Any, shape: tuple[int, ...]) -> None:
    made = filled(dtype, shape)
    text = pyon.encode(made)
    for source in (text, text.encode(), bytearray(text, "ascii"), pyon.encode(made, pretty=True)):
        assert_same(pyon.decode(source), made)
    assert_same(pyon_v1.decode(pyon_v1.encode(made)), made)
    assert_same(pyon.decode(text, parse_float=float), made)
    buffers: list[memoryview] = []
    with_buffers = pyon.encode(made, buffer_callback=buffers.append)
    assert_same(pyon.decode(with_buffers, buffers=[bytes(b) for b in buffers]), made)
    assert_same(pyon.decode(with_buffers, buffers=[bytearray(b) for b in buffers]), made)


@settings(max_examples=30)
@given(dtypes, st.sampled_from([(3, 4), (60, 51)]))
@example(np.dtype(">M8"), (100, 99))
def test_arrays_that_are_not_contiguous_arrive_as_they_were(
    dtype: Any, shape: tuple[int, ...]
) -> None:
    made = filled(dtype, shape)
    for view in (made.T, made[::-1], made[:, ::2]):
        assert_same(pyon.decode(pyon.encode(view)), view)
        assert_same(pyon_v1.decode(pyon_v1.encode(view)), view)


@given(dtypes)
def test_scalars_arrive_as_they_were(dtype: Any) -> None:
    scalar = filled(dtype, (1,))[0]
    read = pyon.decode(pyon.encode(scalar))
    assert type(read) is type(scalar)
    assert read.dtype == scalar.dtype
    assert values_of(np.asarray(read)) == values_of(np.asarray(scalar))


def test_the_metadata_of_a_dtype_is_not_sent() -> None:
    dtype = np.dtype("<i4", metadata={"unit": "V"})
    assert pyon.encode(np.zeros(1, dtype)) == pyon.encode(np.zeros(1, "<i4"))


@pytest.mark.skipif(
    sys.byteorder != "little", reason="the text is that of a little-endian machine"
)
def test_texts_of_what_has_no_bytes() -> None:
    assert pyon.encode(np.ndarray(2, "S0")) == '{"__jsonclass__":["nparray",[[2],"|S0",""]]}'
    assert pyon_v1.encode(np.ndarray(2, "U0")) == 'nparray((2, ), "<U0", b"")'
