"""The processes and the links of a run, and what is done to them. When, the conductor decides."""

from __future__ import annotations

import os
import random
import signal
import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from dev.benchmarks.children import Child, ChildError
from dev.faults.proxy import FaultProxy
from dev.soak.disturbances import Disturbance
from dev.soak.growth import Sample
from dev.soak.ledger import Ledger
from dev.soak.peers import ENDPOINTS, Place
from dev.soak.schedule import Fault

__all__ = ["Laboratory", "Process"]

HOST: Final = "127.0.0.1"
_MODULE: Final = "dev.soak.processes"
_CLASSES: Final = {
    "rpc server": "RPCService",
    "publisher": "PublishingService",
    "log server": "LogService",
}

# A program that connects to a port from which the system also takes those of clients may meet
# itself there, while the server is away; and the server could not come back.
_PORTS: Final = range(15_000, 32_000)

_LINK_BUFFER: Final = 64 * 1024  # bytes: a stall is felt soon
_ANSWER: Final = 60.0  # seconds for a process to answer; `stop` of a worker may wait for 20


def _free_ports(count: int) -> list[int]:
    """Find ports that nobody listens on, and that clients do not get by themselves."""
    candidates = random.sample(_PORTS, len(_PORTS))  # two runs at a time should not meet
    found: list[int] = []
    for port in candidates:
        try:
            socket.create_server((HOST, port)).close()
        except OSError:
            continue
        found.append(port)
        if len(found) == count:
            return found
    raise OSError(f"expected {count} free ports in {_PORTS}, found {len(found)}")


class Process:
    """A process that is started again whenever it was ended.

    Attributes:
        name: of the process.
        life: how many times it was started before.
        samples: what it held in quiet moments, by its lives.
    """

    def __init__(self, name: str, kind: str, folder: Path, *arguments: Any) -> None:
        self.name = name
        self.life = -1
        self.samples: dict[int, list[Sample]] = {}
        self._kind = kind
        self._folder = folder
        self._arguments = arguments
        self._child: Child | None = None

    @property
    def child(self) -> Child:
        """The process of now."""
        assert self._child is not None
        return self._child

    def start(self) -> None:
        """Start it, once more."""
        self.life += 1
        self._child = Child(
            _MODULE, self._kind, str(self._folder), self.name, self.life, *self._arguments
        )

    def ask(self, action: str) -> Any:
        """Call a method of it.

        Raises:
            ChildError: it raised, or the process has ended or is stuck.
        """
        try:
            self.child.tell(action)
            return self.child.answer(_ANSWER)
        except ChildError as exc:
            raise ChildError(f"{self.name}: {action}: {exc}") from exc

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self.child.pid, number)

    def close(self, patience: float = 3.0) -> None:
        """End it. May be repeated."""
        if self._child is not None and not self._child.closed:
            with suppress(ProcessLookupError):  # it may have ended by itself
                self.signal(signal.SIGCONT)  # one that is stopped could do nothing else
            self._child.close(patience)


class Laboratory:
    """A context in which the processes run.

    Args:
        places: of the peers.
        folder: for the files of the run.

    Attributes:
        processes: by their names; the services come first.
        workers: those full of peers.
        links: by the names of their endpoints.
        disturbances: what was done, and when.
        counts: how often, by kinds.
        killed: the workers that were killed, with their lives.
        failure: why the run cannot go on, or None.
        stopping: set it to end what waits.
    """

    def __init__(self, places: list[Place], folder: Path) -> None:
        ports = dict(zip(ENDPOINTS, _free_ports(len(ENDPOINTS)), strict=True))
        self.places = places
        self.links = {
            endpoint: FaultProxy(port, HOST, buffer_size=_LINK_BUFFER)
            for endpoint, port in ports.items()
        }
        self.processes: dict[str, Process] = {}
        for name, kind in _CLASSES.items():
            own = {
                endpoint: ports[endpoint] for endpoint in ENDPOINTS if ENDPOINTS[endpoint] == name
            }
            self.processes[name] = Process(name, kind, folder, HOST, own)
        self.workers: list[Process] = []
        self._ports = ports
        self._folder = folder
        self.disturbances: list[Disturbance] = []
        self.counts: Counter[str] = Counter()
        self.killed: set[tuple[int, int]] = set()
        self.failure: str | None = None
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._busy: dict[str, threading.Lock] = {}
        self._open: list[FaultProxy] = []
        self._diary = Ledger(str(folder / "faults"))

    def __enter__(self) -> Self:
        try:
            for link in self.links.values():
                link.__enter__()
                self._open.append(link)
            for process in self.processes.values():
                process.start()
            for number in range(self.places[-1].worker + 1):
                own = [place for place in self.places if place.worker == number]
                ports = [
                    self.links[place.endpoint].port
                    if place.linked
                    else self._ports[place.endpoint]
                    for place in own
                ]
                worker = Process(f"worker {number}", "Worker", self._folder, HOST, own, ports)
                self.processes[worker.name] = worker
                self.workers.append(worker)
                worker.start()
        except BaseException:
            self.close()
            raise
        self._busy = {name: threading.Lock() for name in (*self.processes, *self.links)}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all processes and links. May be repeated."""
        self.stopping.set()
        for process in self.processes.values():
            process.close()
        while self._open:
            self._open.pop().__exit__(None, None, None)
            if not self._open:
                self._diary.close()

    def kill(self) -> None:
        """End all processes at once; nothing is told from here on."""
        for process in self.processes.values():
            process.close(0.0)

    def inflict(self, fault: Fault) -> None:
        """Do what a fault says, as long as it says; in a thread of its own."""
        with self._busy[fault.target]:  # the one before it may have taken longer than planned
            if self.stopping.is_set():
                return
            begin = time.monotonic()
            try:
                if fault.target in self.processes:
                    self._spoil_process(fault, self.processes[fault.target])
                else:
                    self._spoil_link(fault, self.links[fault.target])
            except Exception as exc:  # noqa: BLE001  (told with the run's result)
                self.failure = f"{fault.kind} of {fault.target}: {type(exc).__name__}: {exc}"
                self.stopping.set()
            disturbance = Disturbance(begin, time.monotonic(), fault.kind, fault.target)
            self._diary.write(*disturbance)
            with self._lock:
                self.counts[fault.kind] += 1
                self.disturbances.append(disturbance)

    def _spoil_process(self, fault: Fault, process: Process) -> None:
        if fault.kind == "pause":
            process.signal(signal.SIGSTOP)
            try:
                self.stopping.wait(fault.seconds)
            finally:
                process.signal(signal.SIGCONT)
            return
        if fault.kind == "kill":
            process.signal(signal.SIGKILL)
            if process in self.workers:
                self.killed.add((self.workers.index(process), process.life))
        else:
            complaints = process.ask("stop")
            if complaints:
                raise ChildError("; ".join(complaints))
        process.close()
        if not self.stopping.wait(fault.seconds):
            process.start()

    def _spoil_link(self, fault: Fault, link: FaultProxy) -> None:
        strength = fault.strength
        if fault.kind == "cut":
            link.cut()
        elif fault.kind == "reset":
            link.reset()
            return
        elif fault.kind == "slow":
            link.delay(0.1 * strength)
            link.rate(20_000 + 400_000 * (1 - strength))
        elif fault.kind == "stall":
            link.stall()
        elif fault.kind == "split":
            link.split(1 + int(400 * strength**2))
        else:
            link.truncate(int(50_000 * strength**2), "both")
        try:
            self.stopping.wait(fault.seconds)
        finally:
            link.clear()
