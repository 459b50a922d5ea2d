"""Calls whose arguments do not fit: the error gets the signature. Nothing is called here."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from types import CodeType, TracebackType
from typing import Any

from sipyco_rpc._compat import signature
from sipyco_rpc.limits import MAX_REASON
from sipyco_rpc.support.quoting import excerpt


def note_signature(name: str, call: Callable[[], Any], exc: BaseException) -> None:
    """Add the signature of a method to an error, if that is that the arguments do not fit.

    What a method raises once it runs, a `TypeError` too, is left as it is, and so is what another
    server has raised.

    Args:
        name: of the method.
        call: what was called: the method with its arguments, a `functools.partial`.
        exc: what that has raised.
    """
    if not isinstance(exc, TypeError) or hasattr(exc, "parent_traceback"):
        return
    if not isinstance(call, partial):
        return
    method = call.func
    if not (inspect.ismethod(method) or inspect.isfunction(method) or inspect.isbuiltin(method)):
        return  # asking a client's method for its signature would ask its server
    try:
        code = getattr(inspect.unwrap(method), "__code__", None)
        if code is not None and _has_begun(code, exc.__traceback__):
            return
        found = signature(method)
        try:
            found.bind(*call.args, **call.keywords)
        except TypeError:
            text = f"{name}{_without_annotations(found)}"
            exc.add_note(f"signature: {excerpt(text, MAX_REASON)}")
    except Exception:  # noqa: BLE001  (it has no signature, or a default that cannot be shown)
        return


def _has_begun(code: CodeType, traceback: TracebackType | None) -> bool:
    """Tell whether an exception has come out of the function of this code."""
    while traceback is not None:
        if traceback.tb_frame.f_code is code:
            return True
        traceback = traceback.tb_next
    return False


def _without_annotations(found: inspect.Signature) -> str:
    parameters = [
        parameter.replace(annotation=parameter.empty) for parameter in found.parameters.values()
    ]
    return str(found.replace(parameters=parameters, return_annotation=found.empty))
