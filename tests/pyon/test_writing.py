"""However a text is made, it is the same text; and whatever is nested in what, it is one."""

from __future__ import annotations

import enum
import math
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipyco_pyon import encode_bytes, pyon

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**62, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**4000])
    | st.floats()
    | st.text()
    | st.text(st.characters(categories=["Cs"]), max_size=2)
    | st.binary()
)
hashable = scalars | st.tuples(scalars, scalars)
values = st.recursive(
    hashable,
    lambda inner: (
        st.lists(inner)
        | st.lists(scalars, min_size=20, max_size=40)
        | st.lists(inner).map(tuple)
        | st.dictionaries(hashable, inner)
        | st.dictionaries(st.text(), inner)
        | st.lists(st.tuples(hashable, inner)).map(OrderedDict)
    ),
    max_leaves=20,
)


@given(values)
def test_every_way_leads_to_one_text(value: Any) -> None:
    if "__jsonclass__" in str(value):
        return
    text = pyon.encode(value)
    assert text.isascii()
    assert pyon.encode_bytes(value) == text.encode()
    # The way of options, through `json.dumps`.
    assert pyon.encode(value, separators=(",", ":")) == text
    assert repr(pyon.decode(pyon.encode(value, pretty=True))) == repr(pyon.decode(text))
    assert repr(pyon.decode(text, parse_float=float)) == repr(pyon.decode(text))


def test_long_lists_of_one_class_and_of_several() -> None:
    assert pyon.encode([0.5] * 2000) == "[" + ",".join(["0.5"] * 2000) + "]"
    assert pyon.encode([1] * 1999 + ["é"]) == "[" + "1," * 1999 + '"\\u00e9"]'
    one = '{"__jsonclass__":["tuple",[[]]]}'
    assert pyon.encode([()] * 2000) == "[" + ",".join([one] * 2000) + "]"
    assert pyon.encode([1] * 1999 + [()]) == "[" + "1," * 1999 + one + "]"
    assert pyon.encode([math.nan] * 1001) == "[" + ",".join(["NaN"] * 1001) + "]"
    assert pyon.encode([10**5000] * 1001) == "[" + ",".join(["1" + "0" * 5000] * 1001) + "]"


def test_a_text_as_bytes_is_that_of_the_package() -> None:
    assert encode_bytes is pyon.encode_bytes
    assert encode_bytes({"a": (1, 2)}) == b'{"a":{"__jsonclass__":["tuple",[[1,2]]]}}'
    assert encode_bytes("é") == b'"\\u00e9"'
    assert encode_bytes(5, end="\n") == b"5\n"
    assert encode_bytes({1: b"x" * 100_000}, end="\n") == encode_bytes({1: b"x" * 100_000}) + b"\n"


class Text(str):
    pass


class Data(bytes):
    pass


def test_text_may_be_of_a_derived_class() -> None:
    text = '[1,"é",{"__jsonclass__":["tuple",[[]]]}]'
    for source in (Text(text), Data(text.encode())):
        assert pyon.decode(source) == [1, "é", ()]
        assert pyon.decode(source, parse_int=str) == ["1", "é", ()]
    long = f'["{"a" * 5000}"]'
    assert pyon.decode(Text(long)) == pyon.decode(Data(long.encode())) == ["a" * 5000]


def test_text_is_read_from_any_memory() -> None:
    for source in ('{"a":1}', b'{"a":1}', bytearray(b'{"a":1}'), memoryview(b'-{"a":1}-')[1:-1]):
        assert pyon.decode(source) == {"a": 1}
    with pytest.raises(TypeError, match="a PYON text is str or bytes, got int"):
        pyon.decode(5)  # type: ignore[arg-type]


class Level(enum.IntEnum):
    LOW = 1

    def __str__(self) -> str:
        return "low"

    __repr__ = __str__


class Volt(float):
    def __repr__(self) -> str:
        return "volt"

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = float.__hash__


class Name(str):
    __slots__ = ()

    def __repr__(self) -> str:
        return "name"


class Pair(NamedTuple):
    a: Any
    b: Any


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Level.LOW, "1"),
        ([Level.LOW, True], "[1,true]"),
        (Volt(1.5), "1.5"),
        ({"a": Volt(math.inf), "b": Volt(math.nan)}, '{"a":Infinity,"b":NaN}'),
        ({Name("a"): Name("b")}, '{"a":"b"}'),
        ({Level.LOW: 1}, '{"__jsonclass__":["dict",[[[1,1]]]]}'),
        (Pair(1, Pair(2, 3)), pyon.encode((1, (2, 3)))),
        (defaultdict(list, a=[(1,)]), pyon.encode({"a": [(1,)]})),
        ([{}, [], (), set(), {1: {}}], pyon.encode([{}, [], (), set(), {1: {}}], skipkeys=False)),
        ({}, "{}"),
        ([], "[]"),
        (OrderedDict(), '{"__jsonclass__":["OrderedDict",[[]]]}'),
    ],
    ids=ascii,
)
def test_subclasses_are_written_as_their_base(value: Any, text: str) -> None:
    assert pyon.encode(value) == text
    assert pyon.encode(value, separators=(",", ":")) == text


@pytest.mark.parametrize("member", ["__jsonclass__", Name("__jsonclass__")])
def test_the_tag_as_a_key_is_refused_wherever_it_is(member: str) -> None:
    for value in (
        *({member: 1}, {"a": {member: 1}}, [{member: ()}], OrderedDict([(member, 1)])),
        *({1: 2, member: 3}, OrderedDict([(1, 2), (member, 3)]), [{(): {None: 0, member: 1}}]),
    ):
        with pytest.raises(AssertionError, match="`__jsonclass__`"):
            pyon.encode(value)


class Wrapped:
    def __init__(self, value: Any) -> None:
        self.value = value


@pytest.mark.parametrize(
    "wrap",
    [
        lambda value: [value],
        lambda value: (value, 1),
        lambda value: {"a": value},
        lambda value: {1: value},
        lambda value: OrderedDict(a=value),
        lambda value: slice(value),
        Wrapped,
    ],
)
def test_deep_structures_are_written_or_refused(wrap: Callable[[Any], Any]) -> None:
    def nested(depth: int) -> Any:
        value: Any = 1
        for _ in range(depth):
            value = wrap(value)
        return value

    def unwrap(value: Any) -> Any:
        return [value.value]

    pyon.register([Wrapped], name="Wrapped", encode=unwrap, decode=Wrapped)
    try:
        assert pyon.encode(nested(100)).count("1") >= 1
        with pytest.raises(RecursionError):
            pyon.encode(nested(5000))
        with pytest.raises(RecursionError):
            pyon.encode(nested(5000), indent=1)
    finally:
        pyon.deregister([Wrapped], "Wrapped")


def test_what_never_ends_is_refused() -> None:
    pyon.register([Wrapped], name="Wrapped", encode=lambda value: value, decode=Wrapped)
    try:
        with pytest.raises(ValueError, match="a `Wrapped` contains itself"):
            pyon.encode(Wrapped(1))
    finally:
        pyon.deregister([Wrapped], "Wrapped")
    with pytest.raises(ValueError, match="a `Wrapped` contains itself"):
        pyon.encode(Wrapped(1), default=lambda value: value)
