"""Which peers there are, what each is, and where it connects to. Nothing runs here."""

from __future__ import annotations

from typing import Final, NamedTuple

from dev.soak.targets import FLAVOURS

__all__ = [
    "ENDPOINTS",
    "KINDS",
    "MOST_PEERS",
    "STRUCTURES",
    "Place",
    "kind_of",
    "lay_out",
    "number_of",
    "peer_of",
    "position_of",
    "token_of",
    "way_of",
    "worker_of",
]

CLIENT: Final = "Client"
ASYNCIO: Final = "AsyncioClient"
BEST_EFFORT: Final = "BestEffortClient"
SUBSCRIBER: Final = "Subscriber"
THREAD_SUBSCRIBER: Final = "ThreadSubscriber"
RECEIVER: Final = "Receiver"
FORWARDER: Final = "LogForwarder"

KINDS: Final = (
    CLIENT,
    ASYNCIO,
    BEST_EFFORT,
    SUBSCRIBER,
    THREAD_SUBSCRIBER,
    RECEIVER,
    FORWARDER,
)

# Of ten peers: 3 clients, 2 of asyncio, and 1 of each other kind.
_PATTERN: Final = (
    CLIENT,
    ASYNCIO,
    SUBSCRIBER,
    CLIENT,
    FORWARDER,
    ASYNCIO,
    BEST_EFFORT,
    RECEIVER,
    CLIENT,
    THREAD_SUBSCRIBER,
)

# What is published: a structure with a short array, and one with an array of 64 KiB.
STRUCTURES: Final = {"small": 8, "wide": 16_384}

# Which process serves what. Each endpoint has a port, and a link that can be spoiled.
ENDPOINTS: Final = {
    **dict.fromkeys(FLAVOURS, "rpc server"),
    "structures": "publisher",
    "messages": "publisher",
    "logs": "log server",
}

MOST_PEERS: Final = 500  # a process for ten of them
_OF_A_WORKER: Final = 10

# How numbers are put together, so that each tells whose it is.
_LIVES: Final = 1000
_PLACES: Final = 1000
_TOKENS: Final = 10_000_000


class Place(NamedTuple):
    """One peer, in every life of its process.

    Attributes:
        position: which one it is, from 0.
        kind: of `KINDS`.
        worker: the number of its process.
        endpoint: of `ENDPOINTS`, which it connects to.
        linked: whether it does so by the link that can be spoiled.
        name: of what it subscribes to, or "".
        alternative: whether it is one of those that do some things in another way.
    """

    position: int
    kind: str
    worker: int
    endpoint: str
    linked: bool
    name: str
    alternative: bool


def lay_out(peers: int) -> list[Place]:
    """Decide what each of so many peers is."""
    places = []
    for index in range(peers):
        ten = index // len(_PATTERN)
        kind = _PATTERN[index % len(_PATTERN)]
        if kind in (SUBSCRIBER, THREAD_SUBSCRIBER):
            endpoint, name = "structures", list(STRUCTURES)[ten % len(STRUCTURES)]
        elif kind == RECEIVER:
            endpoint, name = "messages", "events"
        elif kind == FORWARDER:
            endpoint, name = "logs", ""
        else:
            endpoint, name = FLAVOURS[(index // 2 + ten) % len(FLAVOURS)], ""
        linked = (index + ten) % 2 == 1
        worker = index // _OF_A_WORKER
        places.append(Place(index, kind, worker, endpoint, linked, name, ten % 3 == 1))
    return places


def way_of(place: Place) -> set[str]:
    """Return the names of what is between a peer and what it connects to, both included."""
    way = {f"worker {place.worker}", ENDPOINTS[place.endpoint]}
    return way | {place.endpoint} if place.linked else way


def number_of(place: Place, life: int) -> int:
    """Return the number of a peer in one life of its process."""
    return (place.worker * _LIVES + life) * _PLACES + place.position


def position_of(peer: int) -> int:
    """Return which peer it is, from its number."""
    return peer % _PLACES


def kind_of(peer: int) -> str:
    """Return the kind of a peer, from its number."""
    return _PATTERN[position_of(peer) % len(_PATTERN)]


def worker_of(peer: int) -> tuple[int, int]:
    """Return the worker that a peer belongs to, and which life of it."""
    return divmod(peer // _PLACES, _LIVES)


def token_of(peer: int, count: int) -> int:
    """Return the token of a call, which no other call has."""
    return peer * _TOKENS + count


def peer_of(token: int) -> int:
    """Return the number of the peer whose call it is."""
    return token // _TOKENS
