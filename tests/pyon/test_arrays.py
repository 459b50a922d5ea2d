"""Arrays travel beside the text or in it, and share memory with nothing when they arrive."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipyco_pyon import pyon, pyon_v1
from sipyco_pyon._base64_extract import extract_base64
from sipyco_pyon._pieces import SHORT_DATA

np = pytest.importorskip("numpy")

DTYPES = [
    *("?", "i1", "<i2", ">i4", "<i8", "<u8", "<f2", "<f4", "<f8", ">f8", "<c8", "<c16", "g", "G"),
    *("S5", "<U3", ">U2", "<M8[ns]", ">m8[s]", "V7"),
    [("a", "<i4"), ("b", "<f8")],
    [("a", "u1"), ("n", [("x", ">i2"), ("y", "<i2", (2,))])],
    {"names": ["a"], "formats": ["<i4"], "offsets": [4], "itemsize": 12},
]

ARRAY_OF_0 = '{"__jsonclass__":["nparray",[[2,3],"<f8",{"__jsonclass__":["buffer",[0]]}]]}'


def filled(dtype: Any, shape: Any) -> Any:
    """Make an array of small numbers, in the bytes of whatever the dtype is."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape, dtype=int)) * dtype.itemsize
    raw = bytes([i % 2 for i in range(size)])
    return np.frombuffer(raw, dtype).reshape(shape).copy() if size else np.zeros(shape, dtype)


def split(value: Any) -> tuple[str, list[memoryview]]:
    buffers: list[memoryview] = []
    return pyon.encode(value, buffer_callback=buffers.append), buffers


def same(a: Any, b: Any) -> bool:
    if type(a) is not type(b) or a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype.names:  # what is between fields has no meaning, and NumPy does not copy it
        return bool(np.array_equal(a, b))
    return bool(a.tobytes() == b.tobytes())


def is_sound(array: Any) -> bool:
    return bool(array.flags.c_contiguous and array.flags.aligned and array.flags.writeable)


arrays = st.builds(
    filled,
    st.sampled_from(DTYPES),
    st.sampled_from([(), (0,), (3,), (1, 2, 3), (0, 5), (130,), (3, 50), (2000,), (10, 0)]),
)
values = st.recursive(
    arrays | st.binary(max_size=8) | st.integers(0, 3000).map(bytes) | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


def alike(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return is_sound(b) and same(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(map(alike, a.values(), b.values()))
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(alike, a, b))
    return bool(a == b)


@given(values)
def test_values_round_trip_with_buffers_and_without(value: Any) -> None:
    if "__jsonclass__" in str(value):
        return
    text = pyon.encode(value)
    assert alike(value, pyon.decode(text))
    assert alike(value, pyon.decode(text.encode()))
    assert pyon.encode_bytes(value) == text.encode()
    text, buffers = split(value)
    data = pyon.encode_bytes(value, buffer_callback=lambda buffer: None)
    assert data == text.encode()
    for buffer in buffers:
        assert buffer.nbytes >= SHORT_DATA
        assert (buffer.format, buffer.ndim, buffer.c_contiguous) == ("B", 1, True)
    for received in (
        [bytes(buffer) for buffer in buffers],
        [bytearray(buffer) for buffer in buffers],
        [np.frombuffer(bytearray(buffer), np.uint8) for buffer in buffers],
        buffers,
    ):
        assert alike(value, pyon.decode(text, buffers=received))
        assert alike(value, pyon.decode(data, buffers=received))


def test_the_text_names_the_buffer() -> None:
    array = np.arange(200.0).reshape(4, 50)
    text, (buffer,) = split({"a": array, "b": np.zeros(2, "u1")})
    assert text == (
        '{"a":{"__jsonclass__":["nparray",[[4,50],"<f8",{"__jsonclass__":["buffer",[0]]}]]},'
        '"b":{"__jsonclass__":["nparray",[[2],"|u1","AAA="]]}}'
    )
    assert buffer.obj is array


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_memory_is_that_of_the_array(dtype: Any) -> None:
    array = filled(dtype, (20, 100))
    for view in (array, array[3:]):
        (buffer,) = split(view)[1]
        assert np.shares_memory(np.frombuffer(buffer, np.uint8), view)
        assert buffer.nbytes == view.nbytes


def test_an_array_that_is_not_contiguous_is_copied() -> None:
    array = np.arange(2000).reshape(20, 100)
    for view in (array.T, array[:, ::2], array[::-1], np.broadcast_to(array[0], (9, 100))):
        text, buffers = split(view)
        assert not np.shares_memory(np.frombuffer(buffers[0], np.uint8), array)
        assert same(pyon.decode(text, buffers=buffers), view.copy())


def test_a_read_only_array_is_handed_out_read_only() -> None:
    array = np.arange(200)
    array.flags.writeable = False
    text, (buffer,) = split(array)
    assert buffer.readonly
    decoded = pyon.decode(text, buffers=[buffer])
    assert is_sound(decoded)
    assert not np.shares_memory(decoded, array)


def test_writable_memory_is_adopted() -> None:
    for memory in (bytearray(48), np.zeros(48, np.uint8), memoryview(bytearray(48))):
        decoded = pyon.decode(ARRAY_OF_0, buffers=[memory])
        assert is_sound(decoded)
        decoded[1, 2] = 1.0
        assert bytes(memory[40:]) == np.float64(1.0).tobytes()


def test_memory_of_bytes_is_copied() -> None:
    raw = bytes(48)
    decoded = pyon.decode(ARRAY_OF_0, buffers=[raw])
    decoded[:] = 1.0
    assert raw == bytes(48)
    assert decoded.flags.owndata


def test_memory_that_is_not_aligned_is_copied() -> None:
    memory = bytearray(49)
    decoded = pyon.decode(ARRAY_OF_0, buffers=[memoryview(memory)[1:]])
    assert is_sound(decoded)
    decoded[:] = 1.0
    assert memory == bytes(49)


def test_memory_for_a_buffer_is_adopted() -> None:
    memory = pyon.new_buffer(48)
    assert isinstance(memory, np.ndarray)
    assert np.shares_memory(pyon.decode(ARRAY_OF_0, buffers=[memory]), memory)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ("[2,2]", '"<f8"'),
        ("[2,4]", '"<f8"'),
        ("[2,3]", '"<f4"'),
        ("[7]", '"<f8"'),
        ("[]", '"<f8"'),
        ("[-2,-3]", '"<f8"'),
        ("[-1]", '"<f8"'),
        ("[6.0]", '"<f8"'),
        ("[true,6]", '"<f8"'),
        ('["6"]', '"<f8"'),
        ("6", '"<f8"'),
        ("null", '"<f8"'),
        ("[1000000000000000000000000000000]", '"<f8"'),
        ("[0,1000000000000000000000000000000]", '"<f8"'),
        ("[4611686018427387904,4]", '"<f8"'),
        ("[1" + ",1" * 100 + ",6]", '"<f8"'),
        ("[6]", '"O"'),
        ("[6]", '"nosuch"'),
        ("[6]", '"(2,)<f4"'),
        ("[6]", "5"),
        ("[6]", "[]"),
        ("[6]", '[["a","<f8"]]'),
    ],
)
def test_a_buffer_must_fit(shape: str, dtype: str) -> None:
    text = ARRAY_OF_0.replace("[2,3]", shape).replace('"<f8"', dtype)
    for memory in (bytearray(48), bytes(48), np.zeros(48, np.uint8)):
        with pytest.raises(ValueError, match="malformed `nparray`"):
            pyon.decode(text, buffers=[memory])


@pytest.mark.parametrize("memory", [bytearray(47), b"", "text", 5, [0] * 48, np.zeros(12, "i2")])
def test_what_is_no_such_buffer_is_refused(memory: Any) -> None:
    with pytest.raises(ValueError, match="malformed `nparray`"):
        pyon.decode(ARRAY_OF_0, buffers=[memory])


def test_two_arrays_cannot_have_one_memory() -> None:
    with pytest.raises(ValueError, match="malformed `buffer`: 0 is used twice"):
        pyon.decode(f"[{ARRAY_OF_0},{ARRAY_OF_0}]", buffers=[bytearray(48), bytearray(48)])


def test_an_empty_array_of_a_buffer() -> None:
    decoded = pyon.decode(ARRAY_OF_0.replace("2,3", "0,3"), buffers=[bytearray()])
    assert same(decoded, np.zeros((0, 3)))
    with pytest.raises(ValueError, match="too many items"):
        pyon.decode(
            ARRAY_OF_0.replace("2,3", "99999999").replace("<f8", "V0"), buffers=[bytearray()]
        )


def test_long_arrays_own_their_memory_when_they_come_as_text() -> None:
    for dtype in ("<f8", ">i2", "<M8[ns]", [("a", "<i4"), ("b", "<f4")]):
        array = filled(dtype, (100, 500))
        text = pyon.encode(array)
        for source in (text, text.encode(), bytearray(text, "ascii")):
            assert len(extract_base64(source)[0]) < 300
            decoded = pyon.decode(source)
            assert same(decoded, array)
            assert is_sound(decoded)
            assert decoded.flags.owndata


def test_long_data_is_put_into_the_text_in_order() -> None:
    value = [np.arange(i * 5000) for i in range(6)] + [b"x" * 100_000, "y", np.zeros(3)]
    text = pyon.encode(value)
    assert text == pyon.encode(value, separators=(",", ":"))
    assert text.encode() == pyon.encode_bytes(value)
    assert alike(value, pyon.decode(text))


def test_fields_that_overlap_are_described_one_by_one() -> None:
    dtype = np.dtype({"names": ["a", "b"], "formats": ["<i4", "<i2"], "offsets": [0, 2]})
    array = np.array([(0x20001, 2)], dtype)
    text = pyon.encode(array)
    assert text == (
        '{"__jsonclass__":["nparray",[[1],{"names":["a","b"],"formats":["<i4","<i2"],'
        '"offsets":[0,2],"itemsize":4},"AQACAA=="]]}'
    )
    assert same(pyon.decode(text), array)


def test_a_long_array_that_is_not_contiguous_is_written_in_c_order() -> None:
    array = np.arange(20_000, dtype="<i4").reshape(100, 200).T
    assert pyon.encode(array) == pyon.encode(np.ascontiguousarray(array))


def test_objects_are_refused_in_scalars_too() -> None:
    scalar = np.array([(1, None)], [("a", "<i4"), ("b", "O")])[0]
    with pytest.raises(TypeError, match="a scalar of objects is not PYON encodable"):
        pyon.encode(scalar)


def test_a_scalar_without_any_bytes_round_trips() -> None:
    text = '{"__jsonclass__":["npscalar",["|V0",""]]}'
    scalar = pyon.decode(text)
    assert (type(scalar), scalar.dtype.str) == (np.void, "|V0")
    assert pyon.encode(scalar) == text


def test_the_older_dialect_stays_as_it_is() -> None:
    array = filled("<f8", (2, 3))
    text = pyon_v1.encode(array)
    assert text == f'nparray((2, 3), "<f8", b"{"AAEAAQAB" * 8}")'
    assert same(pyon_v1.decode(text), array)
    with pytest.raises(TypeError):
        pyon_v1.encode(array, buffer_callback=print)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="not part of PYON v1"):
        pyon_v1.decode("nparray((2, 3), '<f8', buffer(0))")


@pytest.mark.parametrize(
    ("scalar", "text"),
    [
        (np.str_(""), '{"__jsonclass__":["npscalar",["<U0","AAAAAA=="]]}'),
        (np.bytes_(b""), '{"__jsonclass__":["npscalar",["|S0","AA=="]]}'),
        (np.str_("\0"), '{"__jsonclass__":["npscalar",["<U1","AAAAAA=="]]}'),
        (np.bytes_(b"\0"), '{"__jsonclass__":["npscalar",["|S1","AA=="]]}'),
    ],
)
def test_empty_strings_are_scalars_of_no_characters(scalar: Any, text: str) -> None:
    assert pyon.encode(scalar) == text
    for form in (text, text.replace("AAAAAA==", "").replace("AA==", "") if not scalar else text):
        decoded = pyon.decode(form)
        assert type(decoded) is type(scalar)
        assert decoded == scalar
        assert len(decoded) == len(scalar)


def test_an_empty_string_has_no_other_bytes() -> None:
    for dtype, data in (
        ("<U0", "AQAAAA=="),
        ("|S0", "AQ=="),
        ("|S0", "AAAAAA=="),
        ("|V0", "AA=="),
    ):
        with pytest.raises(ValueError, match="has 0 bytes"):
            pyon.decode(f'{{"__jsonclass__":["npscalar",["{dtype}","{data}"]]}}')
