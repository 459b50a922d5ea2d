"""Causes, notes and members of exceptions, beside the exceptions themselves. No sockets here.

Both directions have limits: a chain of a program may be long or a circle, and a peer may say
anything.
"""

from __future__ import annotations

from sipyco_rpc.limits import (
    MAX_EXCEPTION_LEVELS,
    MAX_EXCEPTIONS,
    MAX_NOTE,
    MAX_NOTES,
    MAX_PARENT_TRACEBACK,
)

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, Final

# As Python has it between two tracebacks.
_BETWEEN: Final = {
    "cause": "\nThe above exception was the direct cause of the following exception:\n\n",
    "context": "\nDuring handling of the above exception, another exception occurred:\n\n",
}
_HEADER: Final = "Traceback (most recent call last):\n"
_CUT: Final = "[what comes after this is left out: there is too much of it]\n"


class Budget:
    """How many more exceptions may be described.

    Attributes:
        seen: those that are there already, by their `id`.
        text: characters that may be shown of others.
    """

    def __init__(self) -> None:
        self.seen: set[int] = set()
        self.text = MAX_PARENT_TRACEBACK
        self._left = MAX_EXCEPTIONS

    def take(self, levels: int) -> bool:
        """Spend some of it on one more, so many levels deep; tell whether there was enough."""
        if not self._left or levels >= MAX_EXCEPTION_LEVELS:
            return False
        self._left -= 1
        return True


def origin_of(exc: BaseException) -> tuple[str, BaseException] | None:
    """Give what an exception was raised from, or while it was handled, if that is to be shown."""
    if exc.__cause__ is not None:
        return "cause", exc.__cause__
    if exc.__context__ is not None and not exc.__suppress_context__:
        return "context", exc.__context__
    return None


def left_out(count: int) -> str:
    """Give the note about members that are missing."""
    return f"[{count} more exceptions of this group are left out]"


# The other direction: a description from a peer.


def described_origin(pack: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    """Find the cause, or else the context, in a description."""
    for key in _BETWEEN:
        origin = pack.get(key)
        if isinstance(origin, dict):
            return key, origin
    return None


def described_members(pack: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Find the members of a group in a description."""
    members = pack.get("exceptions")
    if not isinstance(members, (list, tuple)):
        return []
    return [member for member in members if isinstance(member, dict)]


def lines_of(pack: Mapping[str, Any]) -> list[str]:
    """Give the traceback of a description: some servers send a text in place of a list."""
    lines = pack.get("traceback")
    if isinstance(lines, str):
        lines = [lines]
    return [line for line in lines if isinstance(line, str)] if isinstance(lines, list) else []


def origin_lines(pack: Mapping[str, Any], budget: Budget) -> list[str]:
    """Show what comes before the traceback of an exception: its cause, or its context."""
    return _limited(_origin(pack, Budget(), 0), budget)


def member_lines(pack: Mapping[str, Any], budget: Budget) -> list[str]:
    """Show what comes after the traceback of an exception: the members of a group."""
    return _limited(_members(pack, Budget(), 0), budget)


def _limited(parts: Iterator[str], budget: Budget) -> list[str]:
    lines: list[str] = []
    for part in parts:
        budget.text -= max(len(part), 1)  # empty ones take memory, too
        if budget.text < 0:
            return [*lines, _CUT]
        lines.append(part)
    return lines


def _origin(pack: Mapping[str, Any], budget: Budget, levels: int) -> Iterator[str]:
    found = described_origin(pack)
    if found is None or not budget.take(levels):
        return
    key, origin = found
    yield from _shown(origin, budget, levels)
    yield _BETWEEN[key]
    if lines_of(pack):
        yield _HEADER


def _shown(pack: Mapping[str, Any], budget: Budget, levels: int) -> Iterator[str]:
    """Show an exception as Python does."""
    begun = False
    for part in _origin(pack, budget, levels + 1):
        begun = True
        yield part
    lines = lines_of(pack)
    if lines and not begun:
        yield _HEADER
    yield from lines
    name, message = pack.get("class"), pack.get("message")
    generic = name is None or name == "GenericRemoteException"
    words = [word for word in (None if generic else name, message) if isinstance(word, str)]
    yield f"{': '.join(filter(None, words))}\n"
    for note in texts(pack.get("notes")):
        yield f"{note}\n"
    yield from _members(pack, budget, levels + 1)


def _members(pack: Mapping[str, Any], budget: Budget, levels: int) -> Iterator[str]:
    for number, member in enumerate(described_members(pack), 1):
        if not budget.take(levels):
            return
        yield f"  +---------------- {number} ----------------\n"
        for part in _shown(member, budget, levels):
            # A part of many short lines would become many times as long.
            yield "".join([f"  | {line}" for line in part[:MAX_NOTE].splitlines(keepends=True)])


def texts(notes: Any) -> list[str]:
    """Give the notes in what should be a list of them, none too long; it may be anything."""
    if not isinstance(notes, (list, tuple)):
        return []
    texts = [note for note in notes[:MAX_NOTES] if isinstance(note, str)]
    return [text if len(text) <= MAX_NOTE else f"{text[:MAX_NOTE]}…" for text in texts]
