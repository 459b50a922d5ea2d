"""What runs in the processes of the laboratory: servers, and workers full of peers.

`dev.benchmarks.child` makes one of these objects in each process, and calls its methods when
asked.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

from dev.soak.accounts import HANG
from dev.soak.asyncio_callers import AsyncioCaller
from dev.soak.callers import Situation
from dev.soak.growth import take
from dev.soak.ledger import Ledger
from dev.soak.listeners import ForwarderPeer, ReceiverPeer, SubscriberPeer, ThreadSubscriberPeer
from dev.soak.peers import (
    ASYNCIO,
    BEST_EFFORT,
    CLIENT,
    FORWARDER,
    RECEIVER,
    STRUCTURES,
    SUBSCRIBER,
    THREAD_SUBSCRIBER,
    Place,
    number_of,
)
from dev.soak.structures import digest, first, step
from dev.soak.targets import NAME, Target, ThreadedTarget
from dev.soak.thread_callers import BestEffortCaller, BlockingCaller
from sipyco_rpc.pc_rpc import Server
from sipyco_sync.broadcast import Broadcaster
from sipyco_sync.sync_struct import Notifier, Publisher
from sipyco_tools.logging_tools import Server as LogServer

__all__ = ["LogService", "PublishingService", "RPCService", "Worker"]

_STOPPING: Final = 10.0  # seconds: servers promise 3, on a machine with time to spare
_LAST_MOMENT: Final = 2.0  # seconds, at least, for a peer to end
_STEP: Final = 0.1  # seconds between two steps of a structure
_SEND_BUFFER: Final = 64 * 1024  # bytes: a subscriber that is stopped is soon behind
_MAX_BACKLOG: Final = 512 * 1024  # bytes, for the same reason
_RECORD: Final = re.compile(r"record (\d+) line 0 of (\d)")
_DROPPED: Final = re.compile(r"(\d+) log messages? (?:was|were) dropped, as ")
_SOURCE: Final = re.compile(r"peer(\d+)")

_PEERS: Final[dict[str, Callable[[Situation], Any]]] = {
    CLIENT: BlockingCaller,
    ASYNCIO: AsyncioCaller,
    BEST_EFFORT: BestEffortCaller,
    SUBSCRIBER: SubscriberPeer,
    THREAD_SUBSCRIBER: ThreadSubscriberPeer,
    RECEIVER: ReceiverPeer,
    FORWARDER: ForwarderPeer,
}


class _Process:
    """A process with a loop in a thread.

    Args:
        folder: of the files of the run.
        name: of the process.
        life: how many times it was started before.
    """

    def __init__(self, folder: str, name: str, life: int) -> None:
        file = f"{name.replace(' ', '-')}-{life}"
        self.folder = Path(folder)
        self.ledger = Ledger(str(self.folder / f"{file}.ledger"))
        said = logging.FileHandler(self.folder / f"{file}.log")
        said.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))
        said.setLevel(logging.WARNING)
        logging.getLogger().addHandler(said)
        logging.getLogger().addHandler(_Errors(self.ledger, name))
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def run(self, coroutine: Coroutine[Any, Any, Any], patience: float = 30.0) -> Any:
        """Run a coroutine in the loop, and wait for it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(patience)

    def sample(self) -> tuple[float, int, int, int, int]:
        """Return what this process holds."""
        return take(self.loop)

    def stop(self) -> list[str]:
        """End in an orderly way; return what did not."""
        began = time.monotonic()
        self.run(self._stop())
        took = time.monotonic() - began
        return [f"stopping took {took:.1f} s"] if took > _STOPPING else []

    async def _stop(self) -> None:
        raise NotImplementedError


class _Errors(logging.Handler):
    """Put errors that the library logs into the account: nothing here should lead to one."""

    def __init__(self, ledger: Ledger, name: str) -> None:
        super().__init__(logging.ERROR)
        self._ledger = ledger
        self._name = name

    def emit(self, record: logging.LogRecord) -> None:
        """Put a record down."""
        text = record.getMessage()
        if record.exc_info:
            text += f" ({record.exc_info[1]!r})"
        self._ledger.write("x", f"an error was logged: by the {self._name}: {text}")


class RPCService(_Process):
    """A server for each way of serving.

    Args:
        folder, name, life: of the process.
        host: where to listen.
        ports: the ports, by the names of the endpoints.
    """

    def __init__(
        self, folder: str, name: str, life: int, host: str, ports: dict[str, int]
    ) -> None:
        super().__init__(folder, name, life)
        journal = Ledger(str(self.folder / "executed"))
        self.run(self._start(Target(journal), ThreadedTarget(journal), host, ports))

    async def _start(
        self, target: Target, threaded: ThreadedTarget, host: str, ports: dict[str, int]
    ) -> None:
        self._servers = {
            "turns": Server({NAME: target}),
            "parallel": Server({NAME: target}, allow_parallel=True),
            "threaded": Server({NAME: threaded}, threaded=True),
            "lines": Server({NAME: target}, frames=False),
        }
        for flavour, server in self._servers.items():
            await server.start(host, ports[flavour])

    async def _stop(self) -> None:
        for server in self._servers.values():
            await server.stop()


class PublishingService(_Process):
    """A publisher of structures that change all the time, and a broadcaster.

    The structures change in threads, as those of many programs do; messages are sent in the loop.

    Args:
        folder, name, life, host, ports: see `RPCService`.
    """

    def __init__(
        self, folder: str, name: str, life: int, host: str, ports: dict[str, int]
    ) -> None:
        super().__init__(folder, name, life)
        self._frozen = threading.Event()
        self._run_number = life
        self.run(self._start(host, ports))
        self._threads = [
            threading.Thread(target=self._change, args=(notifier,), daemon=True)
            for notifier in self._notifiers.values()
        ]
        for thread in self._threads:
            thread.start()

    async def _start(self, host: str, ports: dict[str, int]) -> None:
        self._notifiers = {
            name: Notifier(first(self._run_number, size)) for name, size in STRUCTURES.items()
        }
        self._publisher = Publisher(self._notifiers, max_backlog=_MAX_BACKLOG)
        self._broadcaster = Broadcaster()
        await self._publisher.start(host, ports["structures"])
        assert self._publisher.server is not None
        for sock in self._publisher.server.sockets:  # what is accepted has the same
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        await self._broadcaster.start(host, ports["messages"])
        self._sending = asyncio.create_task(self._send())

    def freeze(self) -> dict[str, str]:
        """Change nothing any more; return the digests of the structures."""
        self._frozen.set()
        for thread in self._threads:
            thread.join()
        return {name: digest(notifier.raw_view) for name, notifier in self._notifiers.items()}

    def _change(self, notifier: Notifier) -> None:
        number = 0
        while not self._frozen.wait(_STEP):
            number += 1
            for _ in step(notifier, number):
                pass

    async def _send(self) -> None:
        number = 0
        while True:
            text = f"event {number} of run {self._run_number}"
            self._broadcaster.broadcast("events", (self._run_number, number, text))
            number += 1
            await asyncio.sleep(_STEP / 2)

    async def _stop(self) -> None:
        self._frozen.set()
        self._sending.cancel()
        await self._publisher.stop()
        await self._broadcaster.stop()


class LogService(_Process):
    """The log server; it writes the numbers of the records that arrive into a journal.

    Args:
        folder, name, life, host, ports: see `RPCService`.
    """

    def __init__(
        self, folder: str, name: str, life: int, host: str, ports: dict[str, int]
    ) -> None:
        super().__init__(folder, name, life)
        logging.getLogger().addHandler(_Arrivals(Ledger(str(self.folder / "arrived"))))
        logging.getLogger("fwd").setLevel(logging.INFO)
        self.run(self._start(host, ports))

    async def _start(self, host: str, ports: dict[str, int]) -> None:
        self._server = LogServer()
        await self._server.start(host, ports["logs"])

    async def _stop(self) -> None:
        await self._server.stop()


class _Arrivals(logging.Handler):
    """Write down which records have arrived, and whether they are as they were logged."""

    def __init__(self, journal: Ledger) -> None:
        super().__init__()
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record down."""
        source = record.__dict__.get("source")
        if source is None:
            text = record.getMessage()
            # It says who sent what it must not: no forwarder of ours does.
            if "dropping connection" in text:
                self._journal.write("x", f"the log server refused something: {text}")
            return
        text = record.getMessage()
        dropped = _DROPPED.match(text)
        if dropped:
            self._journal.write("d", dropped[1])
            return
        peer, head = _SOURCE.fullmatch(source), _RECORD.match(text)
        if peer and head:
            number, lines = head[1], int(head[2])
            right = "\n".join(f"record {number} line {line} of {lines}" for line in range(lines))
            if text == right and record.name == f"soak.peer{peer[1]}":
                self._journal.write("r", peer[1], number)
                return
        self._journal.write("x", f"a log record was invented: {source}: {text!r:.200}")


class Worker(_Process):
    """A process full of peers.

    Args:
        folder, name, life, host: see `RPCService`.
        places: of the peers, as lists.
        ports: to connect to, one for each place.
    """

    def __init__(
        self,
        folder: str,
        name: str,
        life: int,
        host: str,
        places: list[list[Any]],
        ports: list[int],
    ) -> None:
        super().__init__(folder, name, life)
        self._peers: dict[int, Any] = {}
        self._before: dict[int, int] = {}
        for fields, port in zip(places, ports, strict=True):
            place = Place(*fields)
            situation = Situation(
                number_of(place, life),
                host,
                port,
                place.name,
                place.endpoint != "lines",
                place.alternative,
                self.ledger,
                self.loop,
            )
            self._peers[situation.number] = _PEERS[place.kind](situation)
        self.run(self._start())

    async def _start(self) -> None:
        for peer in self._peers.values():
            peer.start()

    def begin_quiet(self) -> None:
        """Remember what every peer has done until now."""
        self._before = {number: peer.completed for number, peer in self._peers.items()}

    def idle(self) -> list[int]:
        """Return the peers that have done nothing since then."""
        return [
            number
            for number, peer in self._peers.items()
            if peer.completed <= self._before.get(number, 0)
        ]

    def copies(self) -> dict[int, tuple[str, str] | None]:
        """Return the digests of the copies that peers have, by their numbers."""
        return {
            number: peer.copy() for number, peer in self._peers.items() if hasattr(peer, "copy")
        }

    def fall_silent(self) -> list[int]:
        """Log no more; return the numbers of the peers that did."""
        logging_peers = [
            number for number, peer in self._peers.items() if isinstance(peer, ForwarderPeer)
        ]
        for number in logging_peers:
            self._peers[number].fall_silent()
        return logging_peers

    def stop(self) -> list[str]:
        """End all peers; return what did not end."""
        deadline = time.monotonic() + HANG
        stuck = []
        for number, peer in self._peers.items():
            # One that is stuck must not make others seem so.
            if not peer.stop(max(deadline, time.monotonic() + _LAST_MOMENT)):
                stuck.append(f"peer {number} is stuck")
        return stuck
