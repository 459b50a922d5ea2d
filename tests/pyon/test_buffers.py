"""Memory beside the text: handed out and taken back without a copy, and never smuggled in."""

from __future__ import annotations

import mmap
import subprocess
import sys
from typing import Any

import pytest

from sipyco_pyon import pyon
from sipyco_pyon._pieces import SHORT_DATA
from sipyco_pyon.limits import MAX_BUFFERS
from support.environment import as_installed

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


@pytest.fixture
def without_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)


@pytest.mark.usefixtures("without_numpy")
def test_long_memory_for_a_buffer_is_mapped_where_there_is_no_numpy() -> None:
    assert type(pyon.new_buffer(0)) is bytearray
    assert type(pyon.new_buffer(2**20 - 1)) is bytearray
    mapped = pyon.new_buffer(2**20)
    assert type(mapped) is mmap.mmap
    memory = memoryview(mapped)
    assert (memory.format, memory.nbytes, memory.ndim) == ("B", 2**20, 1)
    assert not memory.readonly
    memory[-3:] = b"end"
    text = '{"__jsonclass__":["bytes",[{"__jsonclass__":["buffer",[0]]}]]}'
    value = pyon.decode(text, buffers=[mapped])
    assert type(value) is bytes
    assert value == bytes(2**20 - 3) + b"end"
    del memory
    mapped.close()
    assert value[-3:] == b"end"


@pytest.mark.usefixtures("without_numpy")
def test_where_no_memory_can_be_mapped_it_is_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(12, "too many")

    monkeypatch.setattr(mmap, "mmap", refuse)
    memory = pyon.new_buffer(2**20)
    assert type(memory) is bytearray
    assert len(memory) == 2**20


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
def test_memory_for_a_buffer_is_not_shared_with_a_child_process() -> None:
    program = """
import os, sys
sys.modules["numpy"] = None
from sipyco_pyon import pyon
memory = pyon.new_buffer(2**20)
memory[:1] = b"p"
child = os.fork()
if not child:
    memory[:1] = b"c"
    os._exit(0)
status = os.waitpid(child, 0)[1]
print(type(memory).__name__, status, memory[:1])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30
    )
    assert (done.stdout, done.stderr) == ("mmap 0 b'p'\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="measured by /proc")
@pytest.mark.parametrize("blocked", [True, False], ids=["without NumPy", "with NumPy"])
def test_who_announces_much_and_sends_little_takes_little(blocked: bool) -> None:
    """As the system counts it, which knows pages that nobody has written to."""
    program = f"""
import sys
if {blocked}:
    sys.modules["numpy"] = None
else:
    try:
        import numpy
    except ImportError:
        pass  # then it is as if it were blocked
from pathlib import Path
from sipyco_pyon import pyon
def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
before = resident()
buffers = [pyon.new_buffer(2**27) for _ in range(8)]
for buffer in buffers:
    memoryview(buffer)[:3] = b"abc"
print(resident() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=as_installed(),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stderr == ""
    assert 0 <= int(done.stdout) < 32 * 1024, "KiB, of a gigabyte that was announced"
