"""What the clients have in common that talk to a server which says anything. No client here."""

from __future__ import annotations

import traceback

from sipyco_rpc.wire.lines import LineTooLong
from sipyco_rpc.wire.session import IncompatibleServer

__all__ = ["check_error"]

# How errors begin that clients document, of classes that a defect could raise as well.
_TEXTS = {
    ValueError: ("Server has multiple targets: ", "no target is selected"),
    TypeError: ("Object of type `",),
    ImportError: ("this value needs NumPy",),
    AttributeError: ("`",),
}


def check_error(exc: Exception) -> None:
    """Check that an error is one that a client documents; if it is none, it passes."""
    assert "".join(traceback.format_exception(exc)) + repr(exc)  # programs show it
    if hasattr(exc, "parent_traceback") or hasattr(exc.__cause__, "parent_traceback"):
        return  # what the server says that a method has raised; of coroutines Python may wrap it
    if isinstance(exc, (OSError, EOFError, IncompatibleServer, LineTooLong)):
        assert str(exc), "an error without a reason"
        return
    if not str(exc).startswith(_TEXTS.get(type(exc), ("nothing of the kind",))):
        raise exc
