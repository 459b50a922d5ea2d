"""What a program says to the log server: bytes become log records. No sockets here."""

from __future__ import annotations

from typing import Final

from sipyco_rpc.wire.lines import LineReader, LineTooLong
from sipyco_tools._logging.lines import EntryReader, Refused
from sipyco_tools._logging.records import emit_entry

__all__: list[str] = []

BANNER: Final = b"ARTIQ logging\n"


class LogSession:
    """One connection, from its banner on.

    Args:
        max_line: longest line to accept, in bytes.
        max_lines: most lines of one entry.

    Attributes:
        banner_received: whether the banner has come.
    """

    def __init__(self, max_line: int, max_lines: int) -> None:
        self.banner_received = False
        self._banner = b""  # as far as it has come
        self._lines = LineReader(max_line)
        self._entries = EntryReader(max_lines, known=True)

    def receive(self, data: bytes) -> None:
        """Take bytes, and log what they say.

        Raises:
            Refused: it is nothing that could be logged.
        """
        if not self.banner_received:
            self._banner += data
            if not BANNER.startswith(self._banner[: len(BANNER)]):
                raise Refused("received an unknown banner", _text(self._banner))
            if len(self._banner) < len(BANNER):
                return
            self.banner_received, data = True, self._banner[len(BANNER) :]
        for line in self._lines.feed(data):
            self._take(line)

    def rest(self) -> str:
        """Return what there is of an entry that is not complete."""
        entry = self._entries.finish()
        parts = [] if entry is None else [f"{entry.source}:{entry.name}:{entry.message}"]
        if self._lines.pending:
            parts.append(_text(self._lines.pending))
        return "\n".join(parts)

    def _take(self, line: bytes | bytearray | LineTooLong) -> None:
        if isinstance(line, LineTooLong):
            raise Refused(
                f"received a line of {line.size} bytes, where the limit is {line.limit}", ""
            )
        try:
            text = line.decode()
        except UnicodeDecodeError:
            raise Refused("received a message that is not UTF-8", _text(line)) from None
        if self._entries.in_entry:
            entry = self._entries.add(text)
        else:
            source, colon, rest = text.partition(":")
            if not colon:
                raise Refused("received improperly formatted message", text)
            entry = self._entries.begin(source, rest)
        if entry is not None:
            emit_entry(entry)


def _text(data: bytes | bytearray) -> str:
    return data.decode("utf-8", "backslashreplace")
