"""Long base64 never meets the scanner, and nobody can tell that from what comes of a text."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sipyco_pyon import pyon
from sipyco_pyon._base64_extract import EXTRACT_FROM, extract_base64

SIZES = [EXTRACT_FROM // 4 * 3 + extra for extra in (0, 1, 2, 3, 7000, 49152, 150_000)]


def base64_of(size: int) -> str:
    return base64.b64encode((b"\x00\xff\x10abc" * (size // 6 + 1))[:size]).decode()


def bytes_of(content: str) -> str:
    return f'{{"__jsonclass__":["bytes",["{content}"]]}}'


def in_all_forms(text: str) -> list[Any]:
    data = text.encode("utf-8", "surrogatepass")
    return [text, data, bytearray(data), memoryview(data)]


@pytest.mark.parametrize("size", SIZES)
def test_long_bytes_are_extracted(size: int) -> None:
    value = base64.b64decode(base64_of(size))
    for text in in_all_forms(f"[1,{bytes_of(base64_of(size))}]"):
        assert pyon.decode(text) == [1, value]
        if not isinstance(text, memoryview):
            rest, extracted = extract_base64(text)
            assert len(rest) < 100
            assert list(extracted.values()) == [value]


@pytest.mark.parametrize(
    "text",
    [
        '["%s"]',
        '{"__jsonclass__": ["bytes", ["%s"]]}',
        '{"__jsonclass__":["bytes",["","%s"]]}',
        '{"__jsonclass__":["tuple",[["%s"]]]}',
        '[{"__jsonclass__":["bytes",[""]]},"%s"]',
        '[{"__jsonclass__":["nparray",[[0],"<f8",""]]},"%s"]',
        '{"__jsonclass__":["nparray",["%s"]]}',
        '{"__jsonclass__":["nparray",[[1],"%s"]]}',
        '{"__jsonclass__":["nparray",[[1],"<f8",5,"%s"]]}',
        '{"__jsonclass__":["npscalar",["<f8","%s"]]}',
        '["[",["%s"]]',
    ],
)
def test_other_strings_are_not(text: str) -> None:
    for source in in_all_forms(text.replace("%s", base64_of(9000)))[:3]:
        assert extract_base64(source) == (source, {})


def test_a_text_that_is_long_otherwise_is_left_whole() -> None:
    for text in ("1" * 600, "[" + "1," * 5000 + "1]", '["' + "é" * 9000 + '"]', '"' * 9000):
        assert extract_base64(text) == (text, {})


class Counted:
    """What a text makes a program do should not depend on its length."""


def outcome(source: Any, **options: Any) -> Any:
    """Tell all that comes of a text: its value, or its error, and the calls on the way."""
    calls: list[Any] = []
    pyon.register([Counted], name="Counted", encode=lambda value: (), decode=calls.append)
    try:
        return repr(pyon.decode(source, **options)), calls
    except Exception as exc:
        return type(exc), str(exc), getattr(exc, "pos", None), getattr(exc, "doc", None), calls
    finally:
        pyon.deregister([Counted], "Counted")


LONG = base64_of(6000)
contents = st.sampled_from([LONG, base64_of(6001), base64_of(6002), "", "QUJD"])
insertions = st.sampled_from(
    ["", "\\u0041", "\\/", '\\"', '"', "\\", "=", "==", " ", "\n", "é", "\0", "-", "\ud800", "😀"]
)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    content = draw(contents)
    position = draw(st.sampled_from([0, 1, 5000, len(content) - 1, len(content)]))
    return content[:position] + draw(insertions) + content[position:]


literals = contents | mutated()
elements = st.builds(
    "{}{}{}".format,
    st.sampled_from(
        [
            '{"__jsonclass__":["bytes",["',
            '{"__jsonclass__":["bytes",["","',
            '{"__jsonclass__": ["bytes", ["',
            '{"x":1,"__jsonclass__":["bytes",["',
            '{"__jsonclass__":["nparray",[[6000],"|u1","',
            '{"__jsonclass__":["nparray",[[6000],[{"__jsonclass__":["tuple",[["a","|u1"]]]}],"',
            '{"__jsonclass__":["nparray",[[6000],{"__jsonclass__":["Counted",[1]]},"',
            '{"__jsonclass__":["nparray",[[750],"<f8","',
            '{"__jsonclass__":["nparray",[[-1],"<f8","',
            '{"__jsonclass__":["nparray",[[0],"|O","',
            '{"__jsonclass__":["nparray",["',
            '{"__jsonclass__":["Counted",["',
            '{"a":"',
            '["',
            ',"',
            '"',
            "",
        ]
    ),
    literals,
    st.sampled_from(
        [
            '"]]}',
            '"]],"__jsonclass__":["tuple",[[]]]}',
            '"]],"y":2}',
            '",5]]}',
            '"],5]}',
            '"]}',
            '"]',
            '"}',
            '"',
            "",
            '"]]}]',
        ]
    ),
)
documents = st.lists(
    elements | st.sampled_from(["1", '{"__jsonclass__":["Counted",[2]]}', "1" * 5000]), max_size=4
).map(lambda parts: "[" + ",".join(parts) + "]")


@given(documents)
@example(f'["a,",{bytes_of(LONG)}]')
@example(f'["\\\\",{bytes_of(LONG)}]')
@example("[" + bytes_of(LONG) + "," + bytes_of(LONG) + "," + "1" * 5000 + "]")
@example(bytes_of(LONG) + "x")
@example(" " + bytes_of(LONG) + " \n")
@example("\ufeff" + bytes_of(LONG))
def test_extracting_makes_no_difference(text: str) -> None:
    # With an option of `json.loads` nothing is extracted.
    for source in in_all_forms(text):
        assert outcome(source) == outcome(source, parse_float=float)


@given(documents, st.sampled_from(["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"]))
def test_nor_does_it_in_other_encodings(text: str, encoding: str) -> None:
    data = text.encode(encoding, "surrogatepass")
    assert outcome(data) == outcome(data, parse_float=float)


@given(st.binary(max_size=20), st.integers(0, 9000))
def test_bytes_that_are_no_text_are_refused_alike(noise: bytes, position: int) -> None:
    data = f"[{bytes_of(LONG)}]".encode()
    data = data[:position] + noise + data[position:]
    assert outcome(data) == outcome(data, parse_float=float)


def test_what_stands_for_what_was_extracted_cannot_be_guessed() -> None:
    code = "from sipyco_pyon._base64_extract import _TOKEN; print(_TOKEN)"
    tokens = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
        for _ in range(2)
    }
    assert len(tokens) == 2
    assert min(map(len, tokens)) >= 32


def test_a_string_that_looks_like_it_is_a_string() -> None:
    _, (name,) = extract_base64(bytes_of(LONG))
    text = (
        f'["{name}",{bytes_of(LONG)},{{"a":"{name}"}},{{"__jsonclass__":["tuple",[["{name}"]]]}}]'
    )
    assert pyon.decode(text) == [name, base64.b64decode(LONG), {"a": name}, (name,)]
    assert name.partition("-")[2] == "0"
    with pytest.raises(ValueError, match="malformed `bytes`"):
        pyon.decode(f"[{bytes_of(name)}]")


def test_an_error_behind_what_was_extracted_is_where_it_is() -> None:
    text = f"[{bytes_of(LONG)},?]"
    for source in in_all_forms(text):
        with pytest.raises(json.JSONDecodeError) as caught:
            pyon.decode(source)
        assert caught.value.pos == len(text) - 2
        assert caught.value.doc == text
