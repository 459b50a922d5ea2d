"""A target: an object that is served, and the rules by which its methods are called."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sipyco_rpc._server.call_record import TargetCalls
from sipyco_rpc._server.listing import TERMINATE, document_object
from sipyco_rpc._server.lock import CallLock
from sipyco_rpc._server.properties import (
    Offer,
    document_properties,
    getter_is_coroutine,
    is_offered,
    is_property,
    offered_names,
    set_value,
)
from sipyco_rpc._server.worker import Worker
from sipyco_rpc.support.relay import RemoteTarget, property_names

_MISSING: Final = object()

# Descriptors that give a method, and run nothing of the target to do so.
_METHOD_KINDS: Final = (
    staticmethod,
    classmethod,
    functools.partialmethod,
    functools.singledispatchmethod,
)


def _is_computed(instance: object, name: str) -> bool:
    """Tell whether reading an attribute runs code of the object, as it does for a property."""
    found = inspect.getattr_static(type(instance), name, _MISSING)
    if found is _MISSING:
        return isinstance(instance, RemoteTarget) and name in property_names(instance)
    if isinstance(found, (type, *_METHOD_KINDS)):
        return False
    if inspect.ismemberdescriptor(found):
        return False  # a slot: reading it runs no code
    return hasattr(type(found), "__get__") and not inspect.isroutine(found)


def _is_of_client(instance: object, name: str) -> bool:
    """Tell whether a name is a client's own, which a server that relays it does not offer.

    A class derived from one of the clients may add names of its own, which are offered.
    """
    return isinstance(instance, RemoteTarget) and any(
        RemoteTarget in cls.__bases__ and name in vars(cls) for cls in type(instance).__mro__
    )


def _public_method(instance: object, name: str) -> Any:
    """Get a public callable of an object, or `_MISSING`."""
    if name.startswith("_") or _is_of_client(instance, name) or _is_computed(instance, name):
        return _MISSING
    try:
        value = getattr(instance, name, _MISSING)
        owner = getattr(value, "__self__", None)
    except Exception:  # noqa: BLE001  (one strange member must not hide the others)
        return _MISSING
    if _is_of_client(owner, name) and inspect.getattr_static(instance, name, None) is None:
        return _MISSING  # an object that hands on what it lacks to a client of its own
    return value if callable(value) else _MISSING


def checked_allowed_methods(
    targets: Mapping[str, Any],
    allowed_methods: Mapping[str, Iterable[str]] | None,
    properties: Mapping[str, Offer],
) -> dict[str, frozenset[str]]:
    """Make sure that a list of what may be called means what its author thinks.

    Args:
        targets: objects by their names.
        allowed_methods: names of methods, by the names of targets; None for no list. There may be
            names of properties, where they are offered.
        properties: what is offered of them.

    Raises:
        ValueError: a target, or a method of one, is not there. What a callable target makes is
            not looked at.
    """
    checked: dict[str, frozenset[str]] = {}
    if allowed_methods is None:
        return checked
    if not isinstance(allowed_methods, Mapping):
        raise ValueError(
            "allowed_methods: expected a dictionary of lists, by the names of targets, "
            f"got {allowed_methods!r}"
        )
    for target_name, names in allowed_methods.items():
        if target_name not in targets:
            known = ", ".join(f"`{name}`" for name in sorted(targets))
            raise ValueError(f"allowed_methods: no target `{target_name}`; there are: {known}")
        if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
            raise ValueError(f"allowed_methods: expected a list of names, got {names!r}")
        checked[target_name] = frozenset(names)
        offer = properties.get(target_name, False)
        target = targets[target_name]
        for name in checked[target_name]:
            if not isinstance(name, str) or not _is_offered(target, name, offer):
                raise ValueError(f"allowed_methods: `{target_name}` has no public method `{name}`")
    return checked


def _is_offered(target: object, name: str, offer: Offer) -> bool:
    if callable(target):
        return not name.startswith("_")  # what it makes is not known yet
    return _public_method(target, name) is not _MISSING or is_offered(target, name, offer)


@dataclass(frozen=True, slots=True)
class Target:
    """An object that a client has selected.

    Args:
        name: what it is selected by.
        instance: the object.
        allowed: the only methods that may be called; None for all public ones.
        properties: which of them clients may read and set.
        terminate: the method of that name of the server's own, instead of any that the object
            has; None if there is none.
        lock: is held by a call in the loop; None where calls may run at the same time.
        thread_lock: is held by a call in the thread of the target; None where there is none.
        worker: gives the thread.
        calls: what there is to know of its calls, those of other connections among them.
    """

    name: str
    instance: Any
    allowed: frozenset[str] | None = None
    terminate: Callable[[], None] | None = None
    lock: CallLock | None = None
    thread_lock: CallLock | None = None
    worker: Callable[[], Worker | None] = lambda: None
    calls: TargetCalls = field(default_factory=TargetCalls)
    properties: Offer = False
    _known: set[str] = field(default_factory=set, init=False)  # methods that were looked at before

    @property
    def relayed(self) -> bool:
        """Whether the object is a client of another server, whose methods are offered."""
        return isinstance(self.instance, RemoteTarget)

    def method_names(self) -> set[str]:
        """Return the names of the methods that can be called."""
        return self._own_methods().keys() | ({"terminate"} if self.terminate else set())

    def _own_methods(self) -> dict[str, Callable[..., Any]]:
        names = dir(self.instance) if self.allowed is None else self.allowed
        found = {name: _public_method(self.instance, name) for name in sorted(names)}
        return {name: method for name, method in found.items() if method is not _MISSING}

    def method(self, name: str) -> Any:
        """Return a method of the object by its name.

        Raises:
            AttributeError: there is none, or it must not be called.
        """
        method = getattr(self.instance, name, None) if name in self._known else None
        if callable(method):
            return method
        kind = f"'{type(self.instance).__name__}' object"
        if self.allowed is not None and name not in self.allowed:
            raise AttributeError(
                f"{kind}: `{name}` is not among the methods that this server allows"
            )
        if name.startswith("_"):
            raise AttributeError(f"{kind}: `{name}` begins with `_` and cannot be called")
        method = _public_method(self.instance, name)
        if method is _MISSING:
            if is_property(self.instance, name):
                raise AttributeError(self._about_property(name))
            if inspect.getattr_static(self.instance, name, _MISSING) is _MISSING:
                raise AttributeError(f"{kind} has no attribute '{name}'")
            raise AttributeError(f"{kind}: `{name}` is not a method")
        if not self.relayed:  # where another connection may have other methods
            self._known.add(name)
        return method

    def property_names(self) -> set[str]:
        """Return the names of the properties that are offered."""
        return offered_names(self.instance, self.properties, self.allowed)

    def get_property(self, name: str) -> Any:
        """Read a property that is offered, or return what is to be awaited for it.

        Raises:
            Exception: what its getter raises.
        """
        return getattr(self.instance, name)

    def set_property(self, name: str, value: Any) -> Any:
        """Set a property that is offered.

        Returns:
            None, or what is to be awaited.

        Raises:
            AttributeError: it has no setter.
            Exception: what its setter raises.
        """
        return set_value(self.instance, name, value)

    def property_runs_in_thread(self, name: str) -> bool:
        """Tell whether a property is read and set in the target's thread."""
        return self.thread_lock is not None and not getter_is_coroutine(self.instance, name)

    def check_property(self, name: str) -> None:
        """Refuse a property that is not offered.

        Raises:
            AttributeError: it is not.
        """
        if is_offered(self.instance, name, self.properties, self.allowed):
            return
        kind = f"'{type(self.instance).__name__}' object"
        if name.startswith("_"):
            raise AttributeError(f"{kind}: `{name}` begins with `_` and is no public property")
        if is_property(self.instance, name):
            raise AttributeError(self._about_property(name))
        raise AttributeError(f"{kind}: there is no property `{name}`")

    def _about_property(self, name: str) -> str:
        text = f"'{type(self.instance).__name__}' object: `{name}` is a property of the target"
        if is_offered(self.instance, name, self.properties, self.allowed):
            return f"{text} and not a method: read it as an attribute"
        return f"{text}; the server can offer it with `properties=…`"

    def runs_in_thread(self, method: Callable[..., Any]) -> bool:
        """Tell whether calls of a method run in the target's thread: those of plain methods."""
        return self.thread_lock is not None and not inspect.iscoroutinefunction(method)

    def lists_in_thread(self) -> bool:
        """Tell whether `listing` has to run in the target's thread."""
        return self.relayed and self.runs_in_thread(self.instance.get_rpc_method_list)

    def listing(self, properties: bool = False) -> dict[str, Any] | Awaitable[dict[str, Any]]:
        """Return the signatures and docstrings; another server is asked for those it knows.

        Args:
            properties: those of properties as well.

        Raises:
            OSError, EOFError: it cannot be asked.
        """
        if not self.relayed:
            return self._own_listing(properties)
        remote = self.instance.get_rpc_method_list()
        if inspect.isawaitable(remote):
            return self._merge_later(remote, properties)
        return self._merge(remote, properties)

    def _own_listing(self, properties: bool) -> dict[str, Any]:
        listing = document_object(self.instance, self._own_methods())
        if self.terminate:
            listing["methods"]["terminate"] = TERMINATE
        if properties:
            listing["properties"] = document_properties(self.instance, self.property_names())
        return listing

    def _merge(self, remote: dict[str, Any] | None, properties: bool) -> dict[str, Any]:
        """Complete our listing by that of the other server, None where it is not connected."""
        if remote is None:
            remote = {"docstring": None, "methods": {}}
        listing = self._own_listing(properties)
        methods = listing["methods"]
        for name in methods.keys() & remote["methods"].keys():
            if not hasattr(type(self.instance), name) and methods[name] is not TERMINATE:
                methods[name] = remote["methods"][name]
        own, known = listing.get("properties", {}), remote.get("properties")
        if isinstance(known, dict):
            for name in own.keys() & known.keys():
                if not hasattr(type(self.instance), name):
                    own[name] = known[name]
        return {**listing, "docstring": remote["docstring"]}

    async def _merge_later(
        self, remote: Awaitable[dict[str, Any]], properties: bool
    ) -> dict[str, Any]:
        return self._merge(await remote, properties)
