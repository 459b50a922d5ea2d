"""The reader of PYON v2: text as values. The built-in tags are in `_tag_decoder`."""

from __future__ import annotations

from sipyco_pyon._base64_extract import EXTRACT_FROM, extract_base64
from sipyco_pyon._bigint import from_decimal
from sipyco_pyon._compat import beyond_digit_limit, load_errors, make_scanner
from sipyco_pyon._hash_flooding import HashFloodingGuard
from sipyco_pyon._registry import TAG, safe_repr
from sipyco_pyon._tag_decoder import TagDecoder, decode_short_tag, numpy_codec

TYPE_CHECKING = False  # importing `typing` costs more than all of this package
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Final

_SPACE: Final = " \t\n\r"

_scan_plain: Final = make_scanner(None)
_scan_short: Final = make_scanner(decode_short_tag)


class _BufferTagDecoder(TagDecoder):
    """Gives the values of tags whose data may be beside the text: buffers, extracted base64."""

    def __init__(self, extracted: dict[str, Any], buffers: Sequence[Any] | None) -> None:
        super().__init__(HashFloodingGuard())
        self._extracted = extracted
        # Those that were taken are None.
        self._buffers: list[Any] = [] if buffers is None else list(buffers)
        # The buffer that was named last, until an array or `bytes` take it: they are the next
        # object that the scanner completes, or the buffer is out of place.
        self._pending: Any = None

    def decode_tag(self, members: dict[str, Any]) -> Any:
        pending = self._pending
        if pending is None and TAG not in members:
            return members
        description = members.get(TAG)
        if type(description) is list and len(description) == 2:
            name, arguments = description
            if type(arguments) is list and arguments:
                data = arguments[-1]
                if pending is not None:
                    if data is pending and (name == "nparray" or name == "bytes"):
                        self._pending = None
                        return _take_buffer(name, arguments)
                elif type(data) is str and data in self._extracted:
                    return self._extracted.pop(data)
            if pending is not None:
                self.finish()
            if name == "buffer":
                self._pending = memory = self._buffer(arguments)
                return memory
        elif pending is not None:
            self.finish()
        return TagDecoder.decode_tag(self, members)

    def finish(self) -> None:
        if self._pending is not None:
            raise ValueError(
                "malformed `buffer`: it stands for the data of an `nparray` or of `bytes` only"
            )

    def _buffer(self, arguments: Any) -> Any:
        """Give the buffer that a tag stands for."""
        buffers = self._buffers
        if not buffers:
            refusal = "there are no buffers"
        elif type(arguments) is not list or len(arguments) != 1 or type(arguments[0]) is not int:
            refusal = "expected the index of a buffer"
        elif not 0 <= arguments[0] < len(buffers):
            got = safe_repr(arguments[0])
            refusal = f"expected an index below {len(buffers)}, got {got:.60}"
        else:
            index: int = arguments[0]
            memory, buffers[index] = buffers[index], None
            if memory is not None:
                return memory
            refusal = f"{index} is used twice"
        raise ValueError(f"malformed `buffer`: {refusal}")


def _take_buffer(name: str, arguments: list[Any]) -> Any:
    """Make a value of a buffer, the last argument."""
    try:
        if name == "nparray":
            shape, description, memory = arguments
            return numpy_codec().array_from_buffer(shape, description, memory)
        (memory,) = arguments
        return bytes(memoryview(memory))
    except (ImportError, RecursionError):
        raise
    except Exception as exc:
        raise ValueError(f"malformed `{name}`: {exc}") from exc


def read(source: Any, buffers: Sequence[Any] | None) -> Any:
    """Read a document: see `pyon.decode`."""
    if buffers or len(source) >= EXTRACT_FROM:
        return _read_long(source, buffers)
    # The way of small requests: calls are what costs here.
    text = ""
    try:
        text = source if type(source) is str else source.decode()
        scan = _scan_short if _may_have_tag(text) else _scan_plain
        value, end = scan(text, 0)
        if end != len(text) and text[end:].strip(_SPACE):
            raise StopIteration(end)
        return value
    except (StopIteration, SystemError, ValueError) as exc:
        options = _options_after(exc, source, text, False)
    return read_with_options(source, buffers, options)


def _read_long(source: Any, buffers: Sequence[Any] | None) -> Any:
    """Read a document that is long, or has buffers."""
    rest = source
    extracted: dict[str, Any] = {}
    if len(source) >= EXTRACT_FROM:
        rest, extracted = extract_base64(source)
    text = ""
    try:
        text = rest if type(rest) is str else rest.decode()
        decoder = TagDecoder(HashFloodingGuard())
        if extracted or buffers:
            decoder = _BufferTagDecoder(extracted, buffers)
        scan = make_scanner(decoder.decode_tag) if _may_have_tag(text) else _scan_plain
        value, end = scan(text, 0)
        if end != len(text) and text[end:].strip(_SPACE):
            raise StopIteration(end)
        decoder.finish()
        return value
    except (StopIteration, SystemError, ValueError) as exc:
        options = _options_after(exc, source, text, rest is not source)
    return read_with_options(source, buffers, options)


def _may_have_tag(text: str) -> bool:
    """Tell whether a text may have a tag, which may be escaped, too.

    Without one, the scanner needs no help. Single characters are found quickest.
    """
    return ("_" in text and TAG in text) or ("\\" in text and "\\u" in text)


def _options_after(error: Exception, source: Any, text: str, extracted: bool) -> dict[str, Any]:
    """Give the options by which `json.loads` reads what our own use of its parts did not.

    Args:
        error: what has happened.
        source: the document.
        text: of the document, or what is left of it; empty if it is not UTF-8.
        extracted: whether it is what is left.

    Raises:
        Exception: the error, or that of `json.loads`, if the document is malformed.
    """
    if isinstance(error, SystemError):
        if load_errors():
            return {}
        raise error
    # Of bytes in another encoding, or with lone surrogates, no value has been made yet: the former
    # break off before any object is complete.
    if type(source) is not str and (
        isinstance(error, UnicodeDecodeError) or _encoding_of(source) != "utf-8"
    ):
        return {}
    not_json = getattr(error, "doc", None) == text
    if isinstance(error, StopIteration) or (not_json and extracted):
        # Not JSON, unless it begins with space. What is wrong, and where, is told of the whole,
        # without making anything of it.
        import json

        json.loads(_to_text(source), parse_int=from_decimal)
        return {}
    if not_json or not beyond_digit_limit(text):
        raise error
    return {"parse_int": from_decimal}


def _encoding_of(source: bytes | bytearray) -> str:
    """Tell the encoding of bytes that hold JSON by the first of them."""
    first = source[:4]
    if len(first) == 4 and first.isascii() and 0 not in first:
        return "utf-8"  # as nearly always; there may be no descriptor left to load `json` with
    from json import detect_encoding

    return detect_encoding(source)


def _to_text(source: Any) -> str:
    """Decode a document, as `json.loads` does."""
    if isinstance(source, str):
        return source
    text: str = source.decode(_encoding_of(source), "surrogatepass")
    return text


def read_with_options(source: Any, buffers: Sequence[Any] | None, options: dict[str, Any]) -> Any:
    """Read a document with the options of `json.loads`."""
    import json

    text = _to_text(source)
    try:
        return _loads(json.loads, text, buffers, options)
    except ValueError as exc:
        not_json = getattr(exc, "doc", None) == text
        if not_json or "parse_int" in options or not beyond_digit_limit(text):
            raise
    return _loads(json.loads, text, buffers, {**options, "parse_int": from_decimal})


def _loads(
    loads: Callable[..., Any], text: str, buffers: Sequence[Any] | None, options: dict[str, Any]
) -> Any:
    decoder = _BufferTagDecoder({}, buffers)
    value = loads(text, **(_with_hook(options, decoder) if _may_have_tag(text) else options))
    decoder.finish()
    return value


def _with_hook(options: dict[str, Any], decoder: TagDecoder) -> dict[str, Any]:
    pairs_hook = options.get("object_pairs_hook")  # of the two, it comes first
    object_hook = options.get("object_hook")

    def from_pairs(pairs: list[tuple[str, Any]]) -> Any:
        members = dict(pairs)
        value = decoder.decode_tag(members)
        if value is members and pairs_hook is not None:
            return pairs_hook(pairs)
        return object_hook(value) if value is members and object_hook is not None else value

    return {**options, "object_pairs_hook": from_pairs}
