"""Small calls: one at a time, from many tasks, from many clients."""

from __future__ import annotations

from dev.benchmarks.children import Child
from dev.benchmarks.harness import Fleet, Settings
from dev.benchmarks.model import Experiment, Opener, Point, Probe, Row, Target
from dev.benchmarks.rows.units import CALLS_PER_SECOND, MICROSECONDS
from dev.benchmarks.transports import PEERS, TRANSPORTS

__all__ = ["growth", "small_calls", "waiting_calls"]

_COUNT = 2000  # round trips in one round
_WAITING_COUNT = 1000  # calls that take 1 ms each, in one round
_ONE_BY_ONE_COUNT = 150  # the same where they wait for each other
_TASKS = 100
_CLIENTS = (1, 3, 10, 30, 100)

_RAW = TRANSPORTS["raw-asyncio"].label
_THREADS = TRANSPORTS["raw-threads"].label
_CLIENT = TRANSPORTS["client"].label
_ASYNCIO = TRANSPORTS["asyncio"].label
_HUNDRED = f"{_ASYNCIO}, 100 tasks"
_MANY = "100 sipyco AsyncioClients"
_PEER_LABELS = tuple(TRANSPORTS[name].label for name in ("multiprocessing", *PEERS))


def _probe(driver: Child, action: str, *arguments: object) -> Probe:
    return lambda: float(driver.ask(action, *arguments)) * 1e6


def small_calls(fleet: Fleet, settings: Settings) -> list[Experiment]:
    """Make the rows about one small call after another, and from 100 tasks."""
    count = settings.count(_COUNT)

    def opener(name: str) -> Opener:
        return lambda: _probe(fleet.driver(name, settings.core), "echo", count)

    def tasks() -> Probe:
        return _probe(fleet.driver("asyncio", settings.core), "echo_tasks", _TASKS, count)

    names = ["client", "asyncio", "raw-asyncio", "raw-threads", "multiprocessing"]
    if settings.peers:
        names += PEERS
    contenders = {TRANSPORTS[name].label: opener(name) for name in names}
    contenders[_HUNDRED] = tasks
    rows = (
        Row(
            name="call.blocking",
            title="small call, blocking client",
            subject=_CLIENT,
            limit=_RAW,
            target=Target(1.45, "at most", compiled=1.35),
            others=(_THREADS, *_PEER_LABELS),
        ),
        Row(
            name="call.asyncio",
            title="small call, asyncio client",
            subject=_ASYNCIO,
            limit=_RAW,
            target=Target(1.9, "at most"),
            others=(_THREADS, *_PEER_LABELS),
        ),
        Row(
            name="call.tasks",
            title="small call from 100 tasks",
            subject=_HUNDRED,
            limit=_RAW,
            target=Target(0.9, "at most"),
        ),
    )
    return [Experiment("call", MICROSECONDS, contenders, rows)]


def waiting_calls(fleet: Fleet, settings: Settings) -> list[Experiment]:
    """Make the row about calls that wait on the server, many at once."""
    count, one_by_one = settings.count(_WAITING_COUNT), settings.count(_ONE_BY_ONE_COUNT)

    def opener(action: str, number: int, repeat: int) -> Opener:
        def open_probe() -> Probe:
            driver = fleet.driver("parallel", settings.core)
            return lambda: 1 / float(driver.ask(action, number, repeat))

        return open_probe

    contenders = {
        _HUNDRED: opener("pause_tasks", _TASKS, max(_TASKS, count)),
        f"{_ASYNCIO}, 1 task": opener("pause_tasks", 1, one_by_one),
        _MANY: opener("pause_clients", _TASKS, max(_TASKS, count)),
    }
    row = Row(
        name="waiting",
        title="100 tasks on one asyncio client, the method sleeps 1 ms",
        subject=_HUNDRED,
        limit=f"{_ASYNCIO}, 1 task",
        target=Target(20, "at least"),
        others=(_MANY,),
    )
    return [Experiment("waiting", CALLS_PER_SECOND, contenders, (row,))]


def growth(fleet: Fleet, settings: Settings) -> list[Experiment]:
    """Make the curve of calls against the number of clients of one server."""
    count = settings.count(_COUNT)

    def opener(name: str, clients: int) -> Opener:
        def open_probe() -> Probe:
            driver = fleet.driver(name, settings.core)
            return lambda: 1 / float(driver.ask("echo_clients", clients, max(clients, count)))

        return open_probe

    return [
        Experiment(
            f"clients.{clients}",
            CALLS_PER_SECOND,
            {
                _ASYNCIO: opener("asyncio", clients),
                f"{_RAW}, both ends": opener("raw-asyncio", clients),
            },
            point=Point("clients", clients),
        )
        for clients in _CLIENTS
    ]
