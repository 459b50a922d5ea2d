"""Requests of RPC clients: what can be asked of a server. No bytes here."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from sipyco_rpc.limits import MAX_CREDIT_ASKED
from sipyco_rpc.support.quoting import short_repr

__all__ = [
    "CallRequest",
    "CancelRequest",
    "GetPropertyRequest",
    "ListRequest",
    "NextRequest",
    "PingRequest",
    "SetPropertyRequest",
    "StatusRequest",
    "parse_request",
]


class CallRequest(NamedTuple):
    """A request to call a method."""

    name: str
    args: tuple[Any, ...] | list[Any]
    kwargs: dict[str, Any]


class ListRequest(NamedTuple):
    """A request for the signatures and docstrings of the target."""


class GetPropertyRequest(NamedTuple):
    """A request for the value of a property."""

    name: str


class SetPropertyRequest(NamedTuple):
    """A request to give a property a value."""

    name: str
    value: Any


class PingRequest(NamedTuple):
    """A request for an answer at once: how long does the way there and back take?"""


class StatusRequest(NamedTuple):
    """A request for what the server knows of itself."""


class CancelRequest(NamedTuple):
    """A request to end the call of this number."""


class NextRequest(NamedTuple):
    """A request for more items of the generator that the call of this number has returned."""

    items: int


Request: TypeAlias = (
    CallRequest
    | ListRequest
    | GetPropertyRequest
    | SetPropertyRequest
    | PingRequest
    | StatusRequest
    | CancelRequest
    | NextRequest
)


def parse_request(
    value: dict[Any, Any], framed: bool, status: bool = True, properties: bool = False
) -> Request:
    """Make a request of the dictionary that a client has sent.

    Args:
        value: the dictionary.
        framed: whether there can be requests about calls that are under way.
        status: whether the server tells its status.
        properties: whether there can be requests about properties.

    Raises:
        ValueError: it is not a request; the text says what was expected.
        KeyError: it has no `action`.
    """
    action = value["action"]
    if not isinstance(action, str):
        raise ValueError(f"an action is a string, got {short_repr(action)}")
    if action == "call":
        return _parse_call(value.get("name"), value.get("args"), value.get("kwargs"))
    if action == "get_rpc_method_list":
        return ListRequest()
    if properties and action == "get_property":
        return GetPropertyRequest(_property_name(action, value))
    if properties and action == "set_property":
        name = _property_name(action, value)
        if "value" not in value:
            raise ValueError("`set_property` needs a `value`")
        return SetPropertyRequest(name, value["value"])
    if action == "ping":
        return PingRequest()
    if status and action == "status":
        return StatusRequest()
    if framed and action == "next":
        count = value.get("n")
        if type(count) is not int or not 0 < count <= MAX_CREDIT_ASKED:
            raise ValueError(f"`next` needs `n`, how many items, got {short_repr(count)}")
        return NextRequest(count)
    if framed and action == "cancel":
        return CancelRequest()
    known = ["call", "get_rpc_method_list", "ping"]
    known += ["status"] if status else []
    known += ["get_property", "set_property"] if properties else []
    known += ["next", "cancel"] if framed else []
    names = ", ".join(map(repr, known))
    raise ValueError(f"unknown action {short_repr(action)}; there are: {names}")


def _property_name(action: str, value: dict[Any, Any]) -> str:
    name = value.get("name")
    if not isinstance(name, str):
        raise ValueError(f"`{action}` needs a `name` that is a string, got {short_repr(name)}")
    return name


def _parse_call(name: object, args: object, kwargs: object) -> CallRequest:
    if not isinstance(name, str):
        raise ValueError(f"a call needs a `name` that is a string, got {short_repr(name)}")
    if not isinstance(args, (list, tuple)):
        raise ValueError(f"a call needs `args` that are a list or tuple, got {short_repr(args)}")
    if not isinstance(kwargs, dict) or not all(isinstance(key, str) for key in kwargs):
        raise ValueError(f"a call needs `kwargs` with names as keys, got {short_repr(kwargs)}")
    return CallRequest(name, args, kwargs)
