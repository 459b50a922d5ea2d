"""What a server says of its targets before somebody wonders. No calls, no connections here."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from typing import Any

from sipyco_rpc.support.quoting import short_repr
from sipyco_rpc.support.relay import CLIENT_NAMES, RemoteTarget

logger = logging.getLogger("sipyco.pc_rpc")


def check_targets(targets: Any) -> None:
    """Make sure that the targets of a server are a dictionary.

    Raises:
        TypeError: they are not; an object may have been given in place of one.
    """
    if isinstance(targets, Mapping) or (hasattr(targets, "keys") and hasattr(targets, "items")):
        return
    raise TypeError(
        'targets is a dictionary of objects by their names, such as {"lda": Lda()}, '
        f"got {short_repr(targets)}"
    )


def log_surprises(
    targets: Mapping[str, Any], allowed: Mapping[str, frozenset[str]], terminate: bool
) -> None:
    """Log what of the targets is not served as their author may think.

    Args:
        targets: objects, or what makes them, by their names.
        allowed: the only methods that may be called, for some of the targets.
        terminate: whether the server has a method `terminate` of its own.
    """
    for name, target in targets.items():
        if isinstance(target, type):
            logger.info(
                "target `%s` is the class `%s`: each connection gets an object of its own; `%s()` "
                "would be one for all",
                name,
                target.__name__,
                target.__name__,
            )
        hidden = CLIENT_NAMES | {"terminate"} if terminate else CLIENT_NAMES
        for method in sorted(hidden & allowed.get(name, hidden)):
            if not _has_method(target, method):
                continue
            whose = "the server's own" if method == "terminate" else "one of the clients"
            logger.warning(
                "method `%s` of target `%s` cannot be called: %s has this name; rename it%s",
                method,
                name,
                whose,
                ", or give builtin_terminate=False" if method == "terminate" else "",
            )


def _has_method(target: object, name: str) -> bool:
    """Tell whether an object, or those of a class, have a method; nothing of it is run."""
    if isinstance(target, RemoteTarget) or (callable(target) and not isinstance(target, type)):
        return False  # the names of a client that is relayed are its own; or it is not known yet
    found = inspect.getattr_static(target, name, None)
    return callable(found) or isinstance(found, (staticmethod, classmethod))
