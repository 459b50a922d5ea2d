"""A mod costs no more than it and the structure are large, and changes no copies."""

from __future__ import annotations

import sys
import tracemalloc
from collections import deque
from typing import Any

import pytest

from sipyco_pyon import pyon
from sipyco_sync import _array_guard
from sipyco_sync.sync_struct import Notifier, process_mod

np = pytest.importorskip("numpy")

MIB = 2**20  # above the bytes that are always allowed; the tests have one such item each

RECORD = [("n", "<i4"), ("s", f"S{MIB}"), ("t", f"S{MIB}", (1,))]


def setitem(target: Any, key: Any, value: Any, path: Any = ()) -> None:
    """Apply a mod that sets an item."""
    process_mod(target, {"action": "setitem", "path": path, "key": key, "value": value})


def announced(struct: Any) -> tuple[Notifier, list[Any]]:
    """Give a notifier, and the list that its mods go to."""
    notifier = Notifier(struct)
    mods: list[Any] = []
    notifier.publish = mods.append
    return notifier, mods


# Paths


@pytest.mark.parametrize("sequence", [[1, 2, 3], (1, 2, 3), "abc", b"abc", np.bytes_(b"abc")])
def test_a_path_leads_into_no_slice_of_a_sequence(sequence: Any) -> None:
    """Each would be a copy: of a long list a thousand, for a mod of some kilobytes."""
    name = type(sequence).__name__
    text = f"expected a path to a part that can change, got a slice of a `{name}`, which is a copy"
    for target in ({"a": sequence}, Notifier({"a": sequence})):
        with pytest.raises(ValueError, match=text):
            process_mod(target, {"action": "append", "path": ["a", slice(None)], "x": 1})


def test_a_change_to_a_slice_of_a_list_is_refused_and_not_announced() -> None:
    n, mods = announced({"l": [1, 2, [3]]})
    part = n["l"][1:]
    for change in (lambda: part.append(9), lambda: part[1].append(4), lambda: part.pop()):
        with pytest.raises(ValueError, match="got a slice of a `list`, which is a copy"):
            change()
    assert n.raw_view == {"l": [1, 2, [3]]}
    assert mods == []


def test_a_slice_of_a_list_can_be_read_and_assigned() -> None:
    n, mods = announced({"l": [1, 2, 3]})
    assert n["l"][0:2].raw_view == [1, 2]
    assert list(n["l"][::2]) == [1, 3]
    assert len(n["l"][1:]) == 2
    n["l"][0:2] = [5]
    del n["l"][1:]
    assert n.raw_view == {"l": [5]}
    assert len(mods) == 2


@pytest.mark.parametrize("index", [True, np.True_, (0, False)])
def test_a_truth_value_leads_into_no_array(index: Any) -> None:
    """It is an index of a mask, which gives a copy, and not the integer that it is elsewhere."""
    name = type(index[1] if isinstance(index, tuple) else index).__name__
    n, mods = announced({"a": np.zeros((2, 2))})
    with pytest.raises(ValueError, match=rf"names of fields and None in a path .* `{name}`"):
        n["a"][index][0] = 5
    with pytest.raises(ValueError, match=rf"names of fields and None in a path .* `{name}`"):
        setitem(n.raw_view, 0, 5, ["a", index])
    assert mods == []
    struct = {"l": [[], []], True: []}
    process_mod(struct, {"action": "append", "path": ["l", True], "x": 1})
    process_mod(struct, {"action": "append", "path": [True], "x": 2})
    assert struct == {"l": [[], [1]], True: [2]}


def test_a_path_leads_through_records_by_fields_and_leaves_scalars_whole() -> None:
    dtype = [("n", "<i4"), ("inner", [("x", "<f8"), ("m", "<i2", (2,))])]
    n, mods = announced({"a": np.zeros(2, dtype), "one": np.zeros((), dtype), "f": np.float64(1)})
    n["a"][0]["n"] = 1
    n["a"][1][np.int64(0)] = 2
    n["a"][0]["inner"]["x"] = 3
    n["a"][1]["inner"]["m"][1] = 4
    n["a"][1][np.int64(1)][-2] = 5
    n["one"][()][0] = 6
    a = n.raw_view["a"]
    assert a["n"].tolist() == [1, 2]
    assert a["inner"]["x"].tolist() == [3, 5]
    assert a["inner"]["m"].tolist() == [[0, 0], [0, 4]]
    assert n.raw_view["one"]["n"] == 6
    assert len(mods) == 6
    for path in (["a", 0, ["n", "inner"]], ["a", 0, ...], ["a", 0, True], ["a", 0, ()]):
        with pytest.raises(ValueError, match=r"an integer or the name of a field in .* `void`"):
            setitem(n.raw_view, 0, 1, path)
    for index in (None, (), ..., (None,), np.array(True)):
        with pytest.raises(ValueError, match=r"expected an integer or the .* into a `float64`"):
            setitem(n.raw_view, 0, 1, ["f", index])


def test_a_path_has_at_most_a_thousand_keys() -> None:
    """Each part of a notifier has a path: with longer ones they would take gigabytes."""
    for target in (np.zeros(3), Notifier(np.zeros(3))):
        setitem(target, 0, 1.0, [slice(None)] * 1000)
        with pytest.raises(ValueError, match="expected a path of at most 1000 keys"):
            setitem(target, 0, 2.0, [slice(None)] * 1001)
    assert np.array_equal(target.raw_view, [1, 0, 0])


# Keys


def test_ordinary_keys_set_what_numpy_sets_with_them() -> None:
    image = np.arange(12).reshape(3, 4)
    for key in [
        1,
        -1,
        np.int8(1),
        (1, 2),
        ...,
        (..., 0),
        None,
        (),
        (None, 1, slice(None, None, -2)),
        True,
        np.False_,
        (True, [1]),
        (False, [1]),
        [],
        [[]],
        ([], [1]),
        [0, 0, 2],
        [[0, 1], [2, 0]],
        ((0, 1), (2, 3)),
        ([np.int64(1)], 0),
        [True, np.False_, True],
        ([True, False, True], [0, 0]),
        [np.array(0), 1],
        [np.array([0, 1]), np.array([1, 2])],
        np.array(1),
        np.array(True),
        np.array([2, 0], "u1"),
        np.array([], int),
        np.arange(12).reshape(3, 4) % 2 == 0,
        np.zeros((3, 4), bool),
        (slice(None), [0, 0]),
        np.ix_([0, 2], [1, 3]),
        (np.ix_([True, False, True], [3])),
    ]:
        expected, array = image.copy(), image.copy()
        expected[key] = -1
        setitem(array, key, -1)
        assert np.array_equal(array, expected), key


def test_ordinary_values_become_what_numpy_makes_of_them() -> None:
    times = np.array(["2020-01-01", "2021-01-01", "2022-01-01"], "M8[D]")
    for array, key, value in [
        (np.zeros((3, 4)), ..., [1, 2, 3, 4]),
        (np.zeros((3, 4)), slice(0, 2), [[1, 2, 3, 4]]),
        (np.zeros((3, 4)), slice(None), [np.arange(4), (4, 3, 2, 1), np.ones(4)]),
        (np.zeros((3, 4)), (slice(None), 0), np.arange(3, dtype="u1")),
        (np.zeros((3, 4)), [0, 2], 7),
        (np.zeros((3, 4)), ..., "1.5"),
        (np.zeros(3, "S3"), ..., ["a", b"bc", 5]),
        (np.zeros(3, "U3"), [0, 1], ["a", np.str_("b")]),
        (np.zeros(3, f"S{MIB}"), ..., ["a", "b", "c"]),
        (np.zeros(1, f"S{MIB}"), 0, "a"),
        (np.zeros(1, "<U100000"), ..., np.array(["a"])),
        (np.zeros(1, "<U100000"), ..., [np.str_("a")]),
        (np.zeros(1, [("s", "<U100000")]), ..., np.array([("a",)], [("s", "<U100000")])),
        (np.zeros(1000, "<U100"), ..., np.arange(1000)),
        (np.zeros(1000, "<U32"), ..., list(np.arange(1000.0))),
        (times, 1, "2023-05-05"),
        (times, ..., [None, np.datetime64("2020-02-02"), "2023-05-05"]),
        (np.zeros(3, "i4,f4"), ["f0", "f1"], 7),
        (np.zeros(3, "i4,f4"), ["f1"], [(1,), (2,), (3,)]),
        (np.zeros(3, "i4,f4"), "f1", [1, 2, 3]),
        (np.zeros(3, "i4,f4"), 0, (1, 2)),
        (np.zeros(3, "i4,f4"), ..., [(1, 2)] * 3),
        (np.zeros(2, RECORD), ..., [(1, "a", ["b"]), (2, "c", ("d",))]),
        (np.zeros(2, RECORD), "t", [["a"], ["b"]]),
        (np.zeros(2, RECORD), 1, (1, "a", np.array([b"b"]))),
        (np.zeros(1000, [("m", "<f8", (300,))]), "m", [1.0] * 300),
        (np.zeros(1000, [("m", "<f8", (300,))]), ["m"], 2.0),
        (np.zeros(100, [("m", "<f8", (100,))]), ..., [([1.0] * 100,)] * 100),
        (np.zeros(0), ..., 1),
        (np.zeros((0, 5)), [], 1),
        (np.zeros(()), (), 1),
        (np.zeros(200_000), ..., [1.0] * 200_000),
    ]:
        expected, copy = array.copy(), array.copy()
        expected[key] = value
        setitem(copy, key, value)
        assert copy.tobytes() == expected.tobytes(), (key, value)


@pytest.mark.parametrize(
    "key",
    [
        ["a" * 20_000, "b"],
        [["a"]],
        (["a"], 0),
        (0, "a"),
        [b"a"],
        [1.5],
        [None],
        [slice(None)],
        [{}],
        np.zeros(0),
        np.array([1.5]),
        np.array(["a"]),
        1.5,
        b"a",
        {},
        (1 + 0j, 0),
        [2**64, -1],
    ],
)
def test_what_is_no_index_is_refused_before_an_array_is_made_of_it(key: Any) -> None:
    """NumPy would make strings of the length of the longest for all of them."""
    for array in (np.zeros((2, 2)), np.zeros((2, 2), "i4,i4")):
        with pytest.raises(IndexError, match=r"expected .* ind"):
            setitem(array, key, 1)


def test_a_key_has_no_more_indices_than_numpy_takes() -> None:
    for key in (([0],) + (None,) * 128, ([0],) * 1000):
        with pytest.raises(IndexError, match=r"too many indices|number of dimensions"):
            setitem(np.zeros((2, 2)), key, 1)


@pytest.mark.parametrize("dtype", ["<U1", "V0", "<f8", object])
def test_of_lists_of_other_arrays_no_array_is_made(dtype: Any) -> None:
    with pytest.raises(IndexError, match="as indices of an array, got a `ndarray`"):
        setitem(np.zeros((2, 2)), [np.zeros(3, dtype), 1], 1)


def test_indices_are_nested_no_deeper_than_arrays_are() -> None:
    deep: Any = [0]
    for _ in range(64):
        deep = [deep]
    with pytest.raises(ValueError, match="expected lists of at most 64 dimensions"):
        setitem(np.zeros(3), deep, 1)


def test_names_are_refused_where_there_are_not_as_many_fields() -> None:
    with pytest.raises(IndexError, match="got a `str`"):
        setitem(np.zeros(3, "i4,i4"), ["f0"] * 3, 1)
    with pytest.raises(IndexError, match="got a `str`"):
        setitem(np.zeros(3, "i4,i4"), ["nosuch"], 1)
    with pytest.raises((ValueError, IndexError), match="nosuch"):
        setitem(np.zeros(3, "i4,i4"), "nosuch", 1)


@pytest.mark.parametrize("index", [2, -3, True, 2**64 - 1])
def test_a_record_has_as_many_fields_as_it_has(index: int) -> None:
    with pytest.raises(IndexError, match=f"expected the index of one of 2 fields, got {index}$"):
        setitem(np.zeros(3, "i4,i4"), index, 1, [0])
    with pytest.raises(IndexError, match=r"expected the index of one of 2 fields, got <int>$"):
        setitem(np.zeros(3, "i4,i4"), 10**5000, 1, [0])


def test_the_limit_is_of_bytes_and_not_of_items() -> None:
    large = np.zeros(2, f"S{MIB}")
    setitem(large, [0, 0], b"x")
    with pytest.raises(
        ValueError,
        match=f"expected to set at most {2 * MIB} bytes of an array of {2 * MIB} bytes, got a key "
        f"of 3 items of {MIB} bytes",
    ):
        setitem(large, [0, 0, 0], b"x")
    with pytest.raises(ValueError, match="got a key of 3 items"):
        setitem(np.zeros(2, RECORD), ([0] * 3,), 1)


def test_repeated_indices_may_set_as_much_as_they_are_themselves() -> None:
    """What is always allowed is less: 512 KiB."""
    indices = np.zeros(70_000, int)
    for array in (np.zeros(3), np.zeros(3, "c16")):
        setitem(array, indices, 2)
        setitem(array, list(indices), 2)
        assert array.tolist() == [2, 0, 0]
    with pytest.raises(ValueError, match="got a key of 70000 items of 24 bytes"):
        setitem(np.zeros(3, "c16,f8"), indices, 2)


def test_of_a_small_array_512_kib_may_be_set_in_any_case() -> None:
    small = np.zeros((1, 1))
    setitem(small, ([[0]] * 256, [0] * 256), 1)
    with pytest.raises(ValueError, match=r"at most 524288 bytes of .* got a key of 65792 items"):
        setitem(small, ([[0]] * 257, [0] * 256), 1)


@pytest.mark.parametrize("shape", [(5, 5, 0), (5, 5, 5)])
def test_indices_are_counted_where_there_is_nothing_to_set(shape: Any) -> None:
    with pytest.raises(ValueError, match="got a key of 1000000 items"):
        setitem(np.zeros(shape), ([[0]] * 1000, [0] * 1000, slice(0, 0)), 1)


def test_items_without_bytes_count_as_well() -> None:
    """There may be milliards of them in a field, in a mod of a hundred bytes."""
    array = np.zeros(1, [("none", [], (10**6,))])
    assert array.nbytes == 0
    other = np.zeros(1, [("n", "<i4"), ("none", [], (10**6,))])
    for target, key, path in [
        (array, "none", []),
        (array, ..., ["none"]),
        (array, "none", [0]),
        (other, 1, [0]),
    ]:
        with pytest.raises(ValueError, match="got a key of 1000000 items of 0 bytes"):
            setitem(target, key, 1, path)


@pytest.mark.parametrize("value", [[b""] * 600, [np.float64(1)] * 600, np.ones(600)])
def test_fields_without_bytes_count_as_well(value: Any) -> None:
    """NumPy sets each of them to each item of the value: their number times that of the items."""
    array = np.zeros(1, [(f"f{index}", "V0") for index in range(1000)])
    with pytest.raises(ValueError, match=r"expected a value of at most 524288 bytes .* of 600000"):
        setitem(array, ..., value)
    setitem(array, ..., value[:1])


def test_a_mask_of_many_dimensions_becomes_not_as_many_indices() -> None:
    mask = np.ones((1,) * 31 + (150_000,), bool)
    with pytest.raises(ValueError, match="a mask of 32 dimensions and 150000 items becomes too m"):
        setitem(np.zeros(mask.shape, "u1"), mask, 1)
    setitem(np.zeros(mask.shape), mask, 1)
    setitem(np.zeros((1,) * 31 + (9,), "u1"), np.ones((1,) * 31 + (9,), bool), 1)
    rows = np.ones((500, 500), bool)
    image = np.zeros((500, 500, 3), "u1")
    setitem(image, rows, [1, 2, 3])
    assert image.sum() == 6 * 250_000


# Values


@pytest.mark.parametrize("value", [["a", "b"], ("a", "b"), [["a"], ["b"]], np.array([b"a", b"b"])])
@pytest.mark.parametrize("key", [..., [0], slice(None), 0])
def test_a_value_becomes_no_array_that_is_larger_than_the_whole(key: Any, value: Any) -> None:
    """NumPy makes it before it looks whether that fits: a list of thousands, of large items."""
    with pytest.raises(
        ValueError,
        match=f"expected a value of at most {MIB} bytes as items .*, got one of {2 * MIB}",
    ):
        setitem(np.zeros(1, f"S{MIB}"), key, value)


@pytest.mark.parametrize(
    ("key", "value", "path"),
    [
        ("s", ["a"] * 4, []),
        ("s", ["a"] * 4, [0]),
        (1, ["a"] * 4, [0]),
        (-2, ["a"] * 4, [0]),
        (np.int64(1), ["a"] * 4, [0]),
        ("t", ["a"] * 4, [0]),
        ((), [()] * 2, [0]),
        (None, [()] * 2, [0]),
        (..., [(1, "a", "b")] * 2, []),
        (..., ["a"] * 2, []),
        (..., [["a"] * 2], []),
        (["s"], [("a",)] * 2, []),
        (["t"], [(["a"] * 4,)], []),
        (0, (1, "a", ["b"] * 4), []),
        (0, (1, "a", np.zeros(4, "S1")), []),
        (..., [(1, "a", ["b"] * 4)], []),
    ],
)
def test_a_value_becomes_no_larger_part_of_a_record(key: Any, value: Any, path: Any) -> None:
    with pytest.raises(ValueError, match="expected a value of at most"):
        setitem(np.zeros(1, RECORD), key, value, path)


def test_a_record_within_a_field_is_counted_apart() -> None:
    nested = [("r", [("t", f"S{MIB}", (1,))], (1,))]
    array = np.zeros(1, nested)
    setitem(array, 0, ([(["a"],)],))
    assert array["r"]["t"].ravel().tolist() == [b"a"]
    with pytest.raises(ValueError, match=f"got one of {2 * MIB}"):
        setitem(array, 0, ([(["a", "b"],)],))


@pytest.mark.parametrize(
    "value",
    [
        np.float64(1),
        np.bytes_(b"a"),
        np.ones(1),
        np.array([b"a"]),
        np.ones(1, [("x", "<f8")]),
        np.ones(1, [("x", "<f8")])[0],
        [np.float64(1)],
    ],
)
def test_large_items_are_not_cast_many_at_a_time(value: Any) -> None:
    """NumPy takes memory for 128 of them, for one that is to be converted, and goes through it."""
    for dtype in ("<U100000", [("s", "<U100000")]):
        with pytest.raises(
            ValueError,
            match="that is at most 8388608 bytes to convert for an array of 400000 bytes, got one "
            f"of {128 * 4 * 100_000}",
        ):
            setitem(np.zeros(1, dtype), ..., value)


LONG = np.array([b"1" * 10_000])


@pytest.mark.parametrize("key", [..., slice(None), list(range(1000)), np.ones(1000, bool)])
@pytest.mark.parametrize("dtype", ["<f8", "?", "<i4", object, [("a", "<f8")]])
@pytest.mark.parametrize(
    "value", [LONG, LONG[0], LONG.reshape(()), LONG.view([("a", LONG.dtype)])]
)
def test_one_long_text_is_not_converted_for_each_item(key: Any, dtype: Any, value: Any) -> None:
    """NumPy would read it a thousand times: a mod's bytes times those of the array."""
    array = np.zeros(1000, dtype)
    with pytest.raises(ValueError, match="at most 8388608 bytes to convert for an array of"):
        setitem(array, key, value)
    assert array.tobytes() == np.zeros(1000, dtype).tobytes()


def test_one_long_text_is_not_converted_to_bytes_for_each_item() -> None:
    for array, value in ((np.zeros(1000, "S1"), LONG.astype("U")), (np.zeros(1000, "U1"), LONG)):
        with pytest.raises(ValueError, match="at most 8388608 bytes to convert for an array of"):
            setitem(array, ..., value)


@pytest.mark.parametrize(
    "value",
    [
        (LONG,),
        [(LONG,)],
        LONG,
        LONG.view([("x", LONG.dtype)]),
        LONG.view([("x", LONG.dtype, (1,))]),
        LONG.view([("x", LONG.dtype)])[0],
    ],
)
def test_one_long_text_is_not_converted_for_each_item_of_a_field(value: Any) -> None:
    array = np.zeros(1, [("a", "<f8", (1000,))])
    with pytest.raises(ValueError, match="at most 8388608 bytes to convert for an array of 8000"):
        setitem(array, ..., value)
    assert not array["a"].any()
    for key in ("a", 0):
        with pytest.raises(ValueError, match="at most 8388608 bytes to convert for an array of"):
            setitem(array, key, LONG, [] if key == "a" else [0])


def test_no_buffers_are_made_for_each_field_of_a_record() -> None:
    """Of 128 items each: it would be 130 MB for this mod of 13 KB."""
    array = np.zeros(1, [(f"f{index}", "<f8") for index in range(100)])
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"bytes to convert .*, got one of 128000000"):
            setitem(array, ..., LONG)
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()


def test_what_is_not_converted_many_times_may_be_long() -> None:
    """What is always allowed is less here, too: 8 MiB to convert."""
    for array, key, value in [
        (np.zeros(3000), ..., np.full(3000, b"1", "S4000")),
        (np.zeros(3000), [*range(3000)], [*np.full(3000, b"1", "S4000")]),
        (np.zeros(1000, "<U2000"), ..., np.full(1000, b"1", "S2000")),
        (np.zeros(30_000, "<U80"), ..., np.array(["1"], "<U100")),
        (np.zeros(30_000, "<U80"), ..., np.array(["1"], ">U100")),
        (np.zeros(600_000, "u1"), ..., np.array([1], np.longdouble)),
    ]:
        setitem(array, key, value)
        assert (array == array.dtype.type(1)).all()


def test_ordinary_records_and_texts_are_converted() -> None:
    dtype = np.dtype([("name", "<U32"), ("trace", "<f8", (1000,))])
    for other in (
        dtype.newbyteorder(">"),
        np.dtype([("name", "<U40"), ("trace", "<f8", (1000,))]),
        np.dtype([("name", "<U32"), ("trace", "<f4", (1000,))]),
        np.dtype([("name", "S40"), ("trace", "<i4", (1000,))]),
    ):
        given = np.zeros(1, other)
        given["name"], given["trace"] = "a", 7
        for key, value in ((0, given[0]), (slice(0, 1), given), ([0], [given[0]])):
            array = np.zeros(10, dtype)
            setitem(array, key, value)
            assert (array["name"][0], array["trace"].sum()) == ("a", 7000)
    for size in (2000, 5000):
        texts = np.zeros(4, f"<U{size}")
        setitem(texts, 0, np.float64(1.5))
        setitem(texts, slice(1, 3), np.array([b"a", b"b"]))
        setitem(texts, [3], [np.bytes_(b"c")])
        assert texts.tolist() == ["1.5", "a", "b", "c"]


@pytest.mark.parametrize("dtype", ["<f8", "<f4", "u1"])
@pytest.mark.parametrize("as_list", [False, True])
def test_a_value_may_be_set_that_is_as_large_as_what_it_sets(dtype: str, as_list: bool) -> None:
    rows = np.arange(6).repeat(25_000).reshape(6, -1).astype(dtype)
    image = np.zeros((4, 25_000))
    setitem(image, [0, 0, 1, 2, 3, 3], rows.tolist() if as_list else rows)
    assert image[:, -1].tolist() == [1, 2, 3, 5]
    with pytest.raises(
        ValueError, match=r"of an array of 800000 bytes, got a key of 150000 items"
    ):
        setitem(image, [0, 0, 1, 2, 3, 3], rows[:, :1])


def test_a_publisher_takes_what_its_subscribers_take() -> None:
    """A view that repeats its items is as large as it becomes on the way."""
    n, mods = announced({"a": np.zeros((4, 25_000))})
    n["a"][[0, 0, 1, 2, 3, 3]] = np.broadcast_to(1.0, (6, 25_000))
    copy = {"a": np.zeros((4, 25_000))}
    process_mod(copy, pyon.decode(pyon.encode(mods[0])))
    assert copy["a"].all()
    assert n.raw_view["a"].all()


@pytest.mark.parametrize(
    ("shape", "dtype", "key", "value"),
    [
        (10_000, "<f8", slice(None), list(np.arange(10_000.0))),
        (10_000, "<f8", slice(None), [np.float32(1), 2] * 5000),
        ((10_000, 3), "<f8", slice(None), [[1.0, 2.0, 3.0]] * 10_000),
        ((10_000, 3), "<f8", slice(None), [(1.0, 2, np.int8(3))] * 10_000),
        (10_000, "<i4,<f8", slice(None), [(1, 2.0)] * 10_000),
        (10_000, "<i4,<f8", slice(None), [(np.int32(1), np.float64(2))] * 10_000),
        (10_000, "<U100", slice(None), [np.str_("a")] * 10_000),
        (10_000, "<f8", list(np.arange(10_000)), 1.0),
        (10_000, "<f8", slice(None), [1.0] * 10_000),
    ],
)
def test_ordinary_items_are_not_looked_at_one_by_one(
    shape: Any, dtype: str, key: Any, value: Any
) -> None:
    """That takes many times as long as NumPy does: here no call is made for each of them."""
    array, expected = np.zeros(shape, dtype), np.zeros(shape, dtype)
    expected[key] = value
    calls: list[str] = []
    sys.setprofile(lambda frame, event, argument: calls.append(event))
    try:
        setitem(array, key, value)
    finally:
        sys.setprofile(None)
    assert np.array_equal(array, expected)
    assert len(calls) < 1000


def test_arrays_without_bytes_in_a_list_count_by_their_items() -> None:
    empty = np.zeros(2**20, "V0")
    for value in (empty, [empty], [[empty], [empty]]):
        for array in (np.zeros(1), np.zeros(1, "V0")):
            with pytest.raises(ValueError, match="expected a value of at most 524288 bytes"):
                setitem(array, ..., value)


@pytest.mark.parametrize("value", [{"a": 1}, {1}, frozenset([1]), slice(1)])
def test_no_text_is_made_of_what_is_no_item(value: Any) -> None:
    """That of an array in it may be far longer than the array, and takes minutes."""
    text = f"numbers or strings as items of an array, got a `{type(value).__name__}`"
    for array, key, whole in [
        (np.zeros(2, "S3"), 0, value),
        (np.zeros(2, "U3"), ..., ["a", value]),
        (np.zeros(2, RECORD), 0, (1, value, "a")),
        (np.zeros(2, RECORD), ..., [(1, "a", [value])] * 2),
    ]:
        with pytest.raises(ValueError, match=text):
            setitem(array, key, whole)


def test_a_value_is_nested_no_deeper_than_arrays_are() -> None:
    value: Any = []
    value.append(value)
    with pytest.raises(ValueError, match="expected lists of at most 64 dimensions"):
        setitem(np.zeros(3), ..., value)


def test_objects_are_held_as_they_are() -> None:
    array = np.array([None, None], object)
    large = [np.zeros(100_000, "u1")]
    setitem(array, 0, large)
    assert array[0] is large
    setitem(array, ..., [{}, {1}])
    assert array.tolist() == [{}, {1}]
    record = np.zeros(1, [("o", object)])
    setitem(record, 0, (large,))
    assert record[0]["o"] is large
    setitem(record, 0, ([np.zeros(70_000, "V0"), {}],))
    assert len(record[0]["o"]) == 2
    setitem(array, ..., large * 2)
    assert array[1] is large[0]
    for many in ([1] * 70_000, [{}] * 70_000):
        setitem(array, slice(0, 1), [many])
        assert array[0] is many
    for key in (..., [0]):
        with pytest.raises(ValueError, match="expected a value of at most 524288 bytes"):
            setitem(array, key, [np.zeros(70_000, "V0")] * 2)


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        (np.zeros(2**20, "V0"), 2**20 * 64),
        (np.zeros((2**20, 0)), 2**20 * 128),
        (np.zeros((5000, 1), "u1"), 5000 * 128),
        (np.zeros((5000,) + (1,) * 29, "<f8"), 5000 * 576),
    ],
)
def test_an_array_becomes_no_items_of_a_list_that_are_far_larger(value: Any, taken: int) -> None:
    """Each is a view, which takes a hundred bytes and more."""
    text = f"items take at most {max(64 * value.nbytes, 2**19)} bytes .* items take {taken}$"
    for target in ([1], Notifier([1])):
        with pytest.raises(ValueError, match=text):
            setitem(target, slice(0, 0), value)
    held: list[Any] = [1]
    setitem(held, 0, value)
    assert held[0] is value


def test_an_ordinary_array_becomes_items_of_a_list() -> None:
    for value in (
        np.zeros(1, "V0"),
        np.zeros((0,)),
        np.zeros(20_000, "u1"),
        np.zeros((4096, 1), "u1"),
        np.zeros((5000, 2), "u1"),
    ):
        held: list[Any] = [1, 2, 3]
        setitem(held, slice(1, None), value)
        assert len(held) == 1 + len(value)
    with pytest.raises(TypeError, match=r"0-d array|iterable"):
        setitem(held, slice(0, 0), np.array(1))


def test_what_nearly_all_mods_are_made_of_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_array_guard, "_check_array_items", None)
    records = np.zeros(3, [("time", "f8"), ("name", "U8"), ("pair", "i4", (2,))])
    numbers = np.zeros((2, 2))

    setitem(records, 1, (2.5, "on", 4))
    setitem(numbers, (0, 1), 7)

    assert records.tolist()[1][:2] == (2.5, "on")
    assert records["pair"][1].tolist() == [4, 4]
    assert numbers.tolist() == [[0, 7], [0, 0]]


def test_a_range_becomes_no_items_but_few_of_a_list() -> None:
    """Where the standard types are switched on, a short mod has one of any length in it."""
    endless = range(10**30)
    items: list[Any] = [1]
    with pytest.raises(ValueError, match=r"at most 32768 items for a slice of a list, got range"):
        setitem(items, slice(0, 0), endless)
    setitem(items, slice(0, 0), range(2))
    setitem(items, 2, endless)
    assert items == [0, 1, endless]
    for value in (endless, [endless], deque([1, 2])):
        with pytest.raises(ValueError, match="numbers or strings as items of an array, got a `"):
            setitem(np.zeros(2), slice(None), value)
