"""Properties of a target: which of them are offered, and how they are set. No requests here."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

from sipyco_rpc.support.relay import RemoteTarget, property_names

# The names that are offered; or all properties, or none.
Offer: TypeAlias = frozenset[str] | bool

_MISSING: Final = object()
_METHOD_KINDS: Final = (staticmethod, classmethod, functools.partialmethod)


def checked_properties(
    targets: Mapping[str, Any], properties: bool | Mapping[str, bool | Iterable[str]]
) -> dict[str, Offer]:
    """Make sure that what is said of properties means what its author thinks.

    Args:
        targets: objects by their names.
        properties: as for `Server`.

    Raises:
        ValueError: a target, or what is listed of one, is not there. What a callable target makes
            is not looked at.
    """
    if isinstance(properties, bool):
        return dict.fromkeys(targets, properties)
    if not isinstance(properties, Mapping):
        raise ValueError(
            "properties: expected True, or a dictionary of lists by the names of targets, "
            f"got {properties!r}"
        )
    checked: dict[str, Offer] = {}
    for target_name, names in properties.items():
        if target_name not in targets:
            known = ", ".join(f"`{name}`" for name in sorted(targets))
            raise ValueError(f"properties: no target `{target_name}`; there are: {known}")
        if isinstance(names, bool):
            checked[target_name] = names
            continue
        if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
            raise ValueError(f"properties: expected a list of names, or True, got {names!r}")
        offer = checked[target_name] = frozenset(names)
        for name in offer:
            if not isinstance(name, str) or not _may_list(targets[target_name], name):
                raise ValueError(
                    f"properties: `{target_name}` has no public property or attribute `{name}`"
                )
    return checked


def _may_list(target: object, name: str) -> bool:
    if callable(target):
        return not name.startswith("_")  # what it makes is not known yet
    return is_offered(target, name, frozenset({name}))


def is_property(instance: object, name: str) -> bool:
    """Tell whether a name is that of a property, or of something of that kind. Runs nothing."""
    found = inspect.getattr_static(type(instance), name, _MISSING)
    if found is _MISSING:
        return isinstance(instance, RemoteTarget) and name in property_names(instance)
    if isinstance(found, (property, functools.cached_property)):
        return True
    return inspect.isdatadescriptor(found) and not inspect.ismemberdescriptor(found)


def is_offered(
    instance: object, name: str, offer: Offer, allowed: frozenset[str] | None = None
) -> bool:
    """Tell whether clients may read a property, or an attribute that is on the list.

    Args:
        instance: the target.
        name: of the property.
        offer: what is offered.
        allowed: names, of methods too; where there are such, all properties means those of them.
    """
    if offer is False or name.startswith("_"):
        return False
    if offer is True:
        return (allowed is None or name in allowed) and is_property(instance, name)
    return name in offer and (is_property(instance, name) or _is_attribute(instance, name))


def _is_attribute(instance: object, name: str) -> bool:
    found = inspect.getattr_static(instance, name, _MISSING)
    if found is _MISSING and not isinstance(instance, RemoteTarget):
        try:
            found = getattr(instance, name, _MISSING)  # what it makes up when it is asked
        except Exception:  # noqa: BLE001  (it may do anything)
            return False
    return found is not _MISSING and not (callable(found) or isinstance(found, _METHOD_KINDS))


def offered_names(instance: object, offer: Offer, allowed: frozenset[str] | None) -> set[str]:
    """Return the names of what is offered."""
    if offer is False:
        return set()
    names = dir(instance) if offer is True else offer
    return {name for name in names if is_offered(instance, name, offer, allowed)}


def getter_is_coroutine(instance: object, name: str) -> bool:
    """Tell whether reading a property gives a coroutine, so that it runs in the loop."""
    getter = getattr(inspect.getattr_static(type(instance), name, None), "fget", None)
    return inspect.iscoroutinefunction(getter)


def _is_settable(instance: object, name: str) -> bool:
    found = inspect.getattr_static(type(instance), name, _MISSING)
    if isinstance(found, property):
        return found.fset is not None
    if isinstance(found, functools.cached_property):
        return False  # it would never be computed again
    return not inspect.isdatadescriptor(found) or hasattr(found, "__set__")


def set_value(instance: Any, name: str, value: Any) -> Any:
    """Give a property a value.

    Returns:
        What is to be awaited if it is that of a client that relays it so; else None.

    Raises:
        AttributeError: it has no setter.
    """
    if not _is_settable(instance, name):
        raise AttributeError(
            f"'{type(instance).__name__}' object: property `{name}` has no setter: "
            "it can be read and not set"
        )
    if (
        isinstance(instance, RemoteTarget)
        and inspect.getattr_static(instance, name, _MISSING) is _MISSING
        and inspect.iscoroutinefunction(instance.get_rpc_method_list)  # type: ignore[attr-defined]
    ):
        return getattr(instance, name).set(value)
    setattr(instance, name, value)
    return None


def document_properties(instance: object, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the entries of properties in a listing."""
    listing = {}
    for name in sorted(names):
        found = inspect.getattr_static(type(instance), name, None)
        docstring = None
        if isinstance(found, (property, functools.cached_property)):
            docstring = inspect.getdoc(found)
        listing[name] = {
            "docstring": docstring if isinstance(docstring, str) else None,
            "settable": _is_settable(instance, name),
        }
    return listing
