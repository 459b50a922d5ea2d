"""Limits of feeds; the page of limits is made from this module."""

from __future__ import annotations

from typing import Final

# --- what a program may change ---

MAX_BACKLOG: Final = 64 * 1024 * 1024  # bytes; a dashboard may stall while datasets are written
"""What waits for one subscriber or receiver (`max_backlog` of a `Publisher` or `Broadcaster`). It
is dropped, with a warning: a subscriber gets a fresh structure when it reads again, a receiver
loses what comes until it has caught up."""

SNAPSHOT_TIMEOUT: Final = 10.0  # seconds; a publisher sends its snapshot at once
"""Connecting for a `snapshot` or `blocking_snapshot`, and each time in which nothing of it comes
(`timeout` of these). `TimeoutError`."""

# --- what only protects ---

MAX_NAME: Final = 64 * 1024  # bytes; names are far shorter
"""The line that names a structure or channel. The server closes the connection."""

MAX_KEYS: Final = 1000  # keys; no structure that can be encoded is as deep
"""The path of a change. `ValueError`."""

MAX_MOD_SHOWN: Final = 1000  # characters; nobody reads more
"""A mod that the log shows. The rest is left out."""

TIME_SLICE: Final = 0.005  # seconds; nobody notices it
"""Lines for one subscriber or receiver before others have their turn. They go on in the next pass
of the event loop."""

STREAM_LIMIT: Final = 1024 * 1024  # bytes; the system keeps as much again
"""What arrives while callbacks run. It stays with the system, and then with the server."""

CALLBACK_TIMEOUT: Final = 1.0  # seconds; `close` returns in bounded time
"""A callback that runs when its subscriber or receiver is closed. It is cancelled."""

JOIN_TIMEOUT: Final = 5.0  # seconds; a callback may be stuck in it
"""The thread of a `ThreadSubscriber` that is closed. It is left behind, with a warning."""

ALWAYS_ALLOWED: Final = 512 * 1024  # bytes; 65,536 numbers take no time worth counting
"""What a mod may have NumPy make of it, whatever its size. More must be in proportion to the mod,
or it is refused (`ValueError`)."""
