"""What is private to CPython, and what is done where it is not there, or not as it is known."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator

import pytest

from sipyco_pyon import _compat, pyon

LIMIT = 4300  # digits of an integer that Python takes, unless a program says otherwise


@pytest.mark.skipif(platform.python_implementation() != "CPython", reason="it is CPython's")
def test_what_is_written_in_c_is_used_where_it_is_as_it_is_known() -> None:
    kinds = [type(_compat.make_scanner(None)), type(_compat.encode_plain)]
    assert [(kind.__module__, kind.__name__) for kind in kinds] == [
        ("_json", "Scanner"),
        ("_json", "Encoder"),
    ]
    assert type(_compat.encode_string).__name__ == "builtin_function_or_method"


def test_what_json_itself_makes_passes_the_same_tests() -> None:
    assert _compat._scans(_compat._scanner_of_json)
    assert _compat._encodes(_compat._encoders_of_json)


@pytest.fixture
def limit() -> Iterator[None]:
    before = sys.get_int_max_str_digits()
    yield
    sys.set_int_max_str_digits(before)


@pytest.mark.parametrize(
    ("text", "beyond"),
    [
        ("", False),
        ("9" * LIMIT, False),
        ("9" * (LIMIT + 1), True),
        ("[" + "9" * LIMIT + "]", False),
        ("[" + "9" * (LIMIT + 1) + "]", True),
        ("[-" + "9" * (3 * LIMIT) + "]", True),
        ("x" * (LIMIT - 1) + "9" * (LIMIT + 1), True),
        ("x" * LIMIT + "9" * (LIMIT + 1), True),
        ("x" * (2 * LIMIT) + "9" * (LIMIT + 1) + "x", True),
        ("9" * LIMIT + "." + "9" * LIMIT, False),
        (("9" * (LIMIT // 2) + ",") * 100, False),
        (("9" * (LIMIT - 1) + ",") * 100 + "9" * (LIMIT + 1), True),
        ("\u0669" * (2 * LIMIT), False),
    ],
    ids=lambda case: f"{len(case)}" if isinstance(case, str) else "",
)
def test_digits_that_python_does_not_take_are_found_by_their_number(
    limit: None, text: str, beyond: bool
) -> None:
    sys.set_int_max_str_digits(LIMIT)
    assert _compat.beyond_digit_limit(text) is beyond
    sys.set_int_max_str_digits(640)
    assert _compat.beyond_digit_limit(text) is (len(text) > 640 and "9" * 641 in text)
    sys.set_int_max_str_digits(0)
    assert _compat.beyond_digit_limit(text) is False


@pytest.mark.parametrize("digits", [640, 641, LIMIT, LIMIT + 1, 10_000])
@pytest.mark.parametrize("setting", [640, LIMIT, 0])
def test_long_integers_are_read_and_written_whatever_the_setting(
    limit: None, digits: int, setting: int
) -> None:
    value = {"a": [10**digits // 9, -(10 ** (digits - 1))], "b": (1,)}
    sys.set_int_max_str_digits(setting)
    text = pyon.encode(value)
    assert text == (
        '{"a":[' + "1" * digits + ",-1" + "0" * (digits - 1) + "],"
        '"b":{"__jsonclass__":["tuple",[[1]]]}}'
    )
    assert pyon.decode(text) == value
    assert pyon.decode(text.encode()) == value
    assert pyon.decode(text, object_hook=dict) == value
