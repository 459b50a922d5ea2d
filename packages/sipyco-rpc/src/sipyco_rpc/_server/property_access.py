"""Reading and setting a property for a client: what is called, and where. No replies here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from sipyco_rpc.support.quoting import excerpt, short_repr
from sipyco_rpc.wire.requests import GetPropertyRequest, SetPropertyRequest

if TYPE_CHECKING:
    from sipyco_rpc._server.lock import CallLock
    from sipyco_rpc._server.target import Target
    from sipyco_rpc._server.worker import Worker

logger = logging.getLogger("sipyco.pc_rpc")


def property_access(
    target: Target, request: GetPropertyRequest | SetPropertyRequest
) -> tuple[Callable[[], Any], CallLock | None, Worker | None]:
    """Find out what a request about a property needs: it may take as long as a method.

    Returns:
        What reads or sets it, the lock to be held meanwhile, and the thread to do so in.

    Raises:
        AttributeError: the property is not offered.
    """
    name = request.name
    access: Callable[[], Any]
    if isinstance(request, SetPropertyRequest):
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("setting %s to %s", excerpt(name), short_repr(request.value))
        access = partial(target.set_property, name, request.value)
    else:
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("reading %s", excerpt(name))
        access = partial(target.get_property, name)
    target.check_property(name)
    if target.property_runs_in_thread(name):
        return access, target.thread_lock, target.worker()
    return access, target.lock, None
