"""Exceptions as plain dictionaries, and back. No sockets here.

A peer can name nothing but a built-in exception class: whatever else it says becomes a
`GenericRemoteException`.
"""

from __future__ import annotations

import builtins
import sys

from sipyco_pyon import pyon
from sipyco_rpc.support.quoting import safe_str, short_repr
from sipyco_rpc.support.set_module import set_module
from sipyco_rpc.wire.exception_chains import (
    MAX_ARGUMENTS,
    Room,
    add_notes,
    described_members,
    described_origin,
    left_out,
    lines_of,
    member_lines,
    members_of,
    notes_of,
    origin_lines,
    origin_of,
)

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


@set_module("sipyco_rpc.packed_exceptions")
class GenericRemoteException(Exception):
    """An exception of the remote side of a class that does not exist here.

    Its text is what Python would print as the last line of the remote traceback.
    """


_CLASSES: Final = {
    name: value
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}


_SHORT: Final = frozenset({bool, float, int, type(None)})  # values that can be shown whole


def pack_exception(exc: BaseException) -> dict[str, Any]:
    """Describe an exception so that it can be sent.

    Returns:
        A dictionary with the keys `class`, `message` and `traceback` (list of `str`), and
        `args` where the arguments of the exception can be encoded. There may be `notes` (list of
        `str`), `cause` or `context` (such a dictionary), and `exceptions`, the members of a group
        (a list of them); of long chains and large groups some are left out.
    """
    return _pack(exc, Room(), 0)


def _pack(exc: BaseException, room: Room, levels: int) -> dict[str, Any]:
    room.seen.add(id(exc))
    packed = _pack_alone(exc, levels)
    notes = notes_of(exc)
    found = origin_of(exc)
    if found is not None and id(found[1]) not in room.seen and room.take(levels):
        packed[found[0]] = _pack(found[1], room, levels + 1)
    members = members_of(exc)
    if members:
        packed["exceptions"] = [
            _pack(member, room, levels + 1) for member in members if room.take(levels)
        ]
        missing = len(members) - len(packed["exceptions"])
        if missing:
            notes.append(left_out(missing))
    if notes:
        packed["notes"] = notes
    return packed


def _pack_alone(exc: BaseException, levels: int) -> dict[str, Any]:
    import traceback  # only what serves needs it

    cls = type(exc)
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
            if not levels or size <= MAX_ARGUMENTS:
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


_MAX_PLACE: Final = 10**6  # of a syntax error; `traceback` may mark as many characters

# Characters of a key that is shown: to parse it takes up to 550 times of the memory.
_MAX_KEY: Final = 64 * 1024


class _Verbatim(str):
    """A text that is its own `repr`, for `KeyError`, which shows the `repr` of its argument."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _key_of(message: str) -> object:
    """Find the key that a `KeyError` was about in its text."""
    if len(message) > _MAX_KEY:
        return _Verbatim(message)
    try:
        import ast  # takes long to load, and is rarely needed

        key: object = ast.literal_eval(message)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return _Verbatim(message)
    except (OSError, ImportError):
        return _Verbatim(message)  # no descriptor is left to load it with
    return key


def _is_syntax_location(details: Any) -> bool:
    """Tell whether this is the place of a syntax error: file, line, offset, text, and end."""
    if not isinstance(details, (tuple, list)) or len(details) not in (4, 6):
        return False
    for index, detail in enumerate(details):
        if detail is None:
            continue
        if index in (0, 3):
            if type(detail) is not str:
                return False
        elif type(detail) is not int or not 0 <= detail <= _MAX_PLACE:
            return False
    return True


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
        try:
            exc = cls(*arguments)
            if type(exc) is cls and str(exc) == message:
                return exc
        except Exception:  # noqa: BLE001  (a peer's arguments may be anything)
            pass
    for base in cls.__mro__:
        if not issubclass(base, Exception):
            break
        try:
            arguments = () if not message else (message,)
            if base is KeyError and message:
                arguments = (_key_of(message),)
            exc = base(*arguments)
            if str(exc) == message:
                return exc
        except Exception:  # noqa: BLE001, S112  (its constructor wants something else)
            continue
    return Exception(message)


def _as_text(value: Any) -> str:
    """Show what should be a text: of what else it is nothing whose `repr` may be long."""
    if isinstance(value, str):
        return value
    return pyon.shown(value) if type(value) in _SHORT else f"<{type(value).__name__}>"


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
    return _unpack(pack, Room(), 0)


def _unpack(pack: Mapping[str, Any], room: Room, levels: int) -> Exception:
    before, lines, after = origin_lines(pack, room), lines_of(pack), member_lines(pack, room)
    exc = _unpack_group(pack, room, levels) or _unpack_alone(pack)
    add_notes(exc, pack)
    exc.parent_traceback = [*before, *lines, *after]  # type: ignore[attr-defined]
    found = described_origin(pack)
    if found is not None and found[0] == "cause" and room.take(levels):
        # Python shows it. It would show a context, too, but for the one that it has here.
        exc.__cause__ = _unpack(found[1], room, levels + 1)
        before = []
    if before or lines:
        exc.add_note("Remote traceback:\n" + "".join([*before, *lines]).rstrip())
    return exc


def _unpack_group(
    pack: Mapping[str, Any], room: Room, levels: int
) -> ExceptionGroup[Exception] | None:
    """Make a group of its description, if it is that of one."""
    if pack.get("class") not in ("ExceptionGroup", "BaseExceptionGroup"):
        return None
    described = described_members(pack)
    members = [_unpack(member, room, levels + 1) for member in described if room.take(levels)]
    if not members:
        return None
    arguments, message = pack.get("args"), pack.get("message")
    if isinstance(arguments, (tuple, list)) and len(arguments) == 1:
        message = arguments[0]
    group = ExceptionGroup(_as_text(message), members)
    missing = len(described) - len(members)
    if missing:
        group.add_note(left_out(missing))
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
