"""Methods and properties of a target as attributes of a client. No sockets here."""

from __future__ import annotations

import sys

from sipyco_rpc.support.process_bound import not_copyable
from sipyco_rpc.support.relay import RemoteTarget, property_names
from sipyco_rpc.wire.session import IncompatibleServer

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    import inspect
    from collections.abc import Callable, Container, Iterable, Mapping
    from typing import Any, Protocol, TypeAlias, TypeVar

    T = TypeVar("T")
    # The argspec and the docstring of a method, or None where they cannot be had.
    Documentation: TypeAlias = tuple[Mapping[str, Any], str | None] | None

    class Methods(Protocol):
        """What remote methods need of their connection. It is not the client: no cycles."""

        @property
        def label(self) -> str:
            """Whose methods they are, such as "`lda` on ::1 port 3253"."""

        def call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            """Call a method."""

        @property
        def listing(self) -> Mapping[str, Any] | None:
            """The server's listing, which is asked for once; None if it cannot be had."""


def documented(listing: Mapping[str, Any], name: str) -> Documentation:
    """Find a method in a listing: the pair (argspec, docstring), or None."""
    found = listing["methods"].get(name)
    if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[0], dict)):
        return None  # a listing is a peer's word; help must not fail on it
    argspec, docstring = found
    return argspec, docstring if isinstance(docstring, str) else None


class RemoteMethod:
    """A method of the target, as an attribute of a client.

    Its signature and docstring are the remote ones. They are asked for when someone looks at
    them (`help`, `inspect.signature`, the tab key), never for a call.

    Args:
        name: of the method.
        methods: does the calls.
    """

    is_remote = True  # not an attribute that a program has set

    def __init__(self, name: str, methods: Methods) -> None:
        self.__name__ = self.__qualname__ = name
        self._methods = methods
        self._call = methods.call

    __reduce__ = not_copyable(
        "it is called by a client of this process; make one where it is needed"
    )

    def __copy__(self) -> RemoteMethod:
        return self  # as of any function: an object that has it as an attribute may be copied

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return self._call(self.__name__, args, kwargs)

    # `inspect` takes what has `__get__` and no `__set__` for a routine: `help` then shows the
    # method itself in place of this class.
    def __get__(self, instance: object, owner: type | None = None) -> RemoteMethod:
        return self

    @property
    def __signature__(self) -> inspect.Signature:
        # It takes longer to load than all the rest.
        from sipyco_rpc._client.signatures import signature_of

        return signature_of(self._documented())

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        found = self._documented()
        return None if found is None else found[1]

    def _documented(self) -> Documentation:
        try:
            listing = self._methods.listing
        except Exception:  # noqa: BLE001  (looking at a method must not raise)
            return None
        return None if listing is None else documented(listing, self.__name__)

    def __repr__(self) -> str:
        return f"<remote method `{self.__name__}` of {self._methods.label}>"


def is_own(client: object, name: str) -> bool:
    """Tell whether a name is that of an attribute of the object or its class, not the target's."""
    own = client.__dict__
    if name in own:
        return getattr(own[name], "is_remote", False) is not True
    return any(name in vars(cls) for cls in type(client).__mro__)


def forget_methods(client: object, names: Iterable[str]) -> None:
    """Drop what a client has kept for methods of its target."""
    for name in names:
        if not is_own(client, name):
            client.__dict__.pop(name, None)


def _target_of(client: Any) -> str:
    try:
        name = client.get_selected_target()
    except Exception:  # noqa: BLE001  (it is not connected, or being made)
        name = None
    return "a client without a target" if name is None else f"`{name}`"


class _Names:
    """Has the names of a client's attributes, and not the attributes."""

    def __init__(self, client: RemoteTarget) -> None:
        self.__client = client

    def __dir__(self) -> list[str]:
        return dir(self.__client)


def attribute_error(text: str, name: str, client: RemoteTarget) -> AttributeError:
    """Make an error of which Python can say what may have been meant."""
    # Python 3.15 looks for that in the values, too: a traceback must not ask the server.
    asks = sys.version_info >= (3, 15) and property_names(client)
    return AttributeError(text, name=name, obj=_Names(client) if asks else client)


def no_attribute(client: RemoteTarget, name: str, methods: Container[str]) -> AttributeError:
    """Make the error for a name that neither the client has nor its target."""
    if property_names(client):
        text = f"{_target_of(client)} has no method or property `{name}`"
    else:
        text = f"{_target_of(client)} has no method `{name}`, and offers no properties"
    if f"get_{name}" in methods:
        text += f"; call `get_{name}`"
    return attribute_error(text, name, client)


def check_setting(
    client: RemoteTarget, name: str, value: object, base: type, methods: Container[str]
) -> None:
    """Refuse to hide a method of the target, and to keep what the target never gets.

    A method can be replaced by a function, as tests do. A class that a program has derived from
    a client has attributes of its own.

    Args:
        client: whose attribute is to be set; not a property of the target.
        name: of the attribute.
        value: what it is to be.
        base: the class of clients that no program has derived.
        methods: the names of the target's methods.

    Raises:
        AttributeError: the attribute cannot be set; the text says what to do.
    """
    derived = type(client) is not base
    if is_own(client, name):
        if derived or callable(value) or name in client.__dict__:
            return
        text = f"`{name}` is the client's own, and cannot be set"
    elif name in methods:
        if callable(value):
            return
        target = _target_of(client)
        text = f"`{name}` is a method of {target} and cannot be set: call it, `{name}(…)`"
        # Without the object: Python would look for another name that may have been meant.
        raise AttributeError(text, name=name)
    elif derived:
        return
    else:
        text = f"{_target_of(client)} offers no property `{name}` that could be set"
        if f"set_{name}" in methods:
            text += f": call `set_{name}(…)`"
        text += f"; for attributes of your own, derive a class from {base.__name__}"
    raise attribute_error(text, name, client)


def check_deletion(client: RemoteTarget, name: str, methods: Container[str]) -> None:
    """Refuse to delete what is the target's.

    Raises:
        AttributeError: it is.
    """
    if (name in methods or name in property_names(client)) and not is_own(client, name):
        text = f"`{name}` of {_target_of(client)} cannot be deleted"
        raise attribute_error(text, name, client)


def as_interface(client: object, interface: Callable[..., T]) -> T:
    """Give a client the type of an interface, for type checkers and editors.

        class Lda(Protocol):
            def set_attenuation(self, attenuation: float) -> None: ...

        lda = as_interface(Client("::1", 3253), Lda)

    Args:
        client: a client that has selected its target.
        interface: a class or `typing.Protocol`; its public methods are what is needed, and its
            properties where the server offers any. For an `AsyncioClient` they are `async def`.

    Returns:
        The client itself.

    Raises:
        IncompatibleServer: the target lacks methods or properties of the interface; the text
            lists them.
    """
    offered = property_names(client) if isinstance(client, RemoteTarget) else frozenset()
    lacking: dict[str, list[str]] = {"methods": [], "properties": []}
    for name in dir(interface):
        member = None if name.startswith("_") else getattr(interface, name, None)
        if callable(member) and (name in offered or not hasattr(client, name)):
            lacking["methods"].append(name)
        known = name in offered or hasattr(type(client), name)
        if isinstance(member, property) and offered and not known:
            lacking["properties"].append(name)
    missing = [
        f"{kind} of `{getattr(interface, '__name__', repr(interface))}`: "
        + ", ".join(f"`{name}`" for name in names)
        for kind, names in lacking.items()
        if names
    ]
    if missing:
        raise IncompatibleServer(f"{client!r} lacks {'; '.join(missing)}")
    return client  # type: ignore[return-value]
