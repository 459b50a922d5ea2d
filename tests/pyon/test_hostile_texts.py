"""Texts that no program of ours writes: an error with a reason, soon, and in little memory.

Where a text once took hours, the time that every test has is the limit.
"""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sipyco_pyon import _v1_reader, pyon, pyon_v1

BOTH = pytest.mark.parametrize("module", [pyon, pyon_v1], ids=["v2", "v1"])
DIGITS = 100_000  # of the longest integer


@BOTH
def test_the_longest_integer_round_trips(module: ModuleType) -> None:
    values = [10**DIGITS - 1, 1 - 10**DIGITS]
    assert module.decode(module.encode(values)) == values


@BOTH
@pytest.mark.parametrize("text", ["1%s", "-1%s", "[1%s]", '{"a": 1%s}'])
def test_a_longer_integer_is_refused_in_reading(module: ModuleType, text: str) -> None:
    for zeros in (DIGITS, 2_000_000):
        with pytest.raises(ValueError) as exc_info:
            module.decode(text % ("0" * zeros))
        assert str(exc_info.value).endswith(
            f"an integer has at most 100000 digits, got {zeros + 1}"
        )


@BOTH
def test_a_longer_integer_is_refused_in_writing(module: ModuleType) -> None:
    for value, digits in [
        (10**DIGITS, "100001"),
        ([-1 << 10_000_000], r"about 3010298; it is the value\[0\]"),
    ]:
        for pretty in (False, True):
            with pytest.raises(ValueError, match=f"at most 100000 digits, got {digits}$"):
                module.encode(value, pretty=pretty)


def test_a_hexadecimal_integer_is_not_longer_than_one_that_can_be_written() -> None:
    longest = pyon_v1.decode(hex(10**DIGITS - 1))
    assert pyon_v1.decode(pyon_v1.encode(longest)) == longest
    with pytest.raises(ValueError, match="an integer has at most 100000 digits, got about 12041"):
        pyon_v1.decode("0x1" + "0" * DIGITS)


def test_only_ascii_has_digits() -> None:
    with pytest.raises(ValueError, match="not PYON v1"):
        pyon_v1.decode("\u0663" * 700)


@BOTH
def test_a_huge_exponent_costs_nothing(module: ModuleType) -> None:
    assert module.decode("1e999999") == float("inf")
    assert module.decode("-1e999999") == -float("inf")
    assert module.decode("1e-999999") == 0.0
    assert module.decode("1" * 600 + ".0") == float("inf")
    assert module.decode("[0." + "1" * 1_000_000 + "]") == [0.1111111111111111]


def test_numbers_of_tags_are_not_expanded() -> None:
    for tag, argument in [
        ("Fraction", '"1e999999"'),
        ("Fraction", '"1e999999999999"'),
        ("Fraction", "1e999999"),
        ("complex", '"1e999999999x"'),
        ("complex", "1" + "0" * 400),
        ("bytes", "1000000000"),
        ("tuple", "1000000000"),
        ("set", "1000000000"),
    ]:
        with pytest.raises(ValueError, match=f"^malformed `{tag}`: "):
            pyon.decode(f'{{"__jsonclass__":["{tag}",[{argument}]]}}')


@pytest.mark.parametrize("text", ["%s+1j", "-%s+1j", "%s-1j"])
def test_the_real_part_of_a_complex_number_is_no_larger_than_a_float(text: str) -> None:
    with pytest.raises(ValueError, match="not PYON v1: int too large to convert to float"):
        pyon_v1.decode(text % ("1" + "0" * 400))
    with pytest.raises(ValueError, match="not PYON v1: int too large to convert to float"):
        pyon_v1.decode(text % ("1" + "0" * 700))


@pytest.mark.parametrize("items", ["5", "[[]]", "[[1]]", '[{"a":1}]', "[[[],0]]", "[[1,2,3]]"])
@pytest.mark.parametrize("kind", ["dict", "OrderedDict"])
def test_what_makes_no_dictionary_is_malformed(kind: str, items: str) -> None:
    many = items if items == "5" else "[" + ",".join([items[1:-1]] * 300) + "]"
    for text in (items, many):
        with pytest.raises(ValueError, match=f"malformed `{kind}`: "):
            pyon.decode('{"__jsonclass__":["' + kind + '",[' + text + "]]}")


@BOTH
def test_of_keys_that_are_the_same_the_last_counts(module: ModuleType) -> None:
    assert module.decode('{"a": 1, "b": 2, "a": 3}') == {"a": 3, "b": 2}
    assert module.decode("{" + '"a": 1, ' * 2_000 + '"a": [1]}') == {"a": [1]}


def test_of_tags_that_are_the_same_the_last_counts() -> None:
    text = '{"__jsonclass__":["bytes",["AA=="]],"__jsonclass__":["tuple",[[1]]]}'
    assert pyon.decode(text) == (1,)
    with pytest.raises(ValueError, match="malformed `__jsonclass__`"):
        pyon.decode('{"__jsonclass__":["tuple",[[1]]],"__jsonclass__":1}')


@pytest.mark.parametrize(
    "text",
    [
        "%s" + ',"' + '\\"' * 100_000,
        "%s" + ",'" + "\\'" * 100_000,
        "%s" + ",'\\",
        "%s" + ", " + "1" * 599 + " ",
        ", ".join(["1" * 599 + "x"] * 3000) + ", %s",
    ],
    ids=["quotes", "apostrophes", "backslash", "shorter number", "shorter numbers"],
)
def test_long_numbers_are_found_in_one_pass(text: str) -> None:
    """Of a string without an end, each quote was once looked at as the beginning of another."""
    with pytest.raises(ValueError, match="not PYON v1"):
        pyon_v1.decode("[" + text % ("7" * 700))


def test_long_numbers_in_strings_stay_in_them() -> None:
    digits = "7" * 700
    for string in (f'"{digits}"', f"'{digits}'", rf'"\"{digits}"', rf"'\'{digits}\\'"):
        assert pyon_v1.decode(f"[{string}, {digits}]")[1] == int(digits)
        assert digits in pyon_v1.decode(f"[{string}, {digits}]")[0]


@pytest.mark.parametrize(
    "text",
    ["-" * 100_000 + "1", "not " * 100_000 + "1", "lambda:" * 10_000 + "1", "(" * 100_000],
    ids=["signs", "not", "lambda", "parentheses"],
)
def test_nesting_that_the_parser_refuses_has_a_reason(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not PYON v1: (nested too|too many|Parser stack)"):
        pyon_v1.decode(text)


def test_the_name_of_an_unknown_type_is_escaped_and_cut() -> None:
    document = '{"__jsonclass__":["\\u001b[2J\\r\\u202e' + "x" * 100_000 + '",[]]}'
    with pytest.raises(TypeError) as caught:
        pyon.decode(document)
    name = r"\x1b[2J\r\u202e" + "x" * 54
    assert str(caught.value).startswith(f"Object of type `{name}` is not PYON decodable; ")


NESTED: dict[str, Callable[[int], str]] = {
    "lists": lambda n: "[" * n + "]" * n,
    "dictionaries": lambda n: '{"a":' * n + "1" + "}" * n,
    "tuples": lambda n: '{"__jsonclass__":["tuple",[[' * n + "1" + "]]]}" * n,
    "keys": lambda n: (
        '{"__jsonclass__":["set",[[' + '{"__jsonclass__":["tuple",[[' * n + "]]]}" * n + "]]]}"
    ),
    "slices": lambda n: '{"__jsonclass__":["slice",[' * n + "1" + ",1,1]]}" * n,
    "unary": lambda n: "-" * n + "1",
    "sums": lambda n: "1+" * n + "1",
    "attributes": lambda n: "a" + ".b" * n,
    "calls": lambda n: "f" + "()" * n,
    "items": lambda n: "a" + "[0]" * n,
    "conditions": lambda n: "1 if 1 else " * n + "1",
    "powers": lambda n: "1**" * n + "1",
    "formats": lambda n: "f'{" * n,
    "comprehensions": lambda n: "[a for a in " * n,
}


@BOTH
def test_absurd_nesting_of_any_kind_does_not_end_the_process(module: ModuleType) -> None:
    """In a process of its own, as that is what it would end."""
    program = f"""
import sys
from {module.__name__.rpartition(".")[0]} import {module.__name__.rpartition(".")[2]} as module
for text in sys.stdin:
    try:
        value = module.decode(text.strip())
        try:
            hash(value)
        except TypeError:
            pass  # a list, for example
        module.encode(value)
    except (ValueError, TypeError, RecursionError) as exc:
        assert str(exc)
        del exc
print("alive")
"""
    lines = "".join(make(n) + "\n" for make in NESTED.values() for n in (90, 190, 950, 20_000))
    done = subprocess.run(
        [sys.executable, "-c", program], input=lines, capture_output=True, text=True, timeout=50
    )
    assert (done.stdout, done.stderr, done.returncode) == ("alive\n", "", 0)


class Bound:
    """What a slice may have."""


@pytest.mark.parametrize(
    "value",
    [
        slice(10**5000),
        slice((10**5000,), None, "a"),
        slice(set(), None),
        slice({"b": 1, "a": (None, True)}, [set()]),
    ],
    ids=["long", "long in a tuple", "empty set", "containers"],
)
def test_what_a_slice_of_the_older_dialect_has_can_be_read_back(value: Any) -> None:
    read = pyon_v1.decode(pyon_v1.encode(value))
    assert (read.start, read.stop, read.step) == (value.start, value.stop, value.step)


MOST = 2 * 1024 * 1024  # items of a text of the older dialect
FEW = 1000  # the same, where a test has to be quick


@pytest.mark.parametrize(
    "text",
    [
        "[" + "0," * (FEW + 1) + "]",
        "[" + '"",' * (FEW // 2 + 1) + "]",
        "\"\"''" * (FEW // 2 + 1),
        "['''a'b\"'''," + "0," * (FEW + 1) + '"x"]',
        '["""a"b\'""",' + "0," * (FEW + 1) + "'x']",
        '[ # "\n' + "0," * (FEW + 1) + '"x"]',
    ],
    ids=["items", "strings", "adjacent strings", "apostrophes", "quotes", "comment"],
)
def test_a_text_that_is_not_mostly_strings_is_not_too_long(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python's parser takes some 500 times of the memory: 60 GB for the longest line."""
    monkeypatch.setattr(_v1_reader, "MAX_V1_ITEMS", FEW)
    with pytest.raises(ValueError, match="it has more than 1000 items; an array is one"):
        pyon_v1.decode(text)


def test_a_file_of_ours_may_have_any_length(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(_v1_reader, "MAX_V1_ITEMS", FEW)
    path = tmp_path / "datasets.pyon"
    pyon_v1.store_file(path, [0.5] * FEW)
    assert pyon_v1.load_file(path) == [0.5] * FEW
    with pytest.raises(ValueError, match="it has more than 1000 items"):
        pyon_v1.decode(path.read_text())


def test_a_list_that_is_too_long_takes_no_memory() -> None:
    text = "[" + "0," * (2 * MOST)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="it has more than 2097152 items; an array is one"):
            pyon_v1.decode(text)
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()


def test_long_lists_of_numbers_are_not_too_long() -> None:
    """Publishers of before 2025 send them."""
    _v1_reader.check_size("[" + "-1.2345678901234567e-05, " * 500_000 + "]")
    _v1_reader.check_size("[" + "-1, " * 1_500_000 + "]")


@pytest.mark.parametrize(
    "item", ["1-1", "1 -1", "- -1", "--1", "0x1e-1", ")-1", ") -1", "1 1", "a.b", "not 1"]
)
def test_what_makes_many_nodes_counts(item: str) -> None:
    """A sign is part of a number only where it cannot be an operator."""
    assert _v1_reader._items(item * 1000, 0, len(item) * 1000) >= 1000


@pytest.mark.parametrize("prefix", ["f", "F", "rf", "fR", "t", "Rt"])
def test_expressions_cannot_hide_in_strings(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_v1_reader, "MAX_V1_ITEMS", FEW)
    with pytest.raises(ValueError, match="not part of PYON v1: a string with expressions in it"):
        pyon_v1.decode(f'[{prefix}"{{' + "0," * (FEW // 2) + '}"]')


def test_long_strings_are_no_syntax() -> None:
    data = "a" * MOST
    text = f"""(inf,"{data}", b'{data}', br"{data}", '''{data}''', 'f', # {data}\n)"""
    infinity, *strings, letter = pyon_v1.decode(text)
    assert strings == [data, data.encode(), data.encode(), data]
    assert (infinity, letter) == (float("inf"), "f")
