"""Base classes of clients and remote iterators, by which a server knows what it has to relay."""

from __future__ import annotations


class RemoteTarget:
    """What the clients have in common: a server whose target is one relays the remote methods."""

    __slots__ = ()


class RemoteItems:
    """What iterators over remote generators have in common: a server passes on what they give."""

    __slots__ = ()
