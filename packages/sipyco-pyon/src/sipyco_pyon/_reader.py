"""PYON v2 text as values. The built-in tags are in `_rebuild`."""

from __future__ import annotations

from sipyco_pyon._base64_extract import CUT_FROM, Cuts
from sipyco_pyon._bigint import from_decimal
from sipyco_pyon._collisions import Collisions
from sipyco_pyon._compat import beyond_digit_limit, load_errors, make_scanner
from sipyco_pyon._json_c import check_end, encoding_of, scan_after_space, scan_document, to_text
from sipyco_pyon._rebuild import Rebuilder, numpy_codec, untag_short
from sipyco_pyon._registry import TAG, shown

TYPE_CHECKING = False  # importing `typing` costs more than all of this package
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Final

__all__: list[str] = []

_scan_plain: Final = make_scanner(None)
_scan_tagged: Final = make_scanner(untag_short)


def _has_tag(text: str) -> bool:
    """Tell whether a text may have a tag: it may be escaped, too.

    Without one, the scanner needs no help. Single characters are found quickest.
    """
    return ("_" in text and TAG in text) or ("\\" in text and "\\u" in text)


class Context:
    """What stands beside a text while it is read: buffers, and what was cut out of it."""

    def __init__(self, cuts: dict[str, Any], buffers: Sequence[Any] | None) -> None:
        self._cuts = cuts
        self._rebuilder = Rebuilder(Collisions())
        # Those that were taken are None.
        self._buffers: list[Any] = [] if buffers is None else list(buffers)
        # The buffer that was named last, until an array or `bytes` take it: they are the next
        # object that the scanner completes, or the buffer is out of place.
        self._pending: Any = None

    def hook(self, members: dict[str, Any]) -> Any:
        """Give the value that a JSON object stands for."""
        pending = self._pending
        if TAG not in members:
            if pending is not None:
                self.finish()
            return members
        description = members[TAG]
        if type(description) is list and len(description) == 2:
            name, arguments = description
            if type(arguments) is list and arguments:
                data = arguments[-1]
                if pending is not None:
                    if data is pending and (name == "nparray" or name == "bytes"):
                        self._pending = None
                        return _adopt(name, arguments)
                elif name == "tuple":
                    if len(arguments) == 1 and type(data) is list:
                        return tuple(data)
                elif name == "buffer":
                    if len(arguments) == 1 and type(data) is int:
                        buffers = self._buffers
                        if 0 <= data < len(buffers) and buffers[data] is not None:
                            self._pending = memory = buffers[data]
                            buffers[data] = None
                            return memory
                elif self._cuts and type(data) is str and data in self._cuts:
                    return self._cuts.pop(data)
            self.finish()
            if name == "buffer":
                raise ValueError("malformed `buffer`: " + self._refusal(arguments))
        self.finish()
        return self._rebuilder.untag(members)

    def finish(self) -> None:
        """Check that no buffer is left that nothing has taken."""
        if self._pending is not None:
            raise ValueError(
                "malformed `buffer`: it stands for the data of an `nparray` or of `bytes` only"
            )

    def _refusal(self, arguments: Any) -> str:
        """Tell why there is no such buffer."""
        if not self._buffers:
            return "there are no buffers"
        if type(arguments) is not list or len(arguments) != 1 or type(arguments[0]) is not int:
            return "expected the index of a buffer"
        index: int = arguments[0]
        if 0 <= index < len(self._buffers):
            return f"{index} is used twice"
        return f"expected an index below {len(self._buffers)}, got {shown(index):.60}"


def _adopt(name: str, arguments: list[Any]) -> Any:
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
    if buffers or len(source) >= CUT_FROM:
        return _read_long(source, buffers)
    # The way of small requests: calls are what costs here.
    is_text = type(source) is str
    try:
        text = source if is_text else source.decode()
        scan = _scan_plain
        if ("_" in text or "\\" in text) and _has_tag(text):
            scan = _scan_tagged
        try:
            value, end = scan(text, 0)
        except StopIteration as exc:
            value, end = scan_after_space(scan, text, exc.value)
        if end != len(text):
            check_end(text, end)
        return value
    except SystemError:
        if not load_errors():
            raise
        return read(source, buffers)
    except ValueError as exc:
        # Bytes of another encoding, or lone surrogates. The former break off before any object
        # is complete, so no value has been made of a part of them.
        of_utf_8 = is_text or (
            not isinstance(exc, UnicodeDecodeError) and encoding_of(source) == "utf-8"
        )
        if of_utf_8 and not beyond_digit_limit(text):
            raise
    return _read_as_it_is(source, buffers)


def _read_long(source: Any, buffers: Sequence[Any] | None) -> Any:
    cuts = Cuts(source)
    rest = cuts.rest()
    text = ""
    try:
        text = rest if type(rest) is str else to_text(rest)
        if not cuts.values and not buffers:
            if not _has_tag(text):
                return scan_document(_scan_plain, text)
            return scan_document(make_scanner(Rebuilder(Collisions()).untag), text)
        context = Context(cuts.values, buffers)
        value = scan_document(make_scanner(context.hook), text)
        context.finish()
        return value
    except SystemError:
        if not load_errors():
            raise
        return _read_long(source, buffers)
    except ValueError as exc:
        if rest is not source and (text == "" or getattr(exc, "doc", None) == text):
            # Not JSON, or not even text: what is wrong, and where, is told of the whole.
            _explain(source)
        if not beyond_digit_limit(text):
            raise
    return _read_as_it_is(source, buffers)


def _explain(source: Any) -> None:
    """Raise the error of a text that is not JSON, without making anything of it."""
    text = source if isinstance(source, str) else to_text(source)
    scan_document(make_scanner(None, from_decimal), text)


def _read_as_it_is(source: Any, buffers: Sequence[Any] | None) -> Any:
    """Read a text with integers beyond the interpreter's limit, and nothing cut out of it."""
    context = Context({}, buffers)
    text = source if isinstance(source, str) else to_text(source)
    try:
        value = scan_document(make_scanner(context.hook, from_decimal), text)
    except SystemError:
        if not load_errors():
            raise
        return _read_as_it_is(source, buffers)
    context.finish()
    return value


def read_with_options(source: Any, buffers: Sequence[Any] | None, options: dict[str, Any]) -> Any:
    """Read a document with the options of `json.loads`."""
    import json

    text = source if isinstance(source, str) else to_text(source)
    try:
        return _loads(json.loads, text, buffers, options)
    except ValueError:
        if "parse_int" in options or not beyond_digit_limit(text):
            raise
    return _loads(json.loads, text, buffers, {**options, "parse_int": from_decimal})


def _loads(
    loads: Callable[..., Any], text: str, buffers: Sequence[Any] | None, options: dict[str, Any]
) -> Any:
    context = Context({}, buffers)
    # Without a tag in the text, escaped or not, the scanner needs no help.
    if TAG in text or "\\u" in text:
        options = _with_hook(options, context)
    value = loads(text, **options)
    context.finish()
    return value


def _with_hook(options: dict[str, Any], context: Context) -> dict[str, Any]:
    pairs_hook = options.get("object_pairs_hook")
    object_hook = options.get("object_hook")
    if pairs_hook is not None:

        def from_pairs(pairs: list[tuple[str, Any]]) -> Any:
            members = dict(pairs)
            value = context.hook(members)
            return pairs_hook(pairs) if value is members else value

        return {**options, "object_pairs_hook": from_pairs}

    def from_members(members: dict[str, Any]) -> Any:
        value = context.hook(members)
        return object_hook(value) if value is members and object_hook is not None else value

    return {**options, "object_hook": from_members}
