"""Exceptions as plain dictionaries, and back. No sockets here.

A peer can name nothing but a built-in exception class, or one that was registered here: whatever
else it says becomes a `GenericRemoteException`.
"""

from __future__ import annotations

import sys

from sipyco_pyon import pyon
from sipyco_rpc.limits import MAX_EXCEPTION_ARGUMENTS
from sipyco_rpc.support import lost
from sipyco_rpc.support.quoting import safe_str, short_message, short_repr
from sipyco_rpc.wire import exception_chains as chains
from sipyco_rpc.wire import exception_classes as classes
from sipyco_rpc.wire.exception_classes import (
    BUILT_IN,
    deregister_exception,
    register_exception,
)

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, NoReturn

__all__ = [
    "GenericRemoteException",
    "current_exc_packed",
    "deregister_exception",
    "pack_exception",
    "raise_packed_exc",
    "register_exception",
    "unpack_exception",
]


class GenericRemoteException(Exception):
    """An exception of the remote side of a class that is not known here.

    Its text is what Python would print as the last line of the remote traceback. If both sides
    call `register_exception`, it arrives as what it is.

    Attributes:
        remote_class: the class as Python shows it in a traceback, such as `"psu.PsuError"`; None
            if the other side is older and does not say it apart from the text.
    """

    remote_class: str | None = None


# The address that peers read, and that pickles hold: it lasts when this file moves.
for _public in (GenericRemoteException, register_exception, deregister_exception):
    _public.__module__ = "sipyco_rpc.packed_exceptions"


def pack_exception(exc: BaseException) -> dict[str, Any]:
    """Describe an exception so that it can be sent.

    Returns:
        A dictionary with the keys `class`, `message` and `traceback` (list of `str`), and
        `args` where the arguments of the exception can be encoded. There may be `notes` (list of
        `str`), `cause` or `context` (such a dictionary), and `exceptions`, the members of a group
        (a list of them); of long chains and large groups some are left out. A class that is not
        built in has its name in `type`, and if it is registered, or derived from one that is, in
        `names` what they are registered as, and in `attributes` those that can be encoded.
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
    if BUILT_IN.get(cls.__name__) is cls:
        packed["class"] = cls.__name__
        arguments = _arguments_of(exc)
        if _can_travel(arguments, levels):
            packed["args"] = arguments
    else:
        packed["class"] = GenericRemoteException.__name__
        if isinstance(exc, GenericRemoteException) and exc.remote_class is not None:
            packed["type"] = exc.remote_class  # a chain of servers adds nothing
        elif cls is not GenericRemoteException:
            name = packed["type"] = classes.address_of(cls)
            names = classes.names_of(cls)
            if names:
                arguments = _arguments_of(exc)
                packed["names"] = names
                packed["args"] = arguments if _can_travel(arguments, levels) else (message,)
                attributes = {
                    key: value
                    for key, value in classes.attributes_of(exc).items()
                    if _can_travel(value, levels)
                }
                if attributes and (not levels or _can_travel(attributes, levels)):
                    packed["attributes"] = attributes
            message = f"{name}: {message}" if message else name
    packed["message"] = message
    packed["traceback"] = traceback.format_tb(exc.__traceback__)
    return packed


def _arguments_of(exc: BaseException) -> tuple[Any, ...]:
    """Give the arguments of which an exception is made."""
    if isinstance(exc, BaseExceptionGroup):
        return (exc.message,)
    if isinstance(exc, OSError) and exc.filename is not None:
        arguments = (exc.errno, exc.strerror, exc.filename)
        return arguments if exc.filename2 is None else (*arguments, None, exc.filename2)
    return exc.args


def _can_travel(value: Any, levels: int) -> bool:
    """Tell whether a value can be sent with an exception that is so many levels deep."""
    try:
        size = len(pyon.encode(value))
    except Exception:  # noqa: BLE001  (any failure means that it cannot)
        return False
    return not levels or size <= MAX_EXCEPTION_ARGUMENTS


def without_arguments(pack: Mapping[str, Any]) -> dict[str, Any]:
    """Give a description without the arguments, of whatever exception in it."""
    packed: dict[str, Any] = {}
    for key, value in pack.items():
        if key in ("cause", "context"):
            packed[key] = without_arguments(value)
        elif key == "exceptions":
            packed[key] = [without_arguments(member) for member in value]
        elif key not in ("args", "attributes"):
            packed[key] = value
    return packed


def current_exc_packed() -> dict[str, Any]:
    """Describe the exception that is being handled; see `pack_exception`."""
    exc = sys.exception()
    if exc is None:
        raise RuntimeError("no exception is being handled")
    return pack_exception(exc)


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
        classes.add_note(exc, note)
    classes.own_dict(exc)["parent_traceback"] = [*before, *lines, *after]
    found = chains.described_origin(pack)
    if found is not None and found[0] == "cause" and budget.take(levels):
        # Python shows it. It would show a context, too, but for the one that it has here.
        object.__setattr__(exc, "__cause__", _unpack(found[1], budget, levels + 1))
        before = []
    if before or lines:
        text = "".join([*before, *lines]).rstrip()
        classes.add_note(exc, f"Remote traceback:\n{text}")
    return exc


def _unpack_group(
    pack: Mapping[str, Any], budget: chains.Budget, levels: int
) -> ExceptionGroup[Exception] | None:
    """Make a group of its description, if it is that of one."""
    built_in = pack.get("class") in ("ExceptionGroup", "BaseExceptionGroup")
    cls = ExceptionGroup if built_in else _registered_class(pack)
    if cls is None or not issubclass(cls, ExceptionGroup):
        return None
    described = chains.described_members(pack)
    members = [_unpack(member, budget, levels + 1) for member in described if budget.take(levels)]
    if not members:
        return None
    arguments, message = pack.get("args"), pack.get("message")
    if isinstance(arguments, (tuple, list)) and len(arguments) == 1:
        message = arguments[0]
    text = _as_text(message)
    group: ExceptionGroup[Exception]
    try:
        group = classes.build(cls, (text, members), pack.get("attributes"))  # type: ignore[assignment]
    except Exception as exc:  # noqa: BLE001  (of a class of the program's own)
        group = ExceptionGroup(text, members)
        group.add_note(_not_made(cls, exc))
    missing = len(described) - len(members)
    if missing:
        classes.add_note(group, chains.left_out(missing))
    return group


def _unpack_alone(pack: Mapping[str, Any]) -> Exception:
    """Make an exception of its description, without what belongs to it."""
    name, message = pack.get("class"), pack.get("message", "")
    if not name and not message:
        return GenericRemoteException(f"without a class and a message: {short_repr(pack)}")
    message = _as_text(message)
    if name is None or name == GenericRemoteException.__name__:
        return _unpack_other(pack, message)
    cls = BUILT_IN.get(name) if isinstance(name, str) else None
    if cls is not None and issubclass(cls, Exception):
        return classes.build_built_in(cls, message, pack.get("args"))
    # KeyboardInterrupt and the like end programs: not on a peer's word.
    name = _as_text(name)
    generic = GenericRemoteException(f"{name}: {message}" if message else name)
    generic.remote_class = name
    return generic


def _registered_class(pack: Mapping[str, Any]) -> type[Exception] | None:
    """Find the class of a description, or the nearest of its bases, that is registered here."""
    if pack.get("class") != GenericRemoteException.__name__:
        return None
    return classes.class_of(pack.get("names"))


def _unpack_other(pack: Mapping[str, Any], message: str) -> Exception:
    """Make an exception of a class that is not built in."""
    generic = GenericRemoteException(message)
    kind = pack.get("type")
    if isinstance(kind, str):
        generic.remote_class = kind
    cls = _registered_class(pack)
    if cls is None:
        return generic
    arguments = pack.get("args")
    if not isinstance(arguments, (tuple, list)):
        text = message.removeprefix(f"{kind}: ")
        arguments = () if text == kind else (text,)
    try:
        exc = classes.build(cls, arguments, pack.get("attributes"))
        str(exc)  # what its class makes of it
    except Exception as error:  # noqa: BLE001  (of a class of the program's own)
        generic.add_note(_not_made(cls, error))
        return generic
    classes.own_dict(exc)["remote_class"] = generic.remote_class
    return exc


def _not_made(cls: type[Exception], error: Exception) -> str:
    """Give the note about an exception that is not of the class that is registered for it."""
    return (
        f"`{classes.address_of(cls)}` is registered for it, but could not be made of what came: "
        f"{type(error).__name__}: {short_message(error)}"
    )


def raise_packed_exc(pack: Mapping[str, Any] | str) -> NoReturn:
    """Raise an exception from its description; see `unpack_exception`."""
    raise unpack_exception(pack)
