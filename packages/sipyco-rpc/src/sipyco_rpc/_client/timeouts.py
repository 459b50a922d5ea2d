"""Time limits of calls, which all clients have in common. No sockets here."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar

from sipyco_rpc.support.validation import checked_timeout

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Final, TypeAlias

    from sipyco_rpc.wire.client_session import ClientSession

    # Whether a limit for a request as a whole holds, and its seconds.
    Limit: TypeAlias = tuple[bool, float | None]

NO_LIMIT: Final[Limit] = (False, None)

# A pair (key, seconds) for each `with call_timeout(...)` around the running code. Context
# variables follow threads and tasks alike, so one task's limit never reaches another's call.
limits: Final[ContextVar[tuple[tuple[object, float | None], ...]]] = ContextVar(
    "sipyco_rpc.call_timeout", default=()
)

# A pair (key, reporter) for each `with call_progress(...)`; the key is None for all clients. There
# is a limit that holds for nobody as well, so that calls look at one variable only.
reporters: Final[ContextVar[tuple[tuple[object | None, Any], ...]]] = ContextVar(
    "sipyco_rpc.call_progress", default=()
)


@contextmanager
def call_timeout(client: object, seconds: float | None) -> Iterator[None]:
    """Limit the time of each call that is made inside a `with` block.

    It is a function, not a method of the client, so that no remote method can be hidden by it.
    It goes before the `timeout` of the client and holds for one call as a whole: waiting for
    other threads, sending, and receiving. Only calls of this thread or task are concerned.

        with call_timeout(lda, 30):
            lda.calibrate()

    Args:
        client: a `Client`, `AsyncioClient` or `BestEffortClient`.
        seconds: the limit for each call; None for no limit.

    Raises:
        TypeError: `client` is none of these.
        ValueError: `seconds` is not a positive number.
    """
    seconds = checked_timeout(seconds, "a timeout")
    key = key_of(client)
    if key is None:
        raise TypeError(f"call_timeout needs a client of sipyco, got {client!r}")
    token = limits.set(((key, seconds), *limits.get()))
    try:
        yield
    finally:
        limits.reset(token)


def key_of(client: object) -> object | None:
    """Find what stands for a client, without which its methods would have to hold the client."""
    own = getattr(client, "__dict__", {})
    for cls in type(client).__mro__:
        key: object | None = own.get(f"_{cls.__name__}__key")
        if key is not None:
            return key
    return None


def limit_of(key: object) -> Limit:
    """Tell whether `call_timeout` holds here for the client with this key, and its seconds."""
    for owner, seconds in limits.get():
        if owner is key:
            return True, seconds
    return NO_LIMIT


def reported(key: object, session: ClientSession, make: Callable[..., Any]) -> Any:
    """Have the progress of a call told, if `call_progress` holds here for the client of a key.

    Args:
        key: of the client.
        session: of its connection.
        make: makes the request.

    Returns:
        What makes the request: `make`, or a `ReportedRequest`.
    """
    for owner, reporter in reporters.get():
        if owner is key or owner is None:
            return reporter.reported(session, make)
    return make
