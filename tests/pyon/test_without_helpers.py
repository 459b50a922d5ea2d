"""What is written in C and may be absent, or other than it is known, makes nothing but speed."""

from __future__ import annotations

import subprocess
import sys

import pytest

ABSENT = 'sys.modules["_json"] = None'

# A private module of an interpreter to come, beside a `json` that knows it.
STRANGE = """\
import json
import types

sys.modules["_json"] = strange = types.ModuleType("_json")
"""

INTERPRETERS = {
    "absent": ABSENT,
    "empty": STRANGE,
    "refusing": STRANGE
    + """
def refuse(*args, **kwargs):
    raise TypeError("expected other arguments")

strange.make_scanner = strange.make_encoder = refuse
strange.encode_basestring_ascii = strange.encode_basestring = refuse
""",
    "asking": STRANGE
    + """
strange.make_scanner = lambda options: json.JSONDecoder(parse_none=options.parse_none).scan_once
strange.make_encoder = lambda *, markers, default, encoder: None
strange.encode_basestring_ascii = lambda text, quote: text
strange.encode_basestring = lambda text, quote: text
""",
    "wrong": STRANGE
    + """
strange.make_scanner = lambda options: json.JSONDecoder(parse_int=float).scan_once
strange.make_encoder = lambda *args: lambda value, level: (json.dumps(value),)
strange.encode_basestring_ascii = strange.encode_basestring = lambda text: f'"{text}"'
""",
    "wrong in parts": STRANGE
    + """
def make_scanner(options):
    def scan(text, position):
        value, end = json.JSONDecoder(object_hook=options.object_hook).scan_once(text, position)
        return value, end + 1
    return scan

strange.make_scanner = make_scanner
strange.make_encoder = lambda *args: lambda value, level: [json.dumps(value, allow_nan=False)]
strange.encode_basestring_ascii = json.JSONEncoder(ensure_ascii=False).encode
strange.encode_basestring = json.JSONEncoder().encode
""",
}
every_interpreter = pytest.mark.parametrize(
    "interpreter", INTERPRETERS.values(), ids=INTERPRETERS.keys()
)


def printed(interpreter: str, program: str) -> list[str]:
    """Run a program without the helpers; give the lines that it prints."""
    hidden = f"""\
import sys

sys.modules["pybase64"] = None  # the extra `fast` is not installed
{interpreter}
from sipyco_pyon import encode_bytes, pyon
"""
    done = subprocess.run(
        [sys.executable, "-c", hidden + program], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


@every_interpreter
def test_values_are_written_and_read_alike(interpreter: str) -> None:
    program = r"""
value = ["\u00e9\n", [1, 2.5, None, True], {"a": 1, "b": [1e300]}, b"\x00\xff", (1,)]
text = pyon.encode(value)
print(text)
print(encode_bytes(value).decode() == text, pyon.decode(text) == value)
print(pyon.encode("\u00e9", ensure_ascii=False) == '"\u00e9"')
print(pyon.decode(" [NaN,-Infinity]\n"))
print(pyon.decode("[" + "1" * 5000 + ']') == [(10**5000 - 1) // 9], pyon.encode(10**5000)[:9])
for wrong in ("", "  ", " [nul]", "[1] 2", "\ufeff1", '["a', '{"__jsonclass__":["bytes",["AA"]]}'):
    try:
        pyon.decode(wrong)
    except ValueError as exc:
        print(exc)
"""
    assert printed(interpreter, program) == [
        (
            r'["\u00e9\n",[1,2.5,null,true],{"a":1,"b":[1e+300]},'
            '{"__jsonclass__":["bytes",["AP8="]]},{"__jsonclass__":["tuple",[[1]]]}]'
        ),
        "True True",
        "True",
        "[nan, -inf]",
        "True 100000000",
        "Expecting value: line 1 column 1 (char 0)",
        "Expecting value: line 1 column 3 (char 2)",
        "Expecting value: line 1 column 3 (char 2)",
        "Extra data: line 1 column 5 (char 4)",
        "Unexpected UTF-8 BOM (decode using utf-8-sig): line 1 column 1 (char 0)",
        "Unterminated string starting at: line 1 column 2 (char 1)",
        "malformed `bytes`: Incorrect padding",
    ]


@every_interpreter
def test_long_data_is_written_and_read_alike(interpreter: str) -> None:
    program = """\
data = bytes(range(256)) * 400
text = pyon.encode(data)
print(len(text), text[:40], text[-10:])
print(pyon.decode(text) == data)
"""
    assert printed(interpreter, program) == [
        '136568 {"__jsonclass__":["bytes",["AAECAwQFBgcI 3+/w=="]]}',
        "True",
    ]


@every_interpreter
def test_arrays_are_written_and_read_alike(interpreter: str) -> None:
    pytest.importorskip("numpy")
    program = """\
import numpy as np

text = pyon.encode(np.arange(3, dtype="<u2"))
print(text)
print(pyon.decode(text))
print(pyon.encode(np.float32(1.5)))
"""
    assert printed(interpreter, program) == [
        '{"__jsonclass__":["nparray",[[3],"<u2","AAABAAIA"]]}',
        "[0 1 2]",
        '{"__jsonclass__":["npscalar",["<f4","AADAPw=="]]}',
    ]
