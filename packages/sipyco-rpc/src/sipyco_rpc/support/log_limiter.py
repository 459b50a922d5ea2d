"""Rate-limited logging about peers: the first records as they are, then their number."""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType
from typing import Final, TypeAlias

from sipyco_rpc.limits import LOG_BURST, SUMMARY_INTERVAL
from sipyco_rpc.support.notices import log_anyway
from sipyco_rpc.support.quoting import short_message

__all__ = ["ExcInfo", "LogLimiter"]


# An exception with as much of its traceback as is to be shown.
ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None]

_SUMMARY: Final = "{count} more records about peers were left out; the latest: {latest}"


class LogLimiter:
    """Log what peers do wrong; in a flood, how often they do so, and the latest.

    The first records are written as they are. Those that come after them in the same ten seconds
    are counted, and from then on a record every ten seconds tells how many there were, until ten
    seconds have passed without one. One that is alone is written as it is, though late.

    It is for one event loop: whoever has it calls `flush` in the end.

    Args:
        burst: how many records are written as they are.
        summary: the text about the others; `{count}` is how many, `{latest}` the text of the last.
    """

    def __init__(self, burst: int = LOG_BURST, summary: str = _SUMMARY) -> None:
        self._burst = burst
        self._summary = summary
        self._left = burst  # records that will be written as they are
        self._suppressed = 0  # those that were not, and have not been told of
        self._latest: tuple[logging.Logger, int, str]  # of them
        self._clock: asyncio.TimerHandle | None = None  # runs from the first record on

    def log(
        self,
        logger: logging.Logger,
        level: int,
        message: str,
        *args: object,
        exc_info: ExcInfo | None = None,
    ) -> None:
        """Log a record, as `logger.log` does, or count it."""
        if not logger.isEnabledFor(level):
            return
        if self._clock is None:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                # The loop has ended before this: nobody would come to tell of what was counted.
                logger.log(level, message, *args, stacklevel=2, exc_info=exc_info)
                return
            self._clock = loop.call_later(SUMMARY_INTERVAL, self._tick)
        if self._left:
            self._left -= 1
            logger.log(level, message, *args, stacklevel=2, exc_info=exc_info)
            return
        self._suppressed += 1
        # Its text only: an exception among the arguments would keep all that it has seen alive.
        self._latest = logger, level, message % args if args else message

    def exception_line(self, logger: logging.Logger, what: str, outcome: object) -> None:
        """Log in one line what a method raised, if it did; the traceback is in the debug log.

        A cancellation is no failure.
        """
        if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
            logger.debug("%s raised an exception", what, exc_info=outcome)
            raised = f"{type(outcome).__name__}{_raise_site(outcome)}"
            reason = short_message(outcome)
            self.log(logger, logging.WARNING, "%s raised %s: %s", what, raised, reason)

    def flush(self) -> None:
        """Say what was held back, and begin anew."""
        if self._clock is not None:
            self._clock.cancel()
        self._begin()
        self._log_summary()

    def _tick(self) -> None:
        if self._log_summary():
            # It is still the flood: none of the next is among the first.
            self._clock = asyncio.get_running_loop().call_later(SUMMARY_INTERVAL, self._tick)
        else:
            self._begin()

    def _begin(self) -> None:
        self._clock = None
        self._left = self._burst

    def _log_summary(self) -> bool:
        count, self._suppressed = self._suppressed, 0
        if not count:
            return False
        logger, level, latest = self._latest
        text = latest if count == 1 else self._summary.format(count=count, latest=latest)
        log_anyway(logger, level, "%s", text)
        del self._latest
        return True


def _raise_site(exc: BaseException) -> str:
    """Say where an exception was raised, as the last line of its traceback does."""
    place = exc.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    if place is None:
        return ""
    code = place.tb_frame.f_code
    return f" ({code.co_filename}, line {place.tb_lineno}, in {code.co_name})"
