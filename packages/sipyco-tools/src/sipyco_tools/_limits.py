"""Limits of logging and pipes; the page of limits is made from this module."""

from __future__ import annotations

from typing import Final

# --- what a program may change ---

MAX_LOG_LINE: Final = 1024 * 1024  # bytes; a line of a log is read by people
"""A line of a log message (`max_line` of a log server). The connection is dropped, with a warning
that says who sent what; a `LogParser` leaves the line out, and says how long it was."""

MAX_LOG_LINES: Final = 10_000  # lines; the traceback of the deepest recursion has fewer
"""Lines of one log message (`max_lines` of a log server). The connection is dropped, likewise; in
a `LogParser` each further line is a message of its own."""

LOG_DATABASE_SIZE: Final = 1024 * 1024 * 1024  # bytes; millions of records, on any disk
"""The database of a log server (`--max-size`, `SQLiteHandler(max_size=…)`), about. The oldest
records are deleted."""

# --- what only protects ---

MAX_LOG_MESSAGE: Final = 16 * 1024 * 1024  # characters; all its lines together
"""One log message. What there is of it is logged; a log server drops the connection, with a
warning."""

MAX_TEXT_SENT: Final = 128 * 1024  # characters; servers refuse what is much longer
"""A message that a `LogForwarder` sends. The rest is left out; the message says how much."""

MAX_LINES_SENT: Final = 5_000  # lines; likewise
"""Lines of such a message. The rest is left out."""

MAX_LINE_SENT: Final = 10_000  # characters; older servers take no more than 64 KiB
"""A line of such a message. The rest is left out."""

MAX_ATTEMPTS: Final = 3  # attempts; a server may refuse it whenever it comes
"""Attempts of a `LogForwarder` to send one message. It is dropped, and counted."""

ANSWER_TIMEOUT: Final = 0.5  # seconds; an older server gives what waits a time so much later
"""The answer of a log server that takes the times of records, as a connection begins; nothing is
sent meanwhile. A `LogForwarder` goes on without times; where an answer comes later, it adds them
from then on. A tunnel has so long to say that the server is away."""

MAX_ANSWER: Final = 4096  # bytes; it is one line of six
"""What a log server may say to a `LogForwarder`. The connection is closed, and made anew."""

FLUSH_TIMEOUT: Final = 1.0  # seconds; `stop` and `close` return in bounded time
"""`stop` or `close` of a `LogForwarder`, which sends what waits. What was not sent is said, with
the count."""

THREAD_TIMEOUT: Final = 2.5  # seconds; it sends, and closes the connection
"""The same of one that has a thread. What was not sent is said, with the count."""

STOP_NOTICE_TIMEOUT: Final = 0.5  # seconds; a forwarder keeps what it has not sent
"""A peer that does not see that the log server stops. The connection is closed."""

MAX_WAITING_RECORDS: Final = 100_000  # records; a disk may be full until somebody comes
"""Records that wait to be written into a file or database, by `sipyco_logserver` or a
`SQLiteHandler`. The oldest are lost; the log says how many, once it can be written again."""

MAX_WAITING_SIZE: Final = 64 * 1024 * 1024  # bytes; of the memory of a small computer
"""What these take in memory, about. The oldest are lost, likewise."""

MAX_BATCH: Final = 1000  # records; a kill loses no more than are not yet committed
"""Records that are committed to a database together. The next ones are committed after them."""

TERMINAL_CLOSE_TIMEOUT: Final = 1.0  # seconds; nobody looks at one that is stopped (Ctrl-S)
"""What `sipyco_logserver` shows at its end. What could not be shown is said, with the count."""

LOG_CLOSE_TIMEOUT: Final = 10.0  # seconds; a disk may hang
"""The end of `sipyco_logserver`, or of a `SQLiteHandler`, which writes what waits. What was not
written is said, with the count."""

MAX_DAMAGED: Final = 10  # files; where each new database is damaged as well, the disk is
"""Databases of logs that were found damaged and set aside, in one directory. No more are made: the
log says so."""

MAX_PIPE_LINE: Final = 100 * 1024 * 1024  # bytes; a worker sends the arrays of an experiment
"""A line in `pipe_ipc`. `readline` raises `ValueError`."""

LAST_WORDS_TIMEOUT: Final = 1.0  # seconds; they are in the pipe already
"""What a process wrote before it ended. It is not read."""
