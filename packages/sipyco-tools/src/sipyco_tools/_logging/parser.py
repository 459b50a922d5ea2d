"""The parser of the output of a child process, which becomes log records. No pipes here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from sipyco_rpc.wire.lines import LineReader, LineTooLong
from sipyco_tools._limits import MAX_LOG_LINE
from sipyco_tools._logging.session import Entry, EntryReader, Refused, emit_entry

_READ_SIZE: Final = 64 * 1024  # bytes; a pipe holds no more


class LogParser:
    """Log what a child process writes, with the level and logger name that its lines say.

        parser = LogParser(lambda: "worker 3")
        asyncio.create_task(parser.stream_task(process.stdout))

    Lines in the format of `MultilineFormatter` keep their level and logger; all others, such as
    what `print` writes, are logged at INFO to the logger `print`. Nothing stops it: no flood, no
    line of any length, no error in a handler.

    Args:
        source_cb: gives the `source` of the records.
    """

    def __init__(self, source_cb: Callable[[], str]) -> None:
        self.source_cb = source_cb
        self._entries = EntryReader()

    def line_input(self, line: str) -> None:
        """Take one line, without its newline."""
        try:
            entry = self._entries.take(line)
        except Refused:
            # Nothing is lost: what there is of the entry comes first, and then the line.
            self._log(self._entries.finish())
            entry = Entry("", logging.INFO, "print", line)
        self._log(entry)

    async def stream_task(self, stream: asyncio.StreamReader) -> None:
        """Take lines until the stream ends.

        Args:
            stream: standard output or standard error of the child.
        """
        lines = LineReader(MAX_LOG_LINE)
        try:
            # Not `readline`, which gives up at a long line, and leaves the child stuck.
            while data := await stream.read(_READ_SIZE):
                for line in lines.feed(data):
                    self._take(line)
        except OSError as exc:
            self._log(Entry("", logging.WARNING, "sipyco.logs", f"lost the output: {exc}"))
        if lines.pending_size:
            for line in lines.feed(b"\n"):
                self._take(line)
        self._log(self._entries.finish())

    def _take(self, line: bytes | bytearray | LineTooLong) -> None:
        if isinstance(line, LineTooLong):
            text = f"(a line of {line.size} bytes is left out: the limit is {line.limit} bytes)"
        else:
            text = line.removesuffix(b"\r").decode("utf-8", "replace")
        self.line_input(text)

    def _log(self, entry: Entry | None) -> None:
        if entry is None:
            return
        try:
            source = str(self.source_cb())
        except Exception:  # noqa: BLE001  (the child must go on, and its record not be lost)
            source = "unknown"
        emit_entry(entry._replace(source=source))
