"""What is written in C and may be absent makes nothing but speed: the texts are the same."""

from __future__ import annotations

import subprocess
import sys

import pytest

HIDDEN = """\
import sys

sys.modules["pybase64"] = None  # the extra `fast` is not installed
sys.modules["_json"] = None  # nor does every interpreter have this
from sipyco_pyon import encode_bytes, pyon

"""


def printed(program: str) -> list[str]:
    """Run a program without the helpers; give the lines that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", HIDDEN + program], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_values_are_written_and_read_alike() -> None:
    program = r"""
value = ["\u00e9\n", [1, 2.5, None, True], {"a": 1, "b": [1e300]}, b"\x00\xff", (1,)]
text = pyon.encode(value)
print(text)
print(encode_bytes(value).decode() == text, pyon.decode(text) == value)
print(pyon.encode("\u00e9", ensure_ascii=False) == '"\u00e9"')
print(pyon.decode(" [NaN,-Infinity]\n"))
for wrong in ("", "[1] 2", '{"__jsonclass__":["bytes",["AA"]]}'):
    try:
        pyon.decode(wrong)
    except ValueError as exc:
        print(exc)
"""
    assert printed(program) == [
        (
            r'["\u00e9\n",[1,2.5,null,true],{"a":1,"b":[1e+300]},'
            '{"__jsonclass__":["bytes",["AP8="]]},{"__jsonclass__":["tuple",[[1]]]}]'
        ),
        "True True",
        "True",
        "[nan, -inf]",
        "Expecting value: line 1 column 1 (char 0)",
        "Extra data: line 1 column 5 (char 4)",
        "malformed `bytes`: Incorrect padding",
    ]


def test_long_data_is_written_and_read_alike() -> None:
    program = """\
data = bytes(range(256)) * 400
text = pyon.encode(data)
print(len(text), text[:40], text[-10:])
print(pyon.decode(text) == data)
"""
    assert printed(program) == [
        '136568 {"__jsonclass__":["bytes",["AAECAwQFBgcI 3+/w=="]]}',
        "True",
    ]


def test_arrays_are_written_and_read_alike() -> None:
    pytest.importorskip("numpy")
    program = """\
import numpy as np

text = pyon.encode(np.arange(3, dtype="<u2"))
print(text)
print(pyon.decode(text))
print(pyon.encode(np.float32(1.5)))
"""
    assert printed(program) == [
        '{"__jsonclass__":["nparray",[[3],"<u2","AAABAAIA"]]}',
        "[0 1 2]",
        '{"__jsonclass__":["npscalar",["<f4","AADAPw=="]]}',
    ]
