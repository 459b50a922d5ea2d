"""Standard types, enumerations and dataclasses: switched on by one line, on both sides."""

from __future__ import annotations

import dataclasses
import enum
import json
import subprocess
import sys
import zoneinfo
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import Path, PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dev.fuzz.compare import canonical
from dev.fuzz.standard_types import standard_types
from sipyco_pyon import _registry, _standard_types, _tag_decoder, pyon, pyon_v1
from sipyco_pyon._pieces import SHORT_DATA


@pytest.fixture(autouse=True)
def switched_on() -> Iterator[None]:
    with standard_types():
        yield


def tagged(name: str, *arguments: Any) -> str:
    return json.dumps({"__jsonclass__": [name, arguments]}, separators=(",", ":"))


def zone(key: str) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(key)
    except zoneinfo.ZoneInfoNotFoundError:
        pytest.skip("there are no time zones on this machine")


KEYS = sorted(zoneinfo.available_timezones())
offsets = st.timedeltas(timedelta(hours=-23, minutes=-59), timedelta(hours=23, minutes=59))
named = st.builds(timezone, offsets, st.text("ABCxyz", min_size=1))
zones: st.SearchStrategy[tzinfo | None] = (
    st.none()
    | st.just(UTC)
    | st.builds(timezone, offsets)
    | named
    | (st.sampled_from(KEYS).map(zoneinfo.ZoneInfo) if KEYS else st.none())
)
folds = st.integers(0, 1)
times = (
    st.builds(lambda t, z, f: t.replace(tzinfo=z, fold=f), st.datetimes(), zones, folds)
    | st.builds(lambda t, z, f: t.replace(tzinfo=z, fold=f), st.times(), zones, folds)
    | st.dates()
    | st.timedeltas()
)
hashable = (
    times
    | st.decimals(allow_nan=False)
    | st.uuids(allow_nil=True)
    | st.builds(range, st.integers(), st.integers(), st.integers().filter(bool))
    | st.text().map(PurePosixPath)
    | st.text().map(PureWindowsPath)
    | st.text().map(Path)
    | st.frozensets(st.integers() | st.dates())
)
others = (
    st.decimals()
    | st.sampled_from([Decimal("sNaN12"), Decimal("-NaN"), Decimal("1E+999999999"), named])
    | st.binary().map(bytearray)
    | st.builds(deque, st.lists(st.integers()), st.none() | st.integers(0, 5))
).filter(lambda value: value is not named)


@pytest.mark.one_python
@given(
    st.recursive(
        hashable | others,
        lambda inner: (
            st.lists(inner)
            | st.lists(inner).map(deque)
            | st.frozensets(hashable)
            | st.sets(hashable)
            | st.dictionaries(hashable, inner)
        ),
        max_leaves=10,
    )
)
def test_they_round_trip(value: Any) -> None:
    text = pyon.encode(value)
    assert text.isascii()
    assert canonical(pyon.decode(text)) == canonical(value)
    assert canonical(pyon.decode(pyon.encode(value, pretty=True))) == canonical(value)


BERLIN = '{"__jsonclass__":["ZoneInfo",["Europe/Berlin"]]}'

WRITTEN: list[tuple[Any, str]] = [
    (datetime(2026, 1, 2, 3, 4, 5, 6), '["datetime",["2026-01-02T03:04:05.000006"]]'),
    (datetime(2026, 1, 2, tzinfo=UTC), '["datetime",["2026-01-02T00:00:00+00:00"]]'),
    (datetime(2026, 1, 2, fold=1), '["datetime",["2026-01-02T00:00:00",null,1]]'),
    (
        datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=1), "CET")),
        (
            '["datetime",["2026-01-02T00:00:00",{"__jsonclass__":["timezone",'
            '[{"__jsonclass__":["timedelta",[0,3600,0]]},"CET"]]}]]'
        ),
    ),
    (date(2026, 1, 2), '["date",["2026-01-02"]]'),
    (time(1, 2, tzinfo=UTC), '["time",["01:02:00+00:00"]]'),
    (timedelta(-1, 2, 3), '["timedelta",[-1,2,3]]'),
    (UTC, '["timezone",[{"__jsonclass__":["timedelta",[0,0,0]]}]]'),
    (Decimal("-0.10"), '["Decimal",["-0.10"]]'),
    (UUID(int=5), '["UUID",["00000000-0000-0000-0000-000000000005"]]'),
    (PurePosixPath("/a/b"), '["PurePosixPath",["/a/b"]]'),
    (PureWindowsPath("C:/a"), '["PureWindowsPath",["C:\\\\a"]]'),
    (frozenset({5}), '["frozenset",[[5]]]'),
    (bytearray(b"hi"), '["bytearray",[{"__jsonclass__":["bytes",["aGk="]]}]]'),
    (deque([1, 2]), '["deque",[[1,2]]]'),
    (deque([1, 2], 3), '["deque",[[1,2],3]]'),
    (range(3), '["range",[0,3,1]]'),
]


@pytest.mark.parametrize(("value", "written"), WRITTEN, ids=[repr(value) for value, _ in WRITTEN])
def test_what_is_written(value: Any, written: str) -> None:
    assert pyon.encode(value) == f'{{"__jsonclass__":{written}}}'


def test_the_time_zone_and_the_second_time_of_an_hour_survive() -> None:
    value = datetime(2026, 10, 25, 2, 30, tzinfo=zone("Europe/Berlin"), fold=1)
    text = pyon.encode(value)
    assert text == tagged("datetime", "2026-10-25T02:30:00", json.loads(BERLIN), 1)
    back = pyon.decode(text)
    assert (back.tzinfo, back.fold, back.utcoffset()) == (value.tzinfo, 1, timedelta(hours=1))
    at_noon = time(12, tzinfo=zone("Europe/Berlin"))
    assert pyon.encode(at_noon) == tagged("time", "12:00:00", json.loads(BERLIN))
    assert repr(pyon.decode(pyon.encode(at_noon))) == repr(at_noon)


@pytest.mark.parametrize("microseconds", [1, 999_999, -1, -999_999])
def test_an_offset_of_less_than_a_second_survives(microseconds: int) -> None:
    offset = timedelta(microseconds=microseconds)
    for value in (datetime(2026, 1, 2, tzinfo=timezone(offset)), time(3, tzinfo=timezone(offset))):
        assert pyon.decode(pyon.encode(value)).utcoffset() == offset


def test_a_path_of_the_other_kind_of_system_is_a_pure_one() -> None:
    here, there = (PosixPath, WindowsPath) if Path is not WindowsPath else (WindowsPath, PosixPath)
    assert type(pyon.decode(tagged(Path("a").__class__.__name__, "a"))) is type(Path("a"))
    pure = {PosixPath: PurePosixPath, WindowsPath: PureWindowsPath}
    for cls in (here, there):
        expected = type(Path("a")) if cls is type(Path("a")) else pure[cls]
        assert type(pyon.decode(tagged(cls.__name__, "a"))) is expected


def test_they_are_keys_and_members() -> None:
    value = {date(2026, 1, 2): {frozenset({1, frozenset({2})})}, range(3): Decimal(1)}
    assert pyon.decode(pyon.encode(value)) == value


def test_long_bytearrays_are_buffers() -> None:
    content = bytearray(range(256)) * 20
    buffers: list[memoryview] = []
    text = pyon.encode([content], buffer_callback=buffers.append)
    assert text == (
        '[{"__jsonclass__":["bytearray",[{"__jsonclass__":["bytes",'
        '[{"__jsonclass__":["buffer",[0]]}]]}]]}]'
    )
    assert buffers[0].obj is content  # no copy
    [back] = pyon.decode(text, buffers=[bytearray(buffers[0])])
    assert type(back) is bytearray
    assert back == content
    del buffers[0]
    content.append(1)  # nothing holds it
    for size in (0, 1, SHORT_DATA - 1, SHORT_DATA, 70_000, 200_000):
        value = bytearray(b"x" * size)
        assert pyon.decode(pyon.encode(value)) == value
        assert pyon.decode(pyon.encode_bytes({"a": value})) == {"a": value}
        value.append(1)


REFUSED: list[tuple[str, str]] = [
    (tagged("datetime", "x"), "Invalid isoformat"),
    (tagged("datetime", "2" * 1000), "a text of 1000 characters"),
    (tagged("datetime", 5), "expected str, got int"),
    (tagged("datetime"), "missing 1 required"),
    (tagged("datetime", "2026-01-02", 5), "expected a time zone, got int"),
    (tagged("datetime", "2026-01-02", None, 2), "a fold is 0 or 1"),
    (tagged("datetime", "2026-01-02", None, True), "a fold is 0 or 1"),
    ('{"__jsonclass__":["datetime","2026"]}', "the arguments are not an array"),
    (tagged("time", "25:00"), "hour must be in|Invalid isoformat"),
    (tagged("date", "2026-13-01"), "month must be in"),
    (tagged("timedelta", 1.5, 0, 0), "expected int, got float"),
    (tagged("timedelta", 10**100, 0, 0), "too large"),
    (tagged("timezone", 5), "expected timedelta, got int"),
    (tagged("timezone", {"__jsonclass__": ["timedelta", [1, 0, 0]]}), "strictly between"),
    (tagged("ZoneInfo", "../../etc/passwd"), "no name of a time zone"),
    (tagged("ZoneInfo", "os.path"), "no name of a time zone"),
    (tagged("ZoneInfo", "Nowhere/Land"), "no time zone `Nowhere/Land` .*pip install tzdata"),
    (tagged("Decimal", 5), "expected str, got int"),
    (tagged("Decimal", "1_0"), "no decimal number"),
    (tagged("Decimal", " 1"), "no decimal number"),
    (tagged("Decimal", "9" * 100_001), "at most 100000 characters, got 100001"),
    (tagged("Decimal", "1e9999999999999999999"), "its exponent is too large"),
    (tagged("range", 0, 5, 0), "must not be zero"),
    (tagged("range", True, 5, 1), "expected int, got bool"),
    (tagged("UUID", "x"), "badly formed"),
    (tagged("PosixPath", 5), "expected str, got int"),
    (tagged("frozenset", "ab"), "expected list, got str"),
    (tagged("frozenset", [[1]]), "unhashable type"),
    (tagged("bytearray", 10**12), "expected bytes, got int"),
    (tagged("deque", [1], -1), "maxlen must be non-negative"),
    (tagged("deque", "ab"), "expected list, got str"),
]


@pytest.mark.parametrize(("text", "reason"), REFUSED, ids=[text[:60] for text, _ in REFUSED])
def test_what_is_malformed_is_refused(text: str, reason: str) -> None:
    name = json.loads(text)["__jsonclass__"][0]
    with pytest.raises(ValueError, match=rf"^malformed `{name}`: .*({reason})"):
        pyon.decode(text)


def test_an_offset_and_a_time_zone_are_too_much() -> None:
    text = tagged(
        "datetime",
        "2026-01-02T00:00:00+01:00",
        {"__jsonclass__": ["timezone", [{"__jsonclass__": ["timedelta", [0, 0, 0]]}]]},
    )
    with pytest.raises(ValueError, match="an offset, and a time zone beside it"):
        pyon.decode(text)


def test_a_number_that_the_context_would_let_pass_is_refused() -> None:
    import decimal

    with decimal.localcontext() as context:
        context.traps[decimal.InvalidOperation] = False
        with pytest.raises(ValueError, match="its exponent is too large"):
            pyon.decode(tagged("Decimal", "1e9999999999999999999"))
        assert pyon.decode(tagged("Decimal", "nan")).is_nan()


def test_what_is_huge_costs_nothing() -> None:
    numbers = pyon.decode(
        f"[{tagged('Decimal', '1e999999999')},{tagged('range', 0, 10**1000, 1)}]"
    )
    assert hash(numbers[0]) is not None
    assert numbers[1].stop == 10**1000
    with pytest.raises(ValueError, match="a Decimal has at most 100000 characters") as caught:
        pyon.encode([Decimal("9" * 100_001)])
    assert "it is the value[0]" in str(caught.value)


def test_a_range_is_no_list_of_items() -> None:
    """A short text would take all memory."""
    numbers = {"__jsonclass__": ["range", [0, 10**18, 1]]}
    with pytest.raises(ValueError, match="malformed `tuple`: expected a list of items, got a `r"):
        pyon.decode(tagged("tuple", numbers))
    pyon.register([Summer], name="Summer", encode=lambda _: [], decode=Summer)
    try:
        with pytest.raises(ValueError, match="expected a list of items, got a `range`"):
            pyon.decode(json.dumps({"__jsonclass__": ["Summer", numbers]}))
    finally:
        pyon.deregister([Summer], name="Summer")
    pytest.importorskip("numpy")
    with pytest.raises(ValueError, match="malformed `nparray`: a shape is a list of integers"):
        pyon.decode(tagged("nparray", numbers, "<f8", ""))


def test_items_of_a_frozenset_that_were_chosen_to_collide_are_refused() -> None:
    modulus = sys.hash_info.modulus
    keys = [modulus * number for number in range(1, 10_000)]
    with pytest.raises(ValueError, match="malformed `frozenset`: too many of its 9999 keys"):
        pyon.decode(tagged("frozenset", keys))
    # Members that are frozensets count as what is in them.
    members = [{"__jsonclass__": ["frozenset", [[number, "a"]]]} for number in range(1000)]
    assert len(pyon.decode(tagged("frozenset", members))) == 1000


def test_a_time_zone_without_a_key_is_refused() -> None:
    path = next(
        (found for root in zoneinfo.TZPATH if (found := Path(root) / "Europe/Berlin").exists()),
        None,
    )
    if path is None:
        pytest.skip("there are no files of time zones on this machine")
    with path.open("rb") as file:
        nameless = zoneinfo.ZoneInfo.from_file(file)
    with pytest.raises(TypeError, match=r"without a key .*; it is the value\[0\]$"):
        pyon.encode([nameless])


class Summer(tzinfo):
    pass


def test_another_time_zone_is_refused_where_it_is() -> None:
    with pytest.raises(TypeError, match=r"is part 1 of the `datetime` the value$"):
        pyon.encode(datetime(2026, 1, 2, tzinfo=Summer()))


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (deque([1, object()]), "the value[1]"),
        (frozenset({object()}), "an item of the value"),
        ([frozenset({(1, object())})], "(an item of the value[0])[1]"),
    ],
    ids=["deque", "frozenset", "deeper"],
)
def test_what_is_in_them_has_a_place(value: Any, place: str) -> None:
    with pytest.raises(TypeError) as caught:
        pyon.encode(value)
    assert str(caught.value).endswith(f"; it is {place}")


def test_a_deque_that_contains_itself_is_refused() -> None:
    value: deque[Any] = deque()
    value.append(value)
    with pytest.raises(ValueError, match="a `deque` contains itself"):
        pyon.encode(value)


# Enumerations and dataclasses


class Colour(enum.Enum):
    RED = 1
    CRIMSON = RED
    BLUE = "b"


class Ports(enum.Flag):
    A = 1
    B = 2


class Level(enum.IntEnum):
    LOW = 1


class Many(enum.Flag):
    A = 1 << 16


@dataclass
class Point:
    x: Any
    y: Any = 0


@dataclass(frozen=True)
class Fit:
    a: float
    b: float = 0.0
    error: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        if self.a < 0:
            raise ValueError("a negative `a`")


@dataclass
class Number(int):
    unit: str = "V"


def test_enumerations_and_dataclasses_are_given_to_the_same_call() -> None:
    pyon.register_standard_types(Colour, Ports, Point, Fit)
    assert pyon.encode(Colour.CRIMSON) == tagged("Colour", "RED")
    assert pyon.encode(Ports.A | Ports.B) == tagged("Ports", 3)
    assert pyon.encode(Point(1, Colour.BLUE)) == (
        '{"__jsonclass__":["Point",[{"x":1,"y":{"__jsonclass__":["Colour",["BLUE"]]}}]]}'
    )
    fit = Fit(1.5)
    object.__setattr__(fit, "error", 0.25)
    for value in (Colour.BLUE, Ports.A | Ports.B, Ports(0), Point((1,), {2: Fit(2.0)}), fit):
        back = pyon.decode(pyon.encode(value))
        assert type(back) is type(value)
        assert back == value
    assert pyon.decode(pyon.encode({Colour.RED: fit})) == {Colour.RED: fit}
    assert pyon.decode(tagged("Point", {"x": 5})) == Point(5)  # of an older version of the class


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (tagged("Colour", "GREEN"), "malformed `Colour`: it has no member `GREEN`"),
        (tagged("Colour", 1), "malformed `Colour`: expected str, got int"),
        (tagged("Colour", "_missing_"), "malformed `Colour`: it has no member"),
        (tagged("Ports", 4), "malformed `Ports`: flags that it does not have"),
        (tagged("Ports", -1), "malformed `Ports`: flags that it does not have"),
        (tagged("Ports", "A"), "malformed `Ports`: expected int, got str"),
        (tagged("Point", {"x": 1, "z": 2}), "malformed `Point`: it has no field `z`"),
        (tagged("Point", {"y": 1}), "malformed `Point`: .* missing 1 required .*'x'"),
        (tagged("Point", [1, 2]), "malformed `Point`: expected dict, got list"),
        (tagged("Fit", {"a": -1.0}), "malformed `Fit`: a negative `a`"),
        ('{"__jsonclass__":["Point","x"]}', "malformed `Point`: expected dict, got str"),
    ],
)
def test_what_does_not_fit_the_class_is_refused(text: str, reason: str) -> None:
    pyon.register_standard_types(Colour, Ports, Point, Fit)
    with pytest.raises(ValueError, match=reason):
        pyon.decode(text)


def test_what_the_other_side_lacks_is_not_taken_for_malformed() -> None:
    @dataclass
    class Lacking:
        x: int

        def __post_init__(self) -> None:
            raise ImportError("no module")

    pyon.register_standard_types(Lacking)
    with pytest.raises(ImportError, match="no module"):
        pyon.decode(tagged("Lacking", {"x": 1}))


def test_fields_are_in_the_place() -> None:
    pyon.register_standard_types(Point)
    with pytest.raises(TypeError, match=r'; it is the value\["p"\]\.y\[1\]$'):
        pyon.encode({"p": Point(1, [2, object()])})


def test_a_name_may_be_given() -> None:
    pyon.register_standard_types(Colour, **{"lab.Point": Point})
    assert pyon.encode(Point(1)) == tagged("lab.Point", {"x": 1, "y": 0})
    with pytest.raises(AssertionError, match="registered already"):
        pyon.register_standard_types(Point)
    with pytest.raises(AssertionError, match="the name `datetime` is taken already"):
        pyon.register_standard_types(datetime=Fit)
    other = dataclasses.make_dataclass("Colour", ["x"])
    other.__module__ = "elsewhere"
    with pytest.raises(AssertionError, match="the name `Colour` is taken already"):
        pyon.register_standard_types(other)


def test_it_may_be_called_again() -> None:
    for _ in range(3):
        pyon.register_standard_types(Point)
        pyon.register_standard_types()
    assert pyon.decode(pyon.encode(Point(1))) == Point(1)
    pyon.deregister([Point], "Point")
    with pytest.raises(TypeError, match=r"call `pyon.register_standard_types\(Point\)`"):
        pyon.encode(Point(1))


def test_a_class_that_is_defined_anew_takes_the_place_of_the_former() -> None:
    def cell() -> type[Any]:
        made = dataclasses.make_dataclass("Cell", ["x"])
        made.__module__ = __name__
        return made

    former, latter = cell(), cell()
    pyon.register_standard_types(former)
    pyon.register_standard_types(latter)
    assert type(pyon.decode(pyon.encode(latter(1)))) is latter


@pytest.mark.parametrize(
    ("cls", "reason"),
    [
        (Level, "`Level` cannot be registered: its values are written as the `int` that they are"),
        (Number, "the `int` that they are"),
        (int, "expected an Enum or a dataclass, got <class 'int'>; for other .* `pyon.register`"),
        (Point(1), "expected an Enum or a dataclass"),
        (5, "expected an Enum or a dataclass, got 5"),
        (Many, "`Many` has more than 16 flags: send `.value`"),
    ],
    ids=str,
)
def test_what_cannot_be_registered_is_refused(cls: Any, reason: str) -> None:
    with pytest.raises(TypeError, match=reason):
        pyon.register_standard_types(Colour, cls)
    with pytest.raises(TypeError, match=reason):
        pyon.register_standard_types(Colour, other=cls)
    with pytest.raises(TypeError, match="not PYON encodable"):
        pyon.encode(Colour.RED)  # nothing has changed


# What was there before


def off() -> None:
    """Have the process as it is before the call."""
    for cls, *_ in _standard_types._TYPES:
        del _registry._encoders[cls]
        del _tag_decoder._BUILT_IN[cls.__name__]


def test_types_that_the_program_has_registered_stay_as_they_are() -> None:
    off()
    pyon.register([datetime], name="my.time", encode=lambda t: [t.timestamp()], decode=float)
    pyon.register([Point], name="date", encode=lambda p: [p.x], decode=Point)
    pyon.register_standard_types()
    assert pyon.encode(datetime(2026, 1, 2, tzinfo=UTC)) == tagged("my.time", 1767312000.0)
    assert pyon.decode(tagged("datetime", "2026-01-02")) == datetime(2026, 1, 2)
    assert type(pyon.decode(tagged("my.time", 1.5))) is float
    with pytest.raises(AssertionError, match="the name `datetime` is taken already"):
        pyon.register([Fit], name="datetime", encode=str, decode=str)
    assert pyon.decode(pyon.encode(Point(5))) == Point(5)
    with pytest.raises(TypeError, match=r"`datetime\.date"):
        pyon.encode(date(2026, 1, 2))  # its tag means something else here


def test_they_are_built_in_from_then_on() -> None:
    with pytest.raises(AssertionError, match="registered already"):
        pyon.register([datetime], name="mine", encode=str, decode=str)
    with pytest.raises(AssertionError, match="the name `datetime` is taken already"):
        pyon.register([Point], name="datetime", encode=str, decode=str)
    with pytest.raises(AssertionError, match="datetime is built in"):
        pyon.deregister([datetime], "datetime")


@pytest.mark.parametrize("name", sorted(_registry.STANDARD_TAGS))
def test_a_side_that_has_not_switched_them_on_says_what_to_do(name: str) -> None:
    off()
    text = rf"`{name}` is not PYON decodable; .* call `pyon.register_standard_types\(\)` here"
    with pytest.raises(TypeError, match=text):
        pyon.decode(tagged(name))


def test_a_long_bytearray_is_refused_likewise_where_it_is_not_known() -> None:
    buffers: list[memoryview] = []
    text = pyon.encode(bytearray(5000), buffer_callback=buffers.append)
    off()
    with pytest.raises(TypeError, match="`bytearray` is not PYON decodable; the other side uses"):
        pyon.decode(text, buffers=buffers)


def test_another_tag_is_to_be_registered() -> None:
    with pytest.raises(TypeError, match="`Other` is not PYON decodable; register it here"):
        pyon.decode(tagged("Other"))


def test_the_names_are_those_of_the_classes() -> None:
    assert {cls.__name__ for cls, *_ in _standard_types._TYPES} == _registry.STANDARD_TAGS


@pytest.mark.parametrize("value", [Decimal(1), range(3), Colour.RED], ids=str)
def test_the_older_dialect_has_none_of_them(value: Any) -> None:
    with pytest.raises(TypeError, match="PYON v1, which the other side speaks or the file is in"):
        pyon_v1.encode(value)


def test_nothing_is_loaded_before() -> None:
    code = f"""
import sys
sys.path[:] = {sys.path!r}
import sipyco_pyon.pyon
names = set("datetime decimal enum uuid pathlib zoneinfo dataclasses re".split())
before = names & set(sys.modules)
import sipyco_pyon
print(sorted(before), "sipyco_pyon._standard_types" in sys.modules)
sipyco_pyon.register_standard_types()
print("zoneinfo" in sys.modules)
"""
    found = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == "[] False\nTrue\n"
