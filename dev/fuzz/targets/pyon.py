"""`pyon.decode`: any text, with buffers and without, with the standard types and without."""

from __future__ import annotations

from typing import Any, Final

from dev.fuzz.compare import canonical, outcome
from dev.fuzz.standard_types import standard_types
from sipyco_pyon import pyon
from sipyco_pyon._registry import STANDARD_TAGS

_TAGS: Final = [tag.encode() for tag in STANDARD_TAGS]

__all__ = ["one_input"]


def one_input(data: bytes) -> None:
    """Read a text; what comes behind a byte 0xFF that ends it is a buffer each."""
    _read(data)
    if any(tag in data for tag in _TAGS):
        with standard_types():
            _read(data)


def _read(data: bytes) -> None:
    text, *buffers = data.split(b"\xff")
    if buffers:
        _with_buffers(text, buffers)
    else:
        _without_buffers(text)


def _without_buffers(text: bytes) -> None:
    kind, value = outcome(pyon.decode, text)
    # However it is handed over, and by `json.loads` as by our own use of its parts.
    assert outcome(pyon.decode, bytearray(text)) == (kind, value)
    assert outcome(pyon.decode, memoryview(text)) == (kind, value)
    _check_like(text, (kind, value), outcome(pyon.decode, text, strict=True))
    try:
        as_text = text.decode()
    except UnicodeDecodeError:
        pass
    else:
        if not as_text.startswith("\ufeff") and "\0" not in as_text:
            _check_like(text, (kind, value), outcome(pyon.decode, as_text))
    if kind == "value":
        _round_trip(pyon.decode(text))


def _check_like(text: bytes, one: tuple[str, Any], other: tuple[str, Any]) -> None:
    """Check that two ways to read a text agree.

    Where two things are wrong with it they may tell of either.
    """
    assert one[0] == other[0] or "RecursionError" in (one[1], other[1]), (text, one, other)
    if one[0] == "value" and RecursionError not in (one[1], other[1]):
        assert one == other, (text, one, other)


def _round_trip(value: Any) -> None:
    """Check that what was read can be written, and is then read as the same."""
    try:
        text = pyon.encode(value)
        expected = canonical(value)
        assert pyon.encode_bytes(value) == text.encode("ascii")
        buffers: list[memoryview] = []
        short = pyon.encode(value, buffer_callback=buffers.append)
    except RecursionError:
        return  # writing may give up earlier than reading
    except AssertionError as exc:
        if "__jsonclass__" in str(exc):
            return  # a tagged dictionary may have this key, one that is written must not
        raise
    except TypeError as exc:
        if "longdouble" in str(exc) or "clongdouble" in str(exc):
            return  # a scalar that cannot be written: it differs from machine to machine
        raise
    assert canonical(pyon.decode(text)) == expected
    copies = [bytearray(buffer) for buffer in buffers]
    assert canonical(pyon.decode(short, buffers=copies)) == expected


def _with_buffers(text: bytes, buffers: list[bytes]) -> None:
    kind, value = outcome(pyon.decode, text, buffers=[bytearray(b) for b in buffers])
    assert outcome(pyon.decode, text, buffers=buffers) == (kind, value)
    options = outcome(pyon.decode, text, buffers=buffers, strict=True)
    _check_like(text, (kind, value), options)
    if kind == "value":
        _round_trip(pyon.decode(text, buffers=buffers))
