"""What methods raise, in the server's log. No replies here."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Final

from sipyco_rpc.support.log_limiter import ExcInfo
from sipyco_rpc.support.notices import say
from sipyco_rpc.support.quoting import excerpt, safe_str, short_message
from sipyco_rpc.support.repetition_limiter import RepetitionLimiter

logger = logging.getLogger("sipyco.pc_rpc")

_OURS: Final = ("sipyco_rpc", "sipyco_pyon")  # packages whose frames tell nothing of a method
_LONGEST: Final = 10_000  # characters of texts that a traceback may show
_MOST: Final = 50  # exceptions that it may be about: causes, and members of groups
_PLACE: Final = 300  # characters of the place in a relayed exception


def checked_level(level: int | None) -> int | None:
    """Check an `error_log_level`.

    Raises:
        ValueError: it is none.
    """
    if level is not None and (not isinstance(level, int) or isinstance(level, bool) or level < 0):
        raise ValueError(
            f"error_log_level is a level such as logging.INFO, or None for none, got {level!r}"
        )
    return level


class ErrorLog:
    """Logs what goes wrong in calls: with a traceback the first time, then how often.

    What was cancelled has not failed.

    Args:
        level: of the records; None for none.
    """

    def __init__(self, level: int | None) -> None:
        self._level = level
        self._limiter = RepetitionLimiter()

    def raised(self, call: Callable[[], str], client: str, exc: BaseException) -> None:
        """Log what a method, or its generator, has raised.

        Args:
            call: gives the text of the call, with the target and the arguments.
            client: who has called.
            exc: what it raised.
        """
        if self._listens(exc):
            self._log(self._level, lambda: f"{call()}, called by {client}, raised", exc)

    def unsendable(self, call: Callable[[], str], client: str, exc: BaseException) -> None:
        """Log that what a method has returned, or an item, cannot be sent; as for `raised`."""
        if self._listens(exc):
            what = "returned what cannot be sent:"
            self._log(self._level, lambda: f"{call()}, called by {client}, {what}", exc)

    def refused(self, client: str, exc: BaseException) -> None:
        """Log that a request could not be taken, or named no method."""
        if self._listens(exc):
            self._log(self._level, lambda: f"a request of {client} was refused:", exc, "request")

    def not_made(self, name: str, client: str, exc: BaseException) -> None:
        """Log that a target could not be made; that is an error, whatever the level."""
        what = f"error while serving {client}: the target `{name}` could not be made:"
        self._log(logging.ERROR, lambda: what, exc, f"making {name}")

    def flush(self) -> None:
        """Say what was counted."""
        self._limiter.flush()

    def _listens(self, exc: BaseException) -> bool:
        level = self._level
        return (
            level is not None
            and logger.isEnabledFor(level)
            and not isinstance(exc, asyncio.CancelledError)
        )

    def _log(
        self,
        level: int | None,
        what: Callable[[], str],
        exc: BaseException,
        kind: str | None = None,
    ) -> None:
        """Log an error, or count it. Whatever becomes of that, the server goes on.

        Args:
            level: of the record.
            what: gives the text before that of the exception.
            exc: the error.
            kind: of errors that have no place in the source; None for the method that was called.
        """
        assert level is not None
        try:
            text = f"{what()} {type(exc).__name__}: {short_message(exc)}"
            key, exc_info = _place_of(exc, kind or text.partition("(")[0])
            self._limiter.log(logger, level, key, text, exc_info)
        except Exception as failure:  # noqa: BLE001  (a filter of the program, or no memory)
            try:
                asyncio.get_running_loop().call_exception_handler(
                    {"message": "an error of a method could not be logged", "exception": failure}
                )
            except Exception:  # noqa: BLE001  (what takes records of asyncio raises as well)
                say(f"an error of a method could not be logged: {failure!r}", sys.stderr)


def _place_of(exc: BaseException, kind: str) -> tuple[tuple[str, ...], ExcInfo | None]:
    """Tell what is the same for errors that are alike, and what to show of the traceback.

    Where it has no frames but ours (wrong arguments, a value that cannot be sent, a client that is
    relayed) nothing is shown.
    """
    begin = _outside(exc.__traceback__)
    if begin is None:
        parents = getattr(exc, "parent_traceback", None)
        if isinstance(parents, list) and parents:
            return (type(exc).__name__, excerpt(str(parents[-1]), _PLACE)), None
        return (type(exc).__name__, kind), None
    end = begin
    while end.tb_next is not None:
        end = end.tb_next
    key = type(exc).__name__, end.tb_frame.f_code.co_filename, str(end.tb_lineno)
    if _is_long(exc):
        return key, None
    return key, (type(exc), exc, begin)


def _is_long(exc: BaseException) -> bool:
    """Tell whether a traceback would fill the log: with texts, notes, causes, or many groups."""
    waiting, seen, length = [exc], set[int](), 0
    while waiting:
        exc = waiting.pop()
        if id(exc) in seen:
            continue
        seen.add(id(exc))
        notes = getattr(exc, "__notes__", ())
        texts = (
            [note for note in notes if isinstance(note, str)] if isinstance(notes, list) else []
        )
        length += sum(map(len, texts), len(safe_str(exc)))
        if length > _LONGEST or len(seen) > _MOST:
            return True
        related = [exc.__cause__, exc.__context__]
        if isinstance(exc, BaseExceptionGroup):
            related += exc.exceptions[:_MOST]
        waiting += [each for each in related if each is not None]
    return False


def _outside(traceback: TracebackType | None) -> TracebackType | None:
    """Leave out the frames of ours with which a traceback begins."""
    while traceback is not None:
        module = str(traceback.tb_frame.f_globals.get("__name__"))
        if module.partition(".")[0] not in _OURS:
            break
        traceback = traceback.tb_next
    return traceback
