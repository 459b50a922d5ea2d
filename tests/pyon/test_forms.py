"""The package is Python source, or compiled from it, and is as light as it says."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import sipyco_pyon
from sipyco_pyon import pyon

HEAVY = (
    *("argparse", "ast", "asyncio", "dataclasses", "fractions", "inspect", "json", "logging"),
    *("numpy", "re", "sipyco_pyon.pyon_v1", "socket", "tempfile", "typing", "uuid"),
)


def test_it_says_which_form_runs() -> None:
    assert sipyco_pyon.compiled is not str(pyon.__file__).endswith(".py")
    if os.environ.get("SIPYCO_PYON_COMPILED"):
        assert sipyco_pyon.compiled is True


def test_importing_loads_little() -> None:
    # Neither `site` nor an environment may have loaded these before: `-S`, and `-I` without paths.
    root = os.path.dirname(os.path.dirname(str(sipyco_pyon.__file__)))
    code = (
        f"import sys; sys.path.insert(0, {root!r}); import sipyco_pyon; "
        "sipyco_pyon.decode(sipyco_pyon.encode_bytes({'a': (1, 2.5)})); "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_arrays_do_without_json() -> None:
    pytest.importorskip("numpy")
    code = (
        "import sys, numpy; from sipyco_pyon import pyon; had = 'json' in sys.modules\n"
        "for size in (3, 1000, 100_000):\n"
        "    value, buffers = numpy.arange(size), []\n"
        "    pyon.decode(pyon.encode_bytes(value))\n"
        "    text = pyon.encode_bytes([value], buffer_callback=buffers.append)\n"
        "    pyon.decode(text, buffers=[bytearray(buffer) for buffer in buffers])\n"
        "assert had or 'json' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "text",
    ["[1", "{", '{"a"', '"abc', "[1 2]", "[1]x", "x", "", "[" + "9" * 5000, '"' + "x" * 100_000],
    ids=lambda text: f"{text:.10}",
)
def test_what_is_no_json_is_said_where_json_was_never_loaded(text: str) -> None:
    """The scanner of CPython 3.11 takes the class of its errors from there, or gives none."""
    root = os.path.dirname(os.path.dirname(str(sipyco_pyon.__file__)))
    code = (
        f"import sys; sys.path.insert(0, {root!r}); import sipyco_pyon\n"
        "assert 'json.decoder' not in sys.modules\n"
        "try:\n    sipyco_pyon.decode(sys.stdin.read())\n"
        "except ValueError as exc:\n    print(type(exc).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "JSONDecodeError\n"
