"""Values round trip in both dialects, and whatever else arrives is refused as documented."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from collections import OrderedDict
from fractions import Fraction
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipyco_pyon import pyon, pyon_v1
from support.values import no_pairs

BOTH = pytest.mark.parametrize("module", [pyon, pyon_v1], ids=["v2", "v1"])

texts = st.text(st.characters()).filter(no_pairs)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | texts
    | st.binary()
    | st.fractions()
)
hashable = scalars | st.tuples(scalars, scalars)
values = st.recursive(
    hashable,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(hashable, inner)
        | st.dictionaries(texts, inner)
        | st.lists(st.tuples(hashable, inner)).map(OrderedDict)
        | st.sets(hashable)
        | st.builds(slice, inner, st.none() | st.integers())
    ),
    max_leaves=20,
)


def same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return len(a) == len(b) and all(
            same(x, y) for x, y in zip(a.items(), b.items(), strict=True)
        )
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, slice):
        return same([a.start, a.stop, a.step], [b.start, b.stop, b.step])
    if isinstance(a, float):
        return a == b and math.copysign(1, a) == math.copysign(1, b)
    return bool(a == b)


def safe_for_v1(value: Any) -> bool:
    """A slice is written by `repr`, so only what that can write may stand in one."""
    return "slice(" not in repr(value)


@given(values, st.booleans())
def test_v2_round_trips(value: Any, pretty: bool) -> None:
    if "__jsonclass__" in repr(value):
        return
    text = pyon.encode(value, pretty=pretty)
    assert text.isascii()
    assert pretty or "\n" not in text
    assert same(pyon.decode(text), value)
    assert same(pyon.decode(text.encode()), value)
    assert same(pyon.decode(bytearray(text.encode())), value)


@given(values.filter(safe_for_v1), st.booleans())
def test_v1_round_trips(value: Any, pretty: bool) -> None:
    text = pyon_v1.encode(value, pretty=pretty)
    assert text.isascii()
    assert pretty or "\n" not in text
    decoded = pyon_v1.decode(text)
    if pretty:
        assert decoded == value  # the keys are sorted
    else:
        assert same(decoded, value)


@given(st.text(max_size=40) | st.text("[]{}()\"'\\,:0123456789eE+-._jabnulltrfsi ", max_size=40))
def test_random_text_is_accepted_or_refused(text: str) -> None:
    for module in (pyon, pyon_v1):
        try:
            module.decode(text)
        except (ValueError, TypeError, RecursionError, ImportError):
            pass


@given(st.binary(max_size=40))
def test_random_bytes_are_accepted_or_refused(data: bytes) -> None:
    try:
        pyon.decode(data)
    except (ValueError, TypeError, RecursionError):
        pass


@given(values, st.randoms(use_true_random=False))
def test_mutated_documents_are_accepted_or_refused(value: Any, rng: random.Random) -> None:
    for module in (pyon, pyon_v1):
        try:
            text = list(module.encode(value))
        except AssertionError:
            continue
        for _ in range(3):
            if text:
                text[rng.randrange(len(text))] = chr(rng.randrange(32, 127))
        try:
            module.decode("".join(text))
        except (ValueError, TypeError, RecursionError, ImportError):
            pass


@BOTH
@pytest.mark.parametrize("digits", [599, 600, 601, 1200, 1201, 4300, 5000, 20_001])
def test_integers_of_any_size_round_trip(module: ModuleType, digits: int) -> None:
    for value in (10**digits, 10**digits - 1, -(10**digits) + 7, 3 * 10 ** (digits // 2)):
        assert module.decode(module.encode([value, {"k": value}])) == [value, {"k": value}]
        assert module.decode(module.encode(value)) == value


def test_the_limit_of_digits_stays_as_it_was() -> None:
    limit = sys.get_int_max_str_digits()
    pyon.decode(pyon.encode(10**6000))
    assert sys.get_int_max_str_digits() == limit


@BOTH
def test_absurd_nesting_is_an_error(module: ModuleType) -> None:
    for opening, closing in (("[", "]"), ("(", ")"), ('{"a":', "}"), ("-", "")):
        with pytest.raises((ValueError, RecursionError)):
            module.decode(opening * 100_000 + "1" + closing * 100_000)


@pytest.mark.parametrize(
    "text",
    [
        '{"__jsonclass__":["tuple",[[1],[2]]]}',
        '{"__jsonclass__":["set",[[[1]]]]}',
        '{"__jsonclass__":["set",[[1],[2]]]}',
        '{"__jsonclass__":["OrderedDict",[[],[]]]}',
        '{"__jsonclass__":["dict",[[1]]]}',
        '{"__jsonclass__":["dict",[[[[1],2]]]]}',
        '{"__jsonclass__":["complex",["x"]]}',
        '{"__jsonclass__":["bytes",["=a"]]}',
        '{"__jsonclass__":["bytes",["a"]]}',
        '{"__jsonclass__":["bytes",[5]]}',
        '{"__jsonclass__":["slice",[]]}',
        '{"__jsonclass__":["Fraction",[1,0]]}',
        '{"__jsonclass__":["Fraction",["1e999999999"]]}',
        '{"__jsonclass__":["OrderedDict",[5]]}',
        '{"__jsonclass__":["tuple","ab"]}',
    ],
)
def test_malformed_arguments_name_the_tag(text: str) -> None:
    tag = json.loads(text)["__jsonclass__"][0]
    with pytest.raises(ValueError, match=f"malformed `{tag}`"):
        pyon.decode(text)


@pytest.mark.parametrize("text", ["null", "[]", "[1,2]", '["tuple"]', '[["tuple"],[]]', "{}"])
def test_a_malformed_tag_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="malformed `__jsonclass__`"):
        pyon.decode(f'{{"__jsonclass__":{text}}}')


def test_other_keys_beside_a_tag_are_ignored() -> None:
    assert pyon.decode('{"x":1,"__jsonclass__":["tuple",[[1]]]}') == (1,)


def test_an_escaped_tag_is_a_tag() -> None:
    assert pyon.decode('{"\\u005f_jsonclass__":["tuple",[[1]]]}') == (1,)


def test_an_unknown_tag_is_named() -> None:
    with pytest.raises(TypeError, match="`nosuch`"):
        pyon.decode('{"__jsonclass__":["nosuch",[]]}')


def test_a_dictionary_with_the_tag_as_key_is_refused_without_assertions_too() -> None:
    code = "from sipyco_pyon import encode; encode([{'__jsonclass__': 1}])"
    for options in ([], ["-O"]):
        done = subprocess.run([sys.executable, *options, "-c", code], capture_output=True)
        assert done.returncode == 1
        assert b"AssertionError" in done.stderr


@pytest.mark.parametrize(
    "text",
    [
        *('__import__("os").getcwd()', "[x for x in (1,2)]", "().__class__", "1+1", "lambda: 0"),
        *("f'{1}'", "1 if 1 else 2", "[*[1]]", "{**{}}", "(x:=1)", "not 1", "~1", "1 < 2", "..."),
        *("slice(step=1)", "open('x')", "a", "NaN", "_long_0", "1j+1", "'a' 1", "await x", "-'a'"),
        *('Fraction("1e99999999")', "1+2", "yield", "print", "x[0]", "{*()}()", ""),
        *("{*[]}", "{*(1,)}", "1*2j", "1/2j"),
    ],
)
def test_v1_evaluates_nothing(text: str) -> None:
    with pytest.raises(ValueError):
        pyon_v1.decode(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("'a'", "a"),
        ("None", None),
        ("[True, False,]", [True, False]),
        ("-5", -5),
        ("(1-9j)", 1 - 9j),
        ("{*()}", set()),
        ("{}", {}),
        ("(1, )", (1,)),
        ("slice(None, 3, None)", slice(None, 3)),
        ("Fraction(3, 4)", Fraction(3, 4)),
        ('OrderedDict([("a", 1)])', OrderedDict(a=1)),
        ("-inf", -math.inf),
        ("b'\\xff'", b"\xff"),
    ],
)
def test_v1_reads_what_people_write(text: str, value: Any) -> None:
    decoded = pyon_v1.decode(text)
    assert type(decoded) is type(value)
    assert decoded == value


def test_v1_joins_the_halves_of_characters() -> None:
    text = pyon_v1.encode({"\U0001f600": ["a\U0001f600b", "\U0010ffff"]})
    assert text == r'{"\ud83d\ude00": ["a\ud83d\ude00b", "\udbff\udfff"]}'
    assert pyon_v1.decode(text) == {"\U0001f600": ["a\U0001f600b", "\U0010ffff"]}
    # What `repr` writes, and people.
    assert pyon_v1.decode(r"'\ud83d\ude00'") == pyon_v1.decode("'\U0001f600'") == "\U0001f600"
    assert pyon_v1.decode(r'"\U0001f600\ud83d\ude00"') == "\U0001f600" * 2


@BOTH
def test_halves_that_stand_alone_stay(module: ModuleType) -> None:
    for value in ("\ud83d", "\ude00", "\ude00\ud83d", "\ud83dx\ude00", "\ud83d\ud83d"):
        assert module.decode(module.encode(value)) == value
    # Two that make up a character are one, as everywhere in JSON.
    assert module.decode(module.encode("\ud83d\ude00\ude00")) == "\U0001f600\ude00"
    assert module.decode(module.encode(b"\xed\xa0\xbd")) == b"\xed\xa0\xbd"


def test_v1_reads_complex_numbers_that_are_not_finite() -> None:
    assert repr(pyon_v1.decode("(nan+infj)")) == "(nan+infj)"


@pytest.mark.parametrize(
    "text", ["(1-0j)", "(1+0j)", "(-1.5-0j)", "(-1.5+0j)", "(2-3j)", "(2+3j)", "(1-infj)"]
)
def test_v1_reads_complex_numbers_as_they_are_shown_on_every_python(text: str) -> None:
    assert repr(pyon_v1.decode(text)) == text


class Point:
    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = x, y


class Named(dict):  # type: ignore[type-arg]
    pass


def test_registered_types_round_trip() -> None:
    pyon.register(
        [Point], name="Point", encode=lambda p: (pyon.wrap(p.x), [pyon.wrap(p.y)]), decode=Point
    )
    try:
        text = pyon.encode({"p": Point((1, 2), {3: 4})})
        assert text.startswith('{"p":{"__jsonclass__":["Point",[')
        point = pyon.decode(text)["p"]
        assert (point.x, point.y) == ((1, 2), [{3: 4}])
        with pytest.raises(AssertionError, match="registered already"):
            pyon.register([Point], name="Other", encode=list, decode=Point)
        with pytest.raises(AssertionError, match="taken already"):
            pyon.register([Named], name="Point", encode=list, decode=Point)
        with pytest.raises(AssertionError, match="registered under `Point`"):
            pyon.deregister([Point], "Other")
    finally:
        pyon.deregister([Point], "Point")
    with pytest.raises(KeyError):
        pyon.deregister([Point], "Point")
    with pytest.raises(TypeError, match="`Point` is not PYON encodable"):
        pyon.encode(Point(1, 2))
    with pytest.raises(TypeError, match="`Point`"):
        pyon.decode(text)


BUILT_IN = [tuple, dict, set, complex, bytes, slice, Fraction, OrderedDict]


@pytest.mark.parametrize("built_in", BUILT_IN)
def test_built_in_types_are_registered_already(built_in: type) -> None:
    with pytest.raises(AssertionError, match="registered already"):
        pyon.register([Point, built_in], name="Point", encode=list, decode=Point)
    with pytest.raises(KeyError):
        pyon.deregister([Point], "Point")  # nothing has changed
    pyon.register([Point], name="Point", encode=lambda point: [point.x, 0], decode=Point)
    try:
        for name in ("Point", "other", built_in.__name__):
            with pytest.raises(AssertionError, match="is built in"):
                pyon.deregister([built_in, Point], name)
        with pytest.raises(AssertionError, match=f"{built_in.__name__} is built in"):
            pyon.deregister([Point, built_in], "Point")
        assert pyon.decode(pyon.encode(Point(5, 0))).x == 5
    finally:
        pyon.deregister([Point, Point], "Point")
    with pytest.raises(KeyError):
        pyon.deregister([Point], "Point")


def test_types_of_numpy_are_registered_already() -> None:
    numpy = pytest.importorskip("numpy")
    for built_in in (numpy.ndarray, numpy.float64, numpy.bool_, numpy.datetime64):
        with pytest.raises(AssertionError, match="registered already"):
            pyon.register([built_in], name="mine", encode=list, decode=Point)
        with pytest.raises(AssertionError, match="is built in"):
            pyon.deregister([built_in], "mine")


def test_a_type_that_is_plain_json_is_not_registered() -> None:
    for plain in (int, str, list, float, bool, type(None)):
        with pytest.raises(KeyError):
            pyon.deregister([plain], "plain")


def test_of_two_types_of_one_name_the_other_stays() -> None:
    pyon.register([Point, Named], name="Two", encode=lambda value: [1, 2], decode=Point)
    try:
        pyon.deregister([Point], "Two")
        with pytest.raises(TypeError, match="`Point` is not PYON encodable"):
            pyon.encode(Point(1, 2))
        assert type(pyon.decode('{"__jsonclass__":["Two",[1,2]]}')) is Point
    finally:
        pyon.deregister([Named], "Two")
    with pytest.raises(TypeError, match="`Two` is not PYON decodable"):
        pyon.decode('{"__jsonclass__":["Two",[1,2]]}')


def test_a_hook_may_return_a_string() -> None:
    pyon.register([Point], name="P", encode=lambda p: p.x, decode=lambda *a: Point("".join(a), 0))
    try:
        assert pyon.encode(Point("ab", 0)) == '{"__jsonclass__":["P","ab"]}'
        assert pyon.decode(pyon.encode(Point("ab", 0))).x == "ab"
    finally:
        pyon.deregister([Point], "P")


@pytest.mark.parametrize("name", ["tuple", "nparray", "buffer"])
def test_reserved_names_cannot_be_registered(name: str) -> None:
    with pytest.raises(AssertionError, match="taken already"):
        pyon.register([Point], name=name, encode=list, decode=Point)


def test_options_are_those_of_json() -> None:
    assert pyon.encode({"b": 1, "a": 2}, sort_keys=True) == '{"a":2,"b":1}'
    assert pyon.encode([1], indent=2) == "[\n  1\n]"
    assert pyon.encode("é", ensure_ascii=False) == '"é"'
    assert pyon.encode(Point(1, 2), default=lambda p: (p.x, p.y)) == pyon.encode((1, 2))
    with pytest.raises(ValueError, match="Out of range"):
        pyon.encode(math.nan, allow_nan=False)
    assert pyon.decode("[1.5]", parse_float=str) == ["1.5"]
    text = '{"a":{"__jsonclass__":["tuple",[[1]]]}}'
    assert pyon.decode(text, object_hook=lambda d: sorted(d.items())) == [("a", (1,))]
    assert pyon.decode(text, object_pairs_hook=tuple) == (("a", (1,)),)


def test_importing_loads_neither_numpy_nor_more() -> None:
    code = (
        "import sys; before = set(sys.modules); import sipyco_pyon; "
        "print(*sorted(m for m in ('numpy', 'asyncio', 'fractions', 'ast', 'socket', 'tempfile')"
        " if m in set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "\n"


@pytest.mark.parametrize(
    "text",
    [
        '{"__jsonclass__":["npscalar",["<i4","AQAAAA=="]]}',
        '{"__jsonclass__":["nparray",[[1],"<i4","AQAAAA=="]]}',
    ],
)
def test_without_numpy_it_says_how_to_install_it(text: str) -> None:
    code = (
        "import sys; sys.modules['numpy'] = None\n"
        f"from sipyco_pyon import pyon\npyon.encode([1])\npyon.decode({text!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "ImportError: this value needs NumPy" in done.stderr
    assert "pip install 'sipyco-pyon[numpy]'" in done.stderr


def test_long_integers_may_stand_in_what_is_laid_out() -> None:
    value = {"long": 10**5000, "short": [7, -(10**4999)]}
    text = pyon.encode(value, pretty=True)
    digits = "0" * 4999
    assert text.splitlines()[1:-1] == [
        f'    "long": 1{digits}0,',
        '    "short": [',
        "        7,",
        f"        -1{digits}",
        "    ]",
    ]
    assert pyon.decode(text) == value
