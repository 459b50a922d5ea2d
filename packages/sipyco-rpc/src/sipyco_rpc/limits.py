"""Limits of conversations, servers and clients; the page of limits is made from this module."""

from __future__ import annotations

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from typing import Final

# --- what a program may change ---

MAX_LINE: Final = 128 * 1024 * 1024  # bytes; a whole experiment's datasets travel as one line
"""One request, reply, mod, structure or broadcast, with its arrays (`max_line` of servers,
clients, subscribers and receivers). It is dropped, and whose it is gets an error that names size
and limit: a client's call raises `LineTooLong`, a subscription ends, a receiver logs it; the
connection goes on."""

MAX_CONNECTIONS: Final = 512  # connections; half of what descriptors there usually are
"""Connections of all servers of an event loop together that have no limit of their own
(`max_connections` of servers); half of the descriptors of the process, if that is less. One more
takes the place of the one that has waited longest without saying what it wants; if all have said
it, it is closed. A warning says so, and in a flood how many there were."""

HANDSHAKE_TIMEOUT: Final = 10.0  # seconds; a slow link with TLS takes two or three
"""The TLS handshake, and until a peer has sent the banner, of feeds also the name
(`handshake_timeout` of servers). The server closes the connection, with a warning. Time in which a
method blocks the event loop does not count. Servers of your own that derive from `AsyncioServer`
have this limit for TLS only."""

STOP_SIGNAL_TIMEOUT: Final = 10.0  # seconds; what starts services waits for 10 to 90
"""A method that runs in the main thread when SIGTERM or SIGHUP comes (`stop_timeout` of
`simple_server_loop`). It is ended by an exception, and the program with it; a warning says what
was under way."""

# --- what only protects ---

MAX_TIMEOUT: Final = 2_000_000  # seconds; systems count milliseconds in 31 bits
"""What may be given as a `timeout`, `firstcon_timeout`, `handshake_timeout` or `call_timeout`.
`ValueError`; None is no limit, where there can be none."""

MIN_PAUSE: Final = 0.001  # seconds; a loop with less takes all of a processor
"""The least that may be given as a pause: `retry`, `reconnect`, `reconnect_timer`. `ValueError`.
"""

MAX_PAUSE: Final = 100_000  # seconds; pauses grow, to twelve times of it
"""The most that may be given as one. `ValueError`."""

HEAD_START: Final = 0.25  # seconds; as RFC 8305 has it
"""Connecting to one of several addresses of a host; less where all are to be tried within a
`timeout`. The next address is tried as well; the first that answers is taken."""

MAX_SELECTION: Final = 64 * 1024  # bytes; names are far shorter
"""The line that selects a target. The server closes the connection."""

MAX_NAME: Final = 1000  # characters; it stands in errors and in the `repr` of clients
"""The name of a target, all of it printable. A server does not begin to serve it (`ValueError`),
and a client does not select it (`IncompatibleServer`)."""

MAX_GREETING_LITERAL: Final = 64 * 1024  # bytes; parsing takes up to 550 times as much memory
"""The greeting of a server of the first years, which is Python source. `IncompatibleServer`."""

MAX_NAMES_SHOWN: Final = 2000  # characters; programs parse them
"""The names of targets that an error shows. The rest is left out; the text says how much there
was."""

MAX_REQUEST_BACKLOG: Final = 1024 * 1024  # bytes; the system keeps as much again
"""What a client sends while it waits, for its turn or because it does not take the replies. The
server stops reading from it until it can go on."""

MAX_CALLS: Final = 1000  # calls; and twice `max_line` together
"""Calls of one client that are under way at the same time (with frames). Those that come after
them wait."""

MAX_GENERATORS: Final = 1000  # generators; each holds what its method holds
"""Generators that run for one client, those that are being ended among them. The call of one more
is a `RuntimeError`."""

MAX_COUNTED_METHODS: Final = 1000  # methods; more are made up by peers, where a client is relayed
"""Methods of one target whose calls are counted by their names. Those of all others are counted
together, as `(others)`."""

MAX_COUNTED_NAME: Final = 200  # characters; a client that is relayed may have any name
"""The name of a method, or property, whose calls are counted by it. Those of longer names are
counted as `(others)`, and the status shows their beginning."""

TIME_SLICE: Final = 0.005  # seconds; nobody notices it
"""Requests of one client before others have their turn. They go on in the next pass of the event
loop."""

UNCLAIMED_ITEM_TIMEOUT: Final = 2.0  # seconds; clients that were killed do not say so
"""An item that a generator waits for, when its client says nothing more. The generator is ended:
others may wait for their turn."""

MAX_HEADER: Final = 48 * 1024  # bytes; one with 4096 buffers, of a gigabyte each, is shorter
"""The header of a frame. The connection is closed."""

MIN_CREDIT: Final = 2  # items; the server makes one while the one before is looked at
"""Items of a generator that a client asks for at least, before it has taken them. The generator
waits; a server that sends more than it was asked for is left."""

MAX_CREDIT: Final = 16  # items; more would not make the requests for them much rarer
"""Items of a generator that a client asks for at most. The generator waits."""

CREDIT_BYTES: Final = 1024 * 1024  # bytes; it is the memory of the client
"""Items that a client has not taken, where they are small enough for more than two. The generator
waits."""

MAX_CREDIT_ASKED: Final = 10**9  # items; more than anyone waits for
"""Items that one message of a client asks for. The connection is closed, with the reason."""

MAX_EXCEPTION_LEVELS: Final = 16  # levels; people read no more
"""Causes of causes of an exception, and groups in groups. The others are left out, of groups with
a note that says how many."""

MAX_EXCEPTIONS: Final = 100  # exceptions; they are beside the one that was raised
"""Causes and members of an exception, all of them together. The others are left out, of groups
with a note that says how many."""

MAX_EXCEPTION_ARGUMENTS: Final = 64 * 1024  # bytes; they would come with each cause
"""The arguments of a cause or a member, as text. They stay behind: it is rebuilt of its message.
"""

MAX_NOTES: Final = 100  # notes; of one exception
"""Notes of an exception. The rest is left out."""

MAX_NOTE: Final = 64 * 1024  # characters; people read no more
"""One note of an exception. The rest is left out."""

MAX_PARENT_TRACEBACK: Final = 1024 * 1024  # characters; of all causes and members together
"""What is shown of causes and members in `parent_traceback`. The rest is left out."""

MAX_SYNTAX_OFFSET: Final = 10**6  # characters; `traceback` may mark as many
"""The place of a syntax error. It is left out."""

MAX_KEY_SHOWN: Final = 64 * 1024  # characters; parsing takes up to 550 times as much memory
"""The key of a `KeyError` that is shown as it was. It is shown as text."""

MAX_REASON: Final = 300  # characters; ours are shorter, but not what they quote
"""A reason of a peer that errors and log records quote; of other words of it, 60. The rest is left
out; the text says how much there was."""

LOGGED_ARGUMENTS: Final = 20  # arguments; nobody reads more
"""Arguments in the debug record of a call. The rest is left out."""

LOGGED_CALL: Final = 1000  # characters; nobody reads more
"""The text of such a record. The rest is left out."""

LOGGED_CALLS: Final = 20  # calls; nobody reads more
"""Calls under way that are in the record of a server that stops. The text says how many more."""

LOG_BURST: Final = 20  # records; a program may well have as many peers
"""Log records, of one server or receiver, about what peers say that cannot be used, and about what
methods raise that nobody may be waiting for. The others are counted."""

SUMMARY_INTERVAL: Final = 10.0  # seconds; summaries shall not flood the log either
"""The time in which so many log records may come. After it, and at the end, a record says how many
more there were, and gives the latest."""

MAX_SUMMARY_INTERVAL: Final = 600.0  # seconds; who looks for an error wants to know it goes on
"""The time between two records about an error of a method that repeats; at first it is ten
seconds, and doubles. When there was none for so long, the next one has its traceback again."""

MAX_ERROR_KINDS: Final = 100  # kinds; the place in the source and the class make one
"""Errors of the methods of one server that are counted by their kind. The one that is known for
the longest time is forgotten, and has its traceback the next time."""

STOP_TIMEOUT: Final = 2.0  # seconds; `stop` takes about one more for the connections
"""Handlers, after `stop` of a server has cancelled them. They are left behind, and connections
aborted."""

KILL_DELAY: Final = 5.0  # seconds; the server takes up to three to stop
"""A program, after its `stop_timeout`. The process is ended at once; the log says what was under
way."""

THREAD_STOP_TIMEOUT: Final = 5.0  # seconds; `stop` of a server takes up to three
"""The thread of `serve_in_thread`, after it was told to stop. It is left behind with a warning."""

CLOSE_TIMEOUT: Final = 1.0  # seconds; `close` and `stop` return in bounded time
"""A peer that does not take what is still to be sent, or part in closing. The connection is
aborted."""

UNAWAITED_CALL_TIMEOUT: Final = 5.0  # seconds; who closes a client wants to go on
"""A call of an `FFProxy` that is under way when its client is closed, when a `with` block of the
proxy or the client is left, or when the program ends. It is dropped; a warning says which."""
