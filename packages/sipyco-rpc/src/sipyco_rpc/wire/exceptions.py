"""Exceptions as plain dictionaries, and back. No sockets here.

A peer can name nothing but a built-in exception class: whatever else it says becomes a
`GenericRemoteException`.
"""

from __future__ import annotations

import builtins
import sys

from sipyco_pyon import pyon
from sipyco_rpc.limits import MAX_EXCEPTION_ARGUMENTS, MAX_KEY_SHOWN, MAX_SYNTAX_OFFSET
from sipyco_rpc.support import lost
from sipyco_rpc.support.quoting import safe_str, short_repr
from sipyco_rpc.wire import exception_chains as chains

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final, NoReturn

__all__ = [
    "GenericRemoteException",
    "current_exc_packed",
    "pack_exception",
    "raise_packed_exc",
    "unpack_exception",
]


class GenericRemoteException(Exception):
    """An exception of the remote side of a class that does not exist here.

    Its text is what Python would print as the last line of the remote traceback.
    """


# The address that peers read, and that pickles hold: it lasts when this file moves.
GenericRemoteException.__module__ = "sipyco_rpc.packed_exceptions"

_CLASSES: Final = {
    name: value
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}


def pack_exception(exc: BaseException) -> dict[str, Any]:
    """Describe an exception so that it can be sent.

    Returns:
        A dictionary with the keys `class`, `message` and `traceback` (list of `str`), and
        `args` where the arguments of the exception can be encoded. There may be `notes` (list of
        `str`), `cause` or `context` (such a dictionary), and `exceptions`, the members of a group
        (a list of them); of long chains and large groups some are left out.
    """
    return _pack(exc, chains.Budget(), 0)


def _pack(exc: BaseException, budget: chains.Budget, levels: int) -> dict[str, Any]:
    budget.seen.add(id(exc))
    packed = _pack_alone(exc, levels)
    notes = chains.texts(getattr(exc, "__notes__", None))
    found = chains.origin_of(exc)
    if found is not None and id(found[1]) not in budget.seen and budget.take(levels):
        packed[found[0]] = _pack(found[1], budget, levels + 1)
    if isinstance(exc, BaseExceptionGroup):
        members = exc.exceptions
        packed["exceptions"] = [
            _pack(member, budget, levels + 1) for member in members if budget.take(levels)
        ]
        missing = len(members) - len(packed["exceptions"])
        if missing:
            notes.append(chains.left_out(missing))
    if notes:
        packed["notes"] = notes
    return packed


def _pack_alone(exc: BaseException, levels: int) -> dict[str, Any]:
    import traceback  # only what serves needs it

    cls = type(exc)
    if cls is lost.ConnectionLost:
        cls = lost.PACKED_AS
    message = safe_str(exc)
    packed: dict[str, Any] = {}
    if _CLASSES.get(cls.__name__) is cls:
        packed["class"] = cls.__name__
        arguments = exc.args
        if isinstance(exc, BaseExceptionGroup):
            arguments = (exc.message,)
        elif isinstance(exc, OSError) and exc.filename is not None:
            arguments = (exc.errno, exc.strerror, exc.filename)
            if exc.filename2 is not None:
                arguments = (*arguments, None, exc.filename2)
        try:
            size = len(pyon.encode(arguments))
        except Exception:  # noqa: BLE001  (any failure means that they cannot be sent)
            pass
        else:
            if not levels or size <= MAX_EXCEPTION_ARGUMENTS:
                packed["args"] = arguments
    else:
        packed["class"] = GenericRemoteException.__name__
        if cls is not GenericRemoteException:
            module = "" if cls.__module__ in ("builtins", "__main__") else f"{cls.__module__}."
            name = f"{module}{cls.__qualname__}"
            message = f"{name}: {message}" if message else name
    packed["message"] = message
    packed["traceback"] = traceback.format_tb(exc.__traceback__)
    return packed


def without_arguments(pack: Mapping[str, Any]) -> dict[str, Any]:
    """Give a description without the arguments, of whatever exception in it."""
    packed: dict[str, Any] = {}
    for key, value in pack.items():
        if key in ("cause", "context"):
            packed[key] = without_arguments(value)
        elif key == "exceptions":
            packed[key] = [without_arguments(member) for member in value]
        elif key != "args":
            packed[key] = value
    return packed


def current_exc_packed() -> dict[str, Any]:
    """Describe the exception that is being handled; see `pack_exception`."""
    exc = sys.exception()
    if exc is None:
        raise RuntimeError("no exception is being handled")
    return pack_exception(exc)


class _Verbatim(str):
    """A text that is its own `repr`, for `KeyError`, which shows the `repr` of its argument."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _key_of(message: str) -> object:
    """Find the key that a `KeyError` was about in its text."""
    if len(message) > MAX_KEY_SHOWN:
        return _Verbatim(message)
    try:
        import ast  # takes long to load, and is rarely needed

        key: object = ast.literal_eval(message)
        return key
    except (ValueError, SyntaxError, MemoryError, RecursionError, OSError, ImportError):
        return _Verbatim(message)  # of the last two: no descriptor is left to load `ast` with


def _is_syntax_location(details: Any) -> bool:
    """Tell whether this is the place of a syntax error: file, line, offset, text, and end."""
    if not isinstance(details, (tuple, list)) or len(details) not in (4, 6):
        return False
    texts, numbers = details[0:4:3], [*details[1:3], *details[4:]]
    return all(text is None or type(text) is str for text in texts) and all(
        number is None or (type(number) is int and 0 <= number <= MAX_SYNTAX_OFFSET)
        for number in numbers
    )


def _is_sound(cls: type[Exception], arguments: Any) -> bool:
    """Tell whether the arguments of an exception may be trusted by its `str` and by `traceback`.

    Unicode errors index the text that they are about without looking, and a position outside of it
    crashes the interpreter (CPython issue 123378). A place in a source that is none makes
    `traceback` raise an error of its own when it is to show a syntax error.
    """
    if issubclass(cls, SyntaxError):
        return len(arguments) < 2 or (len(arguments) == 2 and _is_syntax_location(arguments[1]))
    if not issubclass(cls, UnicodeError) or cls is UnicodeError:
        return True
    if cls is UnicodeTranslateError:
        arguments = (None, *arguments)
    if len(arguments) != 5:
        return False
    _, content, start, end, _ = arguments
    kind = bytes if cls is UnicodeDecodeError else str
    return (
        type(content) is kind
        and type(start) is int
        and type(end) is int
        and 0 <= start <= end <= len(content)
        and start < len(content)
    )


def _build(cls: type[Exception], message: str, arguments: Any) -> Exception:
    """Make an exception whose text is the message, of the class or its nearest possible base."""
    if isinstance(arguments, (tuple, list)) and _is_sound(cls, arguments):
        exc = _try_to_build(cls, message, arguments)
        if type(exc) is cls:
            return exc
    arguments = (message,) if message else ()
    for base in cls.__mro__[: cls.__mro__.index(Exception)]:
        key = base is KeyError and message
        exc = _try_to_build(base, message, (_key_of(message),) if key else arguments)
        if exc is not None:
            return exc
    return Exception(*arguments)


def _try_to_build(cls: type[Exception], message: str, arguments: Any) -> Exception | None:
    """Make an exception of its arguments, if it can be made so and its text is the message."""
    try:
        exc = cls(*arguments)
        return exc if str(exc) == message else None
    except Exception:  # noqa: BLE001  (its constructor wants something else)
        return None


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else short_repr(value)


def unpack_exception(pack: Mapping[str, Any] | str) -> Exception:
    """Make an exception from its description. Never raises, whatever the description.

    Args:
        pack: as `pack_exception` gives it. Small servers send less, or nothing but a text.

    Returns:
        The exception, with its notes, its cause, and the members of a group. The remote
        traceback is in `parent_traceback`, with those of causes and members; its own part is the
        last note as well.
    """
    if isinstance(pack, str):
        pack = {"message": pack}
    return _unpack(pack, chains.Budget(), 0)


def _unpack(pack: Mapping[str, Any], budget: chains.Budget, levels: int) -> Exception:
    before, lines = chains.origin_lines(pack, budget), chains.lines_of(pack)
    after = chains.member_lines(pack, budget)
    exc = _unpack_group(pack, budget, levels) or _unpack_alone(pack)
    for note in chains.texts(pack.get("notes")):
        exc.add_note(note)
    exc.parent_traceback = [*before, *lines, *after]  # type: ignore[attr-defined]
    found = chains.described_origin(pack)
    if found is not None and found[0] == "cause" and budget.take(levels):
        # Python shows it. It would show a context, too, but for the one that it has here.
        exc.__cause__ = _unpack(found[1], budget, levels + 1)
        before = []
    if before or lines:
        exc.add_note("Remote traceback:\n" + "".join([*before, *lines]).rstrip())
    return exc


def _unpack_group(
    pack: Mapping[str, Any], budget: chains.Budget, levels: int
) -> ExceptionGroup[Exception] | None:
    """Make a group of its description, if it is that of one."""
    if pack.get("class") not in ("ExceptionGroup", "BaseExceptionGroup"):
        return None
    described = chains.described_members(pack)
    members = [_unpack(member, budget, levels + 1) for member in described if budget.take(levels)]
    if not members:
        return None
    arguments, message = pack.get("args"), pack.get("message")
    if isinstance(arguments, (tuple, list)) and len(arguments) == 1:
        message = arguments[0]
    group = ExceptionGroup(_as_text(message), members)
    missing = len(described) - len(members)
    if missing:
        group.add_note(chains.left_out(missing))
    return group


def _unpack_alone(pack: Mapping[str, Any]) -> Exception:
    """Make an exception of its description, without what belongs to it."""
    name, message = pack.get("class"), pack.get("message", "")
    if not name and not message:
        return GenericRemoteException(f"without a class and a message: {short_repr(pack)}")
    message = _as_text(message)
    cls = _CLASSES.get(name) if isinstance(name, str) else None
    if cls is not None and issubclass(cls, Exception):
        return _build(cls, message, pack.get("args"))
    if name is None or name == GenericRemoteException.__name__:
        return GenericRemoteException(message)
    # KeyboardInterrupt and the like end programs: not on a peer's word.
    name = _as_text(name)
    return GenericRemoteException(f"{name}: {message}" if message else name)


def raise_packed_exc(pack: Mapping[str, Any] | str) -> NoReturn:
    """Raise an exception from its description; see `unpack_exception`."""
    raise unpack_exception(pack)
