"""Clients, a server that dies and comes back, and a bad link between them: the contract holds.

What happens is made up by hypothesis, recorded, and judged by `support.histories.judge`.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dev.faults.proxy import FaultProxy
from sipyco_rpc.pc_rpc import AsyncioClient, Client, IncompatibleServer, LineTooLong
from sipyco_rpc.support import backoff
from sipyco_rpc.support.memory import MIB
from support.certificates import paths_of
from support.fleet import BUFFER_SIZE, LONG, Fleet, LoopThread, ServerHost
from support.histories import Answered, Begun, Event, Executed, Failed, Recorder, judge
from support.peers import DEADLINE, HOST, until
from support.records import recorded

SHORT = 0.02  # seconds for calls that may wait for what the history holds back
KINDS = ["Client", "AsyncioClient", "BestEffortClient"]

names = st.sampled_from(["A", "B", "C"])
directions = st.sampled_from(["up", "down", "both"])
sizes = st.sampled_from([0, 10, 3000, 100_000])  # of which the last is not sent at once

CALLS = st.one_of(
    st.tuples(st.just("echo"), names, st.integers(1, 4), sizes, st.booleans()),
    st.tuples(st.just("slow"), names, st.integers(1, 3), sizes, st.booleans()),
    st.tuples(st.just("items"), names, st.integers(1, 40), st.booleans(), st.booleans()),
    st.tuples(st.just("cancel"), names, st.integers(1, 3), st.integers(0, 4)),
)
EVENTS = st.one_of(
    st.tuples(st.sampled_from(["kill", "back", "back", "hold", "release", "join"])),
    st.tuples(st.just("close"), names),
    st.tuples(st.just("connect"), names, st.sampled_from(KINDS)),
    st.tuples(st.sampled_from(["reset", "cut", "clear", "clear"])),
    st.tuples(st.sampled_from(["stall", "resume", "half_close"]), directions),
    st.tuples(st.just("split"), st.sampled_from([1, 500]), directions),
    st.tuples(st.just("truncate"), st.integers(0, 200), st.sampled_from(["up", "down"])),
    st.tuples(st.just("delay"), st.sampled_from([0.0, 0.001]), directions),
)
FRAMES = {"frames": True, "allow_parallel": False, "threaded": False}
PARALLEL = {"frames": True, "allow_parallel": True, "threaded": False}
LINES = {"frames": False, "allow_parallel": False, "threaded": False}
# So much happens in between that most calls are made while something is wrong.
ROUNDS = st.lists(st.tuples(CALLS, EVENTS, CALLS, CALLS), min_size=5, max_size=9)
OPTIONS = st.fixed_dictionaries(
    {name: st.booleans() for name in ("frames", "allow_parallel", "threaded")}
)


# Histories that are made up too rarely.
SENT_IN_PART = [("stall", "up"), *[("echo", name, 1, 100_000, True) for name in "ABC"], ("clear",)]
GIVEN_UP = [
    ("hold",),
    *[("slow", name, 2, 10, True) for name in "ABC"],
    *[("echo", name, 2, 3000, True) for name in "ABC"],
    ("release",),
    *[("echo", name, 2, 10, True) for name in "ABC"],
]


class Play:
    """Makes a history, step by step."""

    def __init__(
        self,
        host: ServerHost,
        proxy: FaultProxy,
        fleet: Fleet,
        recorder: Recorder,
        *,
        frames: bool,
    ) -> None:
        self._host = host
        self._proxy = proxy
        self._fleet = fleet
        self._recorder = recorder
        self._frames = frames
        self._held = False
        self._hanging = False  # what is sent may not arrive until the faults are over
        self._names: dict[str, str] = {}  # of the clients that there are now, by those of steps
        self._kinds: dict[str, str] = {}
        self._closed: set[str] = set()
        self._most = MIB  # bytes of data to send

    def do(self, step: tuple[Any, ...]) -> None:
        match step:
            case ("echo", name, count, size, wait):
                self._call(name, "echo", wait, count=count, size=size)
            case ("slow", name, count, size, wait):
                self._call(name, "slow", wait, count=count, size=size)
            case ("items", name, items, slow, wait):
                if self._frames:
                    self._call(name, "slow_items" if slow else "items", wait, items=items)
            case ("cancel", name, count, passes):
                if self._kinds.get(self._names.get(name, "")) == "AsyncioClient":
                    self._call(name, "slow", False, count=count, cancel_after=passes)
            case ("connect", name, kind):
                self.connect(name, kind)
            case ("close", name):
                if name in self._names:
                    self._close(self._names[name])
            case ("kill",):
                self._host.kill()
                self._held = False
            case ("back",):
                self._host.start()
            case ("hold",) | ("release",):
                self._held = step == ("hold",) and self._host.alive
                self._host.hold(self._held)
            case ("join",):
                self._fleet.join()
            case (fault, *details):
                if fault in ("split", "clear"):
                    self._most = 100 * details[0] if details else MIB
                self._hanging = fault != "clear" and (
                    self._hanging or fault in ("stall", "half_close")
                )
                getattr(self._proxy, fault)(*details)

    def connect(self, name: str, kind: str) -> None:
        """Make a client, in the place of one that there may be."""
        if name in self._names:
            self._close(self._names.pop(name))
        client = f"{name}{len(self._kinds)}"
        self._kinds[client] = kind
        self._fleet.connect(client, kind, self._limit(True))
        if client in self._fleet.clients:
            self._names[name] = client

    def finish(self) -> list[Event]:
        """End all faults; have every client called, and closed; return the history."""
        self._fleet.join()
        self._proxy.clear()
        self._host.start()
        self._host.hold(False)
        self._held = self._hanging = False
        for client in self._names.values():
            if self._kinds[client] == "BestEffortClient" and client not in self._closed:
                until(lambda client=client: self._is_answered(client))  # type: ignore[misc]
            else:
                self._is_answered(client)  # or fails as it may
        self._names.clear()
        self.connect("new", "Client")
        assert self._is_answered(self._names["new"]), "the server is of no use any more"
        for client in self._fleet.clients:
            self._close(client)
            assert not self._is_answered(client)
            self._close(client)
        return self._recorder.events

    def _limit(self, waited_for: bool) -> float:
        return LONG if waited_for and not self._held and not self._hanging else SHORT

    def _call(self, name: str, method: str, wait: bool, **details: Any) -> None:
        if name in self._names and self._fleet.lost[self._names[name]] > 2:
            self.connect(name, self._kinds[self._names[name]])  # enough has been seen of it
        if name in self._names:
            details["size"] = min(details.get("size", 0), self._most)
            self._fleet.call(self._names[name], method, self._limit(wait), **details)
            if wait:
                self._fleet.join()

    def _close(self, client: str) -> None:
        self._closed.add(client)
        self._fleet.close(client)

    def _is_answered(self, client: str) -> bool:
        self._fleet.call(client, "echo", LONG, may_time_out=False)
        self._fleet.join()
        ends = [
            event
            for event in self._recorder.events
            if isinstance(event, (Answered, Failed)) and event.client == client
        ]
        return isinstance(ends[-1], Answered) and ends[-1].value is not None


# `ssl.SSLSocket` leaves the socket open where a reset comes before its handshake.
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
@pytest.mark.parametrize(
    ("secured", "examples"),
    [
        pytest.param(False, 40, id="tcp"),
        pytest.param(True, 20, id="tls"),
    ],
)
def test_every_history_keeps_the_contract(
    secured: bool, examples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Hypothesis has that of the module for itself.
    monkeypatch.setattr(backoff, "random", Random(1))
    ours = paths_of("server", "client") if secured else {}
    theirs = paths_of("client", "server") if secured else {}
    with (
        LoopThread() as servers,
        LoopThread() as clients,
        ThreadPoolExecutor() as pool,
        recorded("sipyco", logging.ERROR) as errors,
    ):

        @settings(max_examples=examples)
        @given(
            OPTIONS,
            st.tuples(*[st.sampled_from(KINDS)] * 3),
            ROUNDS,
        )
        @example(FRAMES, tuple(KINDS), [SENT_IN_PART, GIVEN_UP])
        @example(PARALLEL, tuple(KINDS), [SENT_IN_PART, GIVEN_UP])
        @example(LINES, tuple(KINDS), [SENT_IN_PART, GIVEN_UP])
        def play(options: dict[str, bool], kinds: tuple[str, ...], rounds: list[Any]) -> None:
            recorder = Recorder()
            host = ServerHost(
                servers, lambda token: recorder.put(Executed(token)), ours, **options
            )
            host.start()
            try:
                with FaultProxy(host.port, buffer_size=BUFFER_SIZE) as proxy:
                    with Fleet(proxy.port, recorder, clients, pool, theirs) as fleet:
                        made = Play(host, proxy, fleet, recorder, frames=options["frames"])
                        for name, kind in zip("ABC", kinds, strict=True):
                            made.connect(name, kind)
                        for step in chain.from_iterable(rounds):
                            made.do(step)
                        history = made.finish()
                assert judge(history) == [], "\n".join(map(repr, history))
            finally:
                host.kill()
            assert (servers.errors, clients.errors, errors) == ([], [], [])

        play()


class ServerProcess:
    """A server in a process of its own, which is killed and comes back on its port."""

    def __init__(self, path: Path, frames: str) -> None:
        self.port = 0
        self._path = path
        self._frames = frames
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        arguments = [Path(__file__).with_name("history_server.py"), self.port, self._path]
        self._process = subprocess.Popen(
            [sys.executable, *map(str, arguments), self._frames],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},  # of `support`, too
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate(timeout=DEADLINE)
            self._process = None

    def executed(self) -> list[int]:
        return [int(line) for line in self._path.read_text().split()]


@pytest.mark.parametrize("frames", ["frames", "lines"])
def test_a_killed_process_has_executed_each_call_once_at_most(tmp_path: Path, frames: str) -> None:
    recorder = Recorder()
    host = ServerProcess(tmp_path / "executed", frames)
    try:
        host.start()
        with LoopThread() as clients, ThreadPoolExecutor() as pool:
            fleet = Fleet(host.port, recorder, clients, pool)
            for round_, back in enumerate([True, False]):
                for kind in KINDS:
                    if f"{kind}0" not in fleet.clients or kind != "BestEffortClient":
                        fleet.connect(f"{kind}{round_}", kind, LONG)
                for client in fleet.clients:
                    fleet.call(client, "echo", LONG, count=3, size=3000)
                fleet.join()
                for client in fleet.clients:
                    for _ in range(30):
                        fleet.call(client, "echo", LONG, count=2, size=10)
                done = len(host.executed())
                until(lambda done=done: len(host.executed()) > done)  # type: ignore[misc]
                host.kill()  # in the midst of them
                fleet.join()
                for client in fleet.clients:
                    fleet.call(client, "echo", LONG)  # fails, or is None
                fleet.join()
                if back:
                    host.start()
            for client in fleet.clients:
                fleet.close(client)
    finally:
        host.kill()
    executed = host.executed()
    assert len(set(executed)) == len(executed)
    # They were executed after they had begun, and before they ended: let the judge see them there.
    begun = {event.token: event for event in recorder.events if isinstance(event, Begun)}
    assert set(executed) <= set(begun)
    history: list[Event] = []
    for event in recorder.events:
        history.append(event)
        if isinstance(event, Begun) and event.token in executed:
            history.append(Executed(event.token))
    assert judge(history) == [], "\n".join(map(repr, history))
    lost = [
        e for e in history if isinstance(e, Failed) or (isinstance(e, Answered) and not e.value)
    ]
    assert lost, "the process was killed in vain"


def has_reason(exc: Exception) -> bool:
    """Tell whether an exception is one that a client documents, or comes from the server."""
    if any("Remote traceback" in note for note in getattr(exc, "__notes__", ())):
        return True  # the server could not take the request
    known = (OSError, EOFError, IncompatibleServer, LineTooLong, TypeError, AttributeError)
    return isinstance(exc, known) and bool(str(exc))


def test_a_corrupted_byte_stops_nobody_and_harms_no_other_connection() -> None:
    executed: list[int] = []
    with (
        LoopThread() as servers,
        LoopThread() as clients,
        recorded("sipyco", logging.ERROR) as errors,
    ):

        def converse(port: int, kind: str) -> None:
            if kind == "Client":
                with Client(HOST, port, timeout=SHORT) as client:
                    client.echo(1, bytes(2000))
                    client.echo(2, b"")
                    list(client.items(3, 20))
            else:
                clients.run(converse_in_loop(port))

        async def converse_in_loop(port: int) -> None:
            async with AsyncioClient(timeout=SHORT) as client:
                await client.connect_rpc(HOST, port)
                await client.echo(1, bytes(2000))
                await client.echo(2, b"")
                async for _ in await client.items(3, 20):
                    pass

        @settings(max_examples=80)
        @given(
            st.sampled_from(["Client", "AsyncioClient"]),
            st.sampled_from(["up", "down"]),
            st.integers(0, 400) | st.integers(0, 3000),
            st.integers(0, 7).map(lambda bit: 1 << bit),
        )
        def play(kind: str, direction: Any, at: int, mask: int) -> None:
            with FaultProxy(host.port) as proxy:
                proxy.corrupt(at, direction, mask)
                try:
                    converse(proxy.port, kind)
                except Exception as exc:
                    if not has_reason(exc):
                        raise
            assert witness.echo(7, b"x") == (7, b"x")
            assert (servers.errors, clients.errors, errors) == ([], [], [])

        host = ServerHost(servers, executed.append)
        host.start()
        try:
            with Client(HOST, host.port, timeout=DEADLINE) as witness:
                play()
        finally:
            host.kill()
