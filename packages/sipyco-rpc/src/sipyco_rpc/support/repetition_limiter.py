"""Logging of errors that repeat: the first with its traceback, then their number."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable
from typing import Final

from sipyco_rpc.limits import MAX_ERROR_KINDS, MAX_SUMMARY_INTERVAL, SUMMARY_INTERVAL
from sipyco_rpc.support.log_limiter import ExcInfo, LogLimiter
from sipyco_rpc.support.notices import log_anyway

__all__ = ["RepetitionLimiter"]

_SUMMARY: Final = "{count} more errors of other kinds were left out; the latest: {latest}"


class _Kind:
    """Errors that are alike: how many came again, and what is to be said of them.

    It has texts only: an exception would keep alive all that it has seen.
    """

    def __init__(self, logger: logging.Logger, level: int) -> None:
        self.logger = logger
        self.level = level
        self.count = 0
        self.latest = ""
        self.interval = SUMMARY_INTERVAL  # seconds until the next summary
        self.clock: asyncio.TimerHandle

    def log_summary(self) -> None:
        """Say how many there were since the last record, if there were any."""
        count, self.count = self.count, 0
        if count == 1:
            log_anyway(self.logger, self.level, "%s", self.latest)
        elif count:
            text = "%s (the latest of %d like it)"
            log_anyway(self.logger, self.level, text, self.latest, count)


class RepetitionLimiter:
    """Log errors; of those that are alike, the first, and how often they came again.

    The first of a kind is written as it is, with its traceback. Those that come again are counted.
    A record tells of them after ten seconds, and then after twice as long each time, up to ten
    minutes. When there was none for so long, the next is a first one again.

    It is for one event loop: whoever has it calls `flush` in the end.
    """

    def __init__(self) -> None:
        self._kinds: dict[Hashable, _Kind] = {}
        self._firsts = LogLimiter(summary=_SUMMARY)  # a peer may be able to make up kinds

    def log(
        self,
        logger: logging.Logger,
        level: int,
        key: Hashable,
        text: str,
        exc_info: ExcInfo | None = None,
    ) -> None:
        """Log an error, or count it.

        Args:
            logger: writes it.
            level: of the record.
            key: of the kind of error.
            text: of the record.
            exc_info: for the first of its kind; None for no traceback.
        """
        kind = self._kinds.get(key)
        if kind is not None:
            kind.count += 1
            kind.latest = text
            return
        self._firsts.log(logger, level, "%s", text, exc_info=exc_info)
        if len(self._kinds) >= MAX_ERROR_KINDS:
            oldest = self._kinds.pop(next(iter(self._kinds)))
            oldest.clock.cancel()
            oldest.log_summary()
        kind = _Kind(logger, level)
        self._wind(key, kind)
        self._kinds[key] = kind

    def flush(self) -> None:
        """Say what was counted, and begin anew."""
        kinds, self._kinds = self._kinds, {}
        for kind in kinds.values():
            kind.clock.cancel()
            kind.log_summary()
        self._firsts.flush()

    def _wind(self, key: Hashable, kind: _Kind) -> None:
        loop = asyncio.get_running_loop()
        kind.clock = loop.call_later(kind.interval, self._tick, key, kind)

    def _tick(self, key: Hashable, kind: _Kind) -> None:
        if not kind.count and kind.interval >= MAX_SUMMARY_INTERVAL:
            del self._kinds[key]
            return
        kind.interval = min(2 * kind.interval, MAX_SUMMARY_INTERVAL)
        self._wind(key, kind)
        kind.log_summary()
