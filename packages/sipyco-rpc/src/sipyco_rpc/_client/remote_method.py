"""Methods of a target as attributes of a client, with their signatures. No sockets here."""

from __future__ import annotations

from sipyco_rpc.support.process_bound import not_copyable
from sipyco_rpc.wire.session import IncompatibleServer

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    import inspect
    from collections.abc import Callable, Mapping
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


def as_interface(client: object, interface: Callable[..., T]) -> T:
    """Give a client the type of an interface, for type checkers and editors.

        class Lda(Protocol):
            def set_attenuation(self, attenuation: float) -> None: ...

        lda = as_interface(Client("::1", 3253), Lda)

    Args:
        client: a client that has selected its target.
        interface: a class or `typing.Protocol`; its public methods are what is needed. For an
            `AsyncioClient` they are `async def`.

    Returns:
        The client itself.

    Raises:
        IncompatibleServer: the target lacks methods of the interface; the text lists them.
    """
    needed = [
        name
        for name in dir(interface)
        if not name.startswith("_") and callable(getattr(interface, name, None))
    ]
    missing = [name for name in needed if not hasattr(client, name)]
    if missing:
        names = ", ".join(f"`{name}`" for name in missing)
        of = getattr(interface, "__name__", repr(interface))
        raise IncompatibleServer(f"{client!r} lacks methods of `{of}`: {names}")
    return client  # type: ignore[return-value]
