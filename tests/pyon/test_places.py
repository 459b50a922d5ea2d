"""What cannot be written is told with its place, its type, and what to do."""

from __future__ import annotations

import datetime
import decimal
import enum
import pathlib
import sys
import uuid
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from sipyco_pyon import pyon, pyon_v1

BOTH = pytest.mark.parametrize("module", [pyon, pyon_v1], ids=["v2", "v1"])


class Opaque:
    def __repr__(self) -> str:
        return "<Opaque>"


class Key(Opaque):
    def __hash__(self) -> int:
        return 1


class Box:
    def __init__(self, *content: Any) -> None:
        self.content = content


class Colour(enum.Enum):
    RED = 1


@dataclass
class Point:
    x: Any


class Quantity:
    """As `pint` has it."""

    magnitude = 5
    units = "V"


@pytest.fixture
def boxes() -> Iterator[None]:
    pyon.register([Box], name="Box", encode=lambda box: box.content, decode=Box)
    yield
    pyon.deregister([Box], "Box")


def error_of(value: Any, module: ModuleType = pyon, **options: Any) -> str:
    with pytest.raises((TypeError, ValueError, AssertionError)) as caught:
        module.encode(value, **options)
    return str(caught.value)


def place_of(value: Any, module: ModuleType = pyon, **options: Any) -> str:
    _, found, place = error_of(value, module, **options).rpartition("; it is ")
    return place if found else ""


IT = Opaque()
DEEP: Any = IT
for _ in range(40):
    DEEP = [DEEP]

PLACES: list[tuple[Any, str]] = [
    (IT, ""),
    ([1, IT], "the value[1]"),
    ([1, (2, {"when": IT})], 'the value[1][1]["when"]'),
    ({"a": {5: [IT]}}, 'the value["a"][5][0]'),
    ({(1, "x"): 0, None: IT}, "the value[None]"),
    ({(1, 2.5): IT}, "the value[(1, 2.5)]"),
    (OrderedDict([("a", [0, IT])]), 'the value["a"][1]'),
    ({"a": {Key(): 1}}, 'a key of the value["a"]'),
    ({"a": {(1, Key()): 1}}, '(a key of the value["a"])[1]'),
    ({(Key(), Key()): 1}, "(a key of the value)[0]"),
    ([{Key()}], "an item of the value[0]"),
    ([slice(1, IT)], "part 1 of the `slice` the value[0]"),
    ({'a"b': IT}, 'the value["a\\"b"]'),
    ({"it's": IT}, 'the value["it\'s"]'),
    ({"\n": IT}, 'the value["\\n"]'),
    ({"é": IT}, 'the value["é"]'),
    ({"k" * 100: IT}, f'the value["{"k" * 60}…"]'),
    (DEEP, f"the value{'[0]' * 10}[…]{'[0]' * 10}"),
]


@BOTH
@pytest.mark.parametrize(("value", "place"), PLACES, ids=[place for _, place in PLACES])
def test_the_place_is_told(value: Any, place: str, module: ModuleType) -> None:
    assert place_of(value, module) == place
    assert place_of(value, module, pretty=True) == place


def test_a_value_that_is_shown_in_lines_is_told_in_one() -> None:
    class Lines:
        def __repr__(self) -> str:
            return "Lines(1,\n      2)"

    assert error_of([Lines()]).startswith("`Lines(1, 2)`: Object of type `Lines` is not PYON enc")


def test_the_text_begins_as_it_always_has() -> None:
    assert error_of([1, IT]).startswith(
        "`<Opaque>`: Object of type `Opaque` is not PYON encodable"
    )
    assert error_of([1, IT], pyon_v1).startswith(
        f"`<Opaque>` ({Opaque!r}) is not PYON serializable"
    )


@BOTH
def test_the_value_has_the_name_that_is_given(module: ModuleType) -> None:
    assert place_of([1, {"when": IT}], module, name="arguments") == 'arguments[1]["when"]'
    assert place_of(IT, module, name="the result") == "the result"
    assert place_of({Key(): 1}, module, name="the result") == "a key of the result"


def test_bytes_and_options_have_places_too() -> None:
    with pytest.raises(TypeError, match=r"; it is the message\[0\]$"):
        pyon.encode_bytes([IT], end="\n", name="the message")
    with pytest.raises(TypeError, match=r"; it is the value\[0\]$"):
        pyon.encode([IT], sort_keys=True)


@BOTH
def test_other_errors_have_places_too(module: ModuleType) -> None:
    assert place_of({"n": [0, 10**100_001]}, module) == 'the value["n"][1]'
    if module is pyon:
        tagged = {"__jsonclass__": 1}
        assert place_of([tagged]) == "the value[0]"
        assert place_of([{5: 1, **tagged}]) == "the value[0]"
    numpy = pytest.importorskip("numpy")
    objects = numpy.array([object()], dtype=object)
    assert place_of({"image": [objects]}, module) == 'the value["image"][0]'


LOOP: list[Any] = []
LOOP.append(LOOP)


@BOTH
@pytest.mark.parametrize(
    ("value", "place"),
    [
        (LOOP, ""),
        ({"a": (1, LOOP)}, 'the value["a"][1]'),
        (OrderedDict({5: [LOOP]}), "the value[5][0]"),
        ([slice(LOOP)], "part 1 of the `slice` the value[0]"),
    ],
    ids=["it", "dict", "OrderedDict", "slice"],
)
def test_what_contains_itself_has_a_place(value: Any, place: str, module: ModuleType) -> None:
    assert place_of(value, module) == place
    assert place_of(LOOP, module, name="the result") == "the result"


def test_a_circle_through_keys_and_sets_has_a_place() -> None:
    """Only what a hook gives can close one."""
    knot = Key()
    assert place_of([{knot}], default=lambda _: [knot]) == "an item of the value[0]"
    assert place_of([{knot: 1}], default=lambda _: [knot]) == "a key of the value[0]"


@pytest.mark.usefixtures("boxes")
def test_what_contains_itself_within_registered_types_has_a_place() -> None:
    assert place_of([Box(1, LOOP)]) == "part 1 of the `Box` the value[0]"
    box = Box()
    box.content = ({"a": box},)
    assert place_of({"b": box}) == 'the value["b"]'
    assert place_of([Opaque()], default=lambda _: LOOP) == "the value[0]"


@pytest.mark.usefixtures("boxes")
def test_what_registered_types_are_made_of_has_a_place() -> None:
    assert place_of({"b": Box(1, [IT])}) == '(part 1 of the `Box` the value["b"])[0]'
    assert place_of({"b": Box(1, IT)}) == 'part 1 of the `Box` the value["b"]'


def test_a_hook_that_gives_no_list_has_the_place_of_its_value() -> None:
    pyon.register([Box], name="Box", encode=lambda box: {"a": box.content[0]}, decode=Box)
    try:
        assert place_of([Box(IT)]) == 'the value[0]["a"]'
    finally:
        pyon.deregister([Box], "Box")


def test_an_error_of_a_hook_stays_as_it_is_and_gets_a_note() -> None:
    def fail(value: Any) -> Any:
        raise TypeError("my own")

    pyon.register([Box], name="Box", encode=fail, decode=Box)
    try:
        with pytest.raises(TypeError, match=r"^my own") as caught:
            pyon.encode({"b": [Box()]})
        assert caught.value.__notes__ == ['It was raised in encoding the value["b"][0].']
        with pytest.raises(TypeError, match=r"^my own") as caught:
            pyon.encode(Box())
        assert not hasattr(caught.value, "__notes__")
        with pytest.raises(TypeError, match=r"^my own") as caught:
            pyon.encode({"b": IT}, default=fail)
        assert caught.value.__notes__ == ['It was raised in encoding the value["b"].']
    finally:
        pyon.deregister([Box], "Box")


def test_no_memory_is_no_matter_of_a_place() -> None:
    def fail(value: Any) -> Any:
        raise MemoryError

    with pytest.raises(MemoryError) as caught:
        pyon.encode([IT], default=fail)
    assert not hasattr(caught.value, "__notes__")


def test_nothing_of_a_key_runs() -> None:
    class Loud:
        def __repr__(self) -> str:
            pytest.fail("called")

    pyon.register([Loud], name="Loud", encode=lambda key: [], decode=Loud)
    try:
        assert place_of({Loud(): IT}) == "the value[<Loud>]"
    finally:
        pyon.deregister([Loud], "Loud")


def test_what_is_in_two_places_is_told_of_the_first() -> None:
    assert place_of([[0], IT, IT]) == "the value[1]"


def generator() -> Iterator[int]:
    yield 1


STANDARD: list[Any] = [
    datetime.datetime(2026, 1, 2),
    datetime.date(2026, 1, 2),
    datetime.time(1),
    datetime.timedelta(1),
    datetime.UTC,
    decimal.Decimal(1),
    pathlib.Path("a"),
    pathlib.PureWindowsPath("a"),
    uuid.UUID(int=1),
    frozenset({1}),
    bytearray(b"a"),
    deque([1]),
    range(3),
]


@pytest.mark.parametrize("value", STANDARD, ids=repr)
def test_standard_types_are_told_of(value: Any) -> None:
    assert error_of([value]).endswith(
        "is not PYON encodable: call `pyon.register_standard_types()` in both programs; "
        "it is the value[0]"
    )
    assert "PYON v1, which the other side speaks or the file is in" in error_of(value, pyon_v1)


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (Opaque(), "register its class in both programs: `pyon.register([Opaque], …)`"),
        (Colour.RED, "call `pyon.register_standard_types(Colour)` in both programs"),
        (Point(1), "call `pyon.register_standard_types(Point)` in both programs"),
        (Quantity(), "it would lose its unit; send `.magnitude` and `str(….units)`, or register"),
        (memoryview(b""), "send `bytes(…)`, or register"),
        ({}.keys(), "send `list(…)`, or register"),
        (generator(), "send `list(…)`, or register"),
        (map(str, []), "send `list(…)`, or register"),
        (type("Later", (datetime.datetime,), {})(2026, 1, 1), "`pyon.register([Later], …)`"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_to_do_is_told(value: Any, advice: str) -> None:
    assert advice in error_of(value).partition("is not PYON encodable: ")[2]


def test_quantities_of_numpy_are_refused() -> None:
    numpy = pytest.importorskip("numpy")
    kind = type("Quantity", (numpy.ndarray,), {"unit": "V"})  # as `astropy` has it
    assert "it would lose its unit; send `.value` and" in error_of(numpy.zeros(3).view(kind))
    assert "send `numpy.asarray(…)`" in error_of([numpy.zeros((1, 1)).view(numpy.matrix)])


def test_it_is_told_without_what_tells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sipyco_pyon._refusals", None)  # as without a descriptor
    assert error_of([IT]) == "`<Opaque>`: Object of type `Opaque` is not PYON encodable"
