"""What a connection needs of its server. No conversation here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sipyco_rpc._server.error_log import ErrorLog
    from sipyco_rpc._server.target import Target
    from sipyco_rpc.support.log_limiter import LogLimiter


@dataclass(frozen=True, slots=True)
class Service:
    """What a connection needs of its server.

    Args:
        log_limiter: for what is said about clients.
        error_log: for what goes wrong in calls.
        make_target: gives the target of a name that a client has selected; may raise anything.
        exits: is called with what a method or a target's constructor has raised, and with what
            to call it; tells whether that ends the server.
        status: tells what the server knows of itself.
    """

    log_limiter: LogLimiter
    error_log: ErrorLog
    make_target: Callable[[str], Target]
    exits: Callable[[BaseException, str], bool]
    status: Callable[[], dict[str, Any]]
