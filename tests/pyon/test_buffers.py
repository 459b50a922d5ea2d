"""Memory beside the text: handed out and taken back without a copy, and never smuggled in."""

from __future__ import annotations

from typing import Any

import pytest

from sipyco_pyon import pyon
from sipyco_pyon._writer import MAX_BUFFERS, SHORT_DATA

LONG = bytes(range(256)) * (SHORT_DATA // 256 + 1)
BYTES_OF_0 = '{"__jsonclass__":["bytes",[{"__jsonclass__":["buffer",[0]]}]]}'
BUFFER_0 = '{"__jsonclass__":["buffer",[0]]}'


def split(value: Any) -> tuple[str, list[memoryview]]:
    buffers: list[memoryview] = []
    return pyon.encode(value, buffer_callback=buffers.append), buffers


def test_long_bytes_are_handed_out() -> None:
    text, buffers = split([LONG, b"short", LONG])
    assert text == (
        f'[{BYTES_OF_0},{{"__jsonclass__":["bytes",["c2hvcnQ="]]}},'
        '{"__jsonclass__":["bytes",[{"__jsonclass__":["buffer",[1]]}]]}]'
    )
    assert [buffer.obj is LONG for buffer in buffers] == [True, True]
    assert pyon.decode(text, buffers=buffers) == [LONG, b"short", LONG]


def test_a_buffer_is_a_line_of_bytes() -> None:
    for buffer in split(LONG)[1]:
        assert (buffer.format, buffer.ndim, buffer.nbytes) == ("B", 1, len(LONG))
        assert buffer.c_contiguous


def test_the_threshold_is_a_length() -> None:
    assert split(bytes(SHORT_DATA - 1))[1] == []
    assert len(split(bytes(SHORT_DATA))[1]) == 1


def test_without_a_callback_all_is_text() -> None:
    assert pyon.encode(b"\0" * 3000) == f'{{"__jsonclass__":["bytes",["{"AAAA" * 1000}"]]}}'


@pytest.mark.parametrize("options", [{"pretty": True}, {"indent": 1}, {"sort_keys": True}])
def test_options_change_the_text_only(options: dict[str, Any]) -> None:
    buffers: list[memoryview] = []
    text = pyon.encode({"a": (LONG,)}, buffer_callback=buffers.append, **options)
    assert len(buffers) == 1
    assert pyon.decode(text, buffers=buffers) == {"a": (LONG,)}
    assert pyon.decode(text, buffers=buffers, parse_float=str) == {"a": (LONG,)}


def test_the_number_of_buffers_is_bounded_and_nothing_is_lost() -> None:
    values = [LONG] * (MAX_BUFFERS + 3)
    text, buffers = split(values)
    assert len(buffers) == MAX_BUFFERS
    assert pyon.decode(text, buffers=buffers) == values
    data = pyon.encode_bytes(values, buffer_callback=lambda buffer: None)
    assert data == text.encode()


def test_bytes_are_made_of_any_memory() -> None:
    memory = bytearray(LONG)
    for buffer in (LONG, memory, memoryview(LONG), memoryview(memory)):
        decoded = pyon.decode(BYTES_OF_0, buffers=[buffer])
        assert type(decoded) is bytes
        assert decoded == LONG
    decoded = pyon.decode(BYTES_OF_0, buffers=(memory,))
    memory[0] = 255
    assert decoded == LONG


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[@]", "stands for the data of"),
        ("@", "stands for the data of"),
        ('{"a":@}', "stands for the data of"),
        ('{"a":@,"a":1}', "stands for the data of"),
        ('[@,{"b":1}]', "stands for the data of"),
        (f"[@,{BYTES_OF_0}]", "stands for the data of"),
        ('{"__jsonclass__":["tuple",[[@]]]}', "stands for the data of"),
        ('{"__jsonclass__":["set",[[@]]]}', "stands for the data of"),
        ('{"__jsonclass__":["npscalar",["<f8",@]]}', "stands for the data of"),
        ('{"__jsonclass__":["nosuch",[@]]}', "stands for the data of"),
        ('{"__jsonclass__":@}', "stands for the data of"),
        ('{"__jsonclass__":["bytes",[[@]]]}', "stands for the data of"),
        ('{"__jsonclass__":["bytes",[@,""]]}', "stands for the data of"),
        ('{"__jsonclass__":["bytes",@]}', "stands for the data of"),
        ('{"__jsonclass__":["nparray",[[4],@,""]]}', "stands for the data of"),
        (f"[{BYTES_OF_0},{BYTES_OF_0}]", "0 is used twice"),
        (BYTES_OF_0.replace("0", "2"), "an index below 2, got 2"),
        (BYTES_OF_0.replace("0", "-1"), "an index below 2, got -1"),
        (BYTES_OF_0.replace("0", "1" * 5000), "an index below 2"),
        (BYTES_OF_0.replace("0", "true"), "expected the index"),
        (BYTES_OF_0.replace("0", "0.0"), "expected the index"),
        (BYTES_OF_0.replace("0", '"0"'), "expected the index"),
        (BYTES_OF_0.replace("0", "null"), "expected the index"),
        (BYTES_OF_0.replace("0", ""), "expected the index"),
        (BYTES_OF_0.replace("0", "0,1"), "expected the index"),
        (BYTES_OF_0.replace("[0]", "0"), "expected the index"),
        (BYTES_OF_0.replace("[0]", "{}"), "expected the index"),
    ],
)
def test_a_buffer_has_its_place(text: str, reason: str) -> None:
    text = text.replace("@", BUFFER_0)
    for options in ({}, {"object_hook": dict}):
        with pytest.raises(ValueError, match=f"malformed `buffer`: .*{reason}"):
            pyon.decode(text, buffers=[b"abcd", b"efgh"], **options)


def test_two_arguments_are_no_bytes() -> None:
    with pytest.raises(ValueError, match="malformed `bytes`"):
        pyon.decode(BYTES_OF_0.replace("[{", '["",{'), buffers=[b"abcd"])


def test_a_registered_type_never_sees_a_buffer() -> None:
    class Holder:
        pass

    seen: list[Any] = []
    pyon.register([Holder], name="Holder", encode=lambda holder: (), decode=seen.append)
    try:
        with pytest.raises(ValueError, match="malformed `buffer`"):
            pyon.decode(BYTES_OF_0.replace("bytes", "Holder"), buffers=[b"abcd"])
    finally:
        pyon.deregister([Holder], "Holder")
    assert seen == []


@pytest.mark.parametrize("buffers", [None, [], ()])
@pytest.mark.parametrize("options", [{}, {"parse_float": str}])
def test_where_there_are_no_buffers_none_can_be_named(
    buffers: Any, options: dict[str, Any]
) -> None:
    for text in (BUFFER_0, BYTES_OF_0):
        with pytest.raises(ValueError, match="malformed `buffer`: there are no buffers"):
            pyon.decode(text, buffers=buffers, **options)


def test_large_integers_beside_buffers() -> None:
    text, buffers = split([10**6000, LONG])
    assert pyon.decode(text, buffers=buffers) == [10**6000, LONG]


def test_memory_for_a_buffer_is_writable() -> None:
    memory = memoryview(pyon.new_buffer(5))
    memory[:] = b"abcde"
    assert (memory.format, memory.nbytes) == ("B", 5)
    assert bytes(memory) == b"abcde"
    assert memoryview(pyon.new_buffer(0)).nbytes == 0
