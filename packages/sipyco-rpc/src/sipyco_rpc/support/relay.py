"""Base classes of clients and remote iterators, by which a server knows what it has to relay."""

from __future__ import annotations

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from typing import Final

# The clients' own methods, with which a remote method of the same name cannot be called.
CLIENT_NAMES: Final = frozenset(
    {
        "close_rpc",
        "connect_rpc",
        "get_local_host",
        "get_rpc_id",
        "get_rpc_method_list",
        "get_rpc_status",
        "get_selected_target",
        "ping_rpc",
        "select_rpc_target",
    }
)


class RemoteTarget:
    """What the clients have in common: a server whose target is one relays the remote methods."""

    __slots__ = ()

    # The names of the remote properties, which are attributes: reading one asks the server.
    # Mangled by hand, so that it hides no remote method, and has one name in all clients.
    _RemoteTarget__properties: frozenset[str] = frozenset()


def property_names(client: RemoteTarget) -> frozenset[str]:
    """Give the names of the remote properties of a client, as far as they are known."""
    return client._RemoteTarget__properties


class RemoteItems:
    """What iterators over remote generators have in common: a server passes on what they give."""

    __slots__ = ()
