"""Calls that nobody waits for: what they send, and what becomes of them at the end."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import pytest

from sipyco_pyon import pyon
from sipyco_rpc import fire_and_forget
from sipyco_rpc._client import unawaited_calls
from sipyco_rpc.fire_and_forget import FFProxy
from sipyco_rpc.pc_rpc import BestEffortClient, Client, Server
from support.certificates import paths_of
from support.gates import GatedTarget
from support.peers import (
    DEADLINE,
    HOST,
    Peer,
    handshake,
    rpc_server,
    running_server,
    scripted_server,
    until,
)
from support.transports import secured


class Display(GatedTarget):
    """Keeps what it is shown, once it may."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[Any] = []
        self.released.set()

    def show(self, *values: Any) -> None:
        self._enter()
        self.shown.append(values)

    def fail(self) -> None:
        raise OSError("no paper")

    async def later(self) -> None:
        raise AssertionError


class Closable(Display):
    """Has a method that servers say is not to be called by clients."""

    def close_rpc(self) -> None:
        self.shown.append("closed")


@contextmanager
def stopped_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[threading.Thread]]:
    """Have threads begin only after the block, as on a machine that is busy."""
    start, waiting = threading.Thread.start, list[threading.Thread]()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda thread: waiting.append(thread))
        yield waiting
    for thread in waiting:
        start(thread)


class Point:
    """A type that PYON is taught."""

    def __init__(self, x: list[int]) -> None:
        self.x = x


@pytest.fixture
def taught() -> Iterator[None]:
    pyon.register([Point], name="FiredPoint", encode=lambda p: (p.x,), decode=Point)
    yield
    pyon.deregister([Point], "FiredPoint")


@pytest.mark.usefixtures("taught")
def test_what_is_shown_is_what_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    numpy = pytest.importorskip("numpy")
    display = Display()
    proxy = FFProxy(display)
    frame, inner = numpy.ones(5), numpy.ones((2, 3), order="F")
    names, numbers, memory, point = ["a"], {1}, bytearray(b"a"), Point([1])
    nested = {"list": names, "tuple": (inner, [inner]), "set": numbers}
    ordered, counts = OrderedDict(a=[1]), defaultdict(list, a=[1])
    record = numpy.zeros(1, [("x", "i4")])[0]
    with stopped_threads(monkeypatch):
        proxy.show(frame, nested, memory, point, ordered, counts, record)
        frame[:] = 99
        inner[:] = 99
        names.append("b")
        numbers.add(2)
        memory += b"b"
        point.x.append(2)
        ordered["a"].append(2)
        counts["a"].append(2)
        record["x"] = 5
    proxy.ff_join()
    [got] = display.shown
    assert (got[0] == 1).all()
    assert got[1]["list"] == ["a"]
    assert (got[1]["tuple"][0] == 1).all()
    assert got[1]["tuple"][1][0] is got[1]["tuple"][0]
    assert got[1]["set"] == {1}
    assert got[2] == b"a"
    assert got[3].x == [1]
    assert got[4] == OrderedDict(a=[1])
    assert got[5] == {"a": [1]}
    assert got[6]["x"] == 0


def test_what_cannot_be_sent_is_passed_on_as_it_is() -> None:
    display = Display()
    proxy = FFProxy(display)
    lock, driver = threading.Lock(), object()
    given = [lock, (driver, print), Fraction(1, 3), None, 5, "text"]
    proxy.show(given)
    proxy.ff_join()
    assert display.shown == [(given,)]
    assert display.shown[0][0][0] is lock
    assert display.shown[0][0][1][0] is driver


@secured
@pytest.mark.parametrize("best_effort", [False, True])
def test_what_is_sent_is_what_was_given(
    tls: bool, best_effort: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    numpy = pytest.importorskip("numpy")
    display = Display()
    with (
        rpc_server_of(display, tls) as port,
        client_of(port, tls, best_effort) as client,
        FFProxy(client) as proxy,
    ):
        frame = numpy.ones(2_000_000)
        with stopped_threads(monkeypatch):
            proxy.show(frame)
            frame[:] = 99
    assert (display.shown[0][0] == 1).all()


@contextmanager
def rpc_server_of(display: Display, tls: bool) -> Iterator[int]:
    certificates = paths_of("server", "client") if tls else {}
    with running_server(lambda: Server({"t": display}, threaded=True), **certificates) as port:
        yield port


def client_of(port: int, tls: bool, best_effort: bool) -> Any:
    kind: Any = BestEffortClient if best_effort else Client
    return kind(HOST, port, "t", **(paths_of("client", "server") if tls else {}))


# --- closing -----------------------------------------------------------------------------------


@secured
@pytest.mark.parametrize("best_effort", [False, True])
def test_nothing_is_lost_when_the_client_is_closed_at_once(
    tls: bool, best_effort: bool, caplog: pytest.LogCaptureFixture
) -> None:
    display = Display()
    with rpc_server_of(display, tls) as port:
        for number in range(10):
            with client_of(port, tls, best_effort) as client:
                FFProxy(client).show(number)
    assert display.shown == [(number,) for number in range(10)]
    assert caplog.messages == []


def test_nothing_is_lost_when_the_proxy_is_closed_at_once() -> None:
    display = Display()
    with rpc_server({"t": display}, threaded=True) as port:
        client = Client(HOST, port, "t")
        proxy = FFProxy(client)
        proxy.show(1)
        proxy.close_rpc()
        with pytest.raises(ConnectionError, match="closed by this program"):
            client.show(2)
    assert display.shown == [(1,)]


def test_leaving_the_block_waits_and_leaves_the_target_as_it_is() -> None:
    display = Closable()
    with FFProxy(display) as proxy:
        proxy.show(1)
    assert display.shown == [(1,)]
    proxy.close_rpc()
    assert display.shown == [(1,), "closed"]


def test_closing_waits_for_a_limited_time_and_says_in_one_line_what_it_dropped(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unawaited_calls, "UNAWAITED_CALL_TIMEOUT", 0.01)
    closed = threading.Event()

    def play(peer: Peer) -> None:
        handshake(peer)
        peer.line()
        assert closed.wait(DEADLINE)

    with scripted_server(play) as port:
        client = Client(HOST, port)
        proxy = FFProxy(client)
        proxy.f(1)
        client.close_rpc()
        closed.set()
        proxy.ff_join()
    [message] = caplog.messages
    assert message.startswith(f"closing <Client of `test` on 127.0.0.1 port {port}>: dropping f, ")
    assert message.endswith("which still runs after 0.01 s")
    assert "Traceback" not in caplog.text


def test_a_call_on_a_client_that_is_closed_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with rpc_server({"t": Display()}) as port:
        client = Client(HOST, port, "t")
        proxy = FFProxy(client)
        client.close_rpc()
        proxy.show(1)
        proxy.ff_join()
    [message] = caplog.messages
    assert message.startswith("dropping show: ")
    assert message.endswith("was closed by this program")
    assert "Traceback" not in caplog.text


def test_what_a_remote_method_raises_has_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with rpc_server({"t": Display()}) as port, Client(HOST, port, "t") as client:
        proxy = FFProxy(client)
        proxy.fail()
        proxy.ff_join()
    assert caplog.messages == ["fail raised an exception"]
    assert "OSError: no paper" in caplog.text
    assert "Remote traceback" in caplog.text


def test_a_method_may_close_the_client_that_it_was_fired_at() -> None:
    with rpc_server({"t": Display()}) as port:
        client = Client(HOST, port, "t")

        class Target:
            def leave(self) -> None:
                proxy.ff_join()
                client.close_rpc()

        proxy = FFProxy(Target())
        with proxy:
            proxy.leave()


def test_a_coroutine_function_is_no_method_for_a_thread(caplog: pytest.LogCaptureFixture) -> None:
    with FFProxy(Display()) as proxy:
        proxy.later()
    assert "it gives a coroutine, which nobody would await" in caplog.text


PROGRAM = """
import sys, threading
from sipyco_rpc.fire_and_forget import FFProxy
from sipyco_rpc.pc_rpc import Client
{before}
client = Client("127.0.0.1", int(sys.argv[1]), "t")
FFProxy(client).show("last words")
{after}
"""


@pytest.mark.parametrize("after", ["", "sys.exit(0)", "client.close_rpc()"])
def test_the_end_of_the_program_waits(after: str) -> None:
    display = Display()
    with rpc_server({"t": display}, threaded=True) as port:
        program = PROGRAM.format(before="", after=after)
        command = [sys.executable, "-W", "ignore::ResourceWarning", "-c", program, str(port)]
        ended = subprocess.run(command, timeout=DEADLINE, capture_output=True, check=True)
    assert display.shown == [("last words",)]
    assert ended.stderr == b""


def test_the_end_of_the_program_waits_for_a_limited_time() -> None:
    display = Display()
    display.released.clear()
    with rpc_server({"t": display}, threaded=True) as port:
        program = PROGRAM.format(
            before="from sipyco_rpc._client import unawaited_calls as u\n"
            "u.UNAWAITED_CALL_TIMEOUT = 0.01",
            after="",
        )
        command = [sys.executable, "-W", "ignore::ResourceWarning", "-c", program, str(port)]
        ended = subprocess.run(command, timeout=DEADLINE, capture_output=True, check=True)
        display.released.set()
    assert ended.stderr.splitlines() == [
        b"the program ends: dropping show, which still runs after 0.01 s"
    ]


def test_at_the_very_end_of_the_program_a_call_is_refused(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fire_and_forget._shared, "ending", False)
    fire_and_forget._shared.finish()
    FFProxy(Display()).show(1)
    assert caplog.messages == ["skipping show: the program ends"]


# --- threads that do not begin -----------------------------------------------------------------


def refuse(*args: Any) -> None:
    raise RuntimeError("can't start new thread")


def out_of_memory(*args: Any) -> None:
    raise MemoryError


@pytest.mark.parametrize(
    ("where", "how", "reason"),
    [
        ("start", refuse, "RuntimeError: can't start new thread"),
        ("start", out_of_memory, "MemoryError()"),
        ("__init__", refuse, "RuntimeError: can't start new thread"),
    ],
    ids=["a limit", "memory", "an interpreter without threads that end with it"],
)
def test_a_thread_that_cannot_be_started_is_said_and_the_next_call_works(
    where: str,
    how: Callable[..., None],
    reason: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    display = Display()
    proxy = FFProxy(display)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, where, lambda *args, **kwargs: how())
        proxy.show(1)
        proxy.ff_join()
    assert caplog.messages == [f"skipping show: it could not be started: {reason}"]
    proxy.show(2)
    proxy.ff_join()
    assert display.shown == [(2,)]
    assert not unawaited_calls.under_way


@pytest.mark.parametrize("begun", [False, True])
def test_ctrl_c_while_a_thread_begins_leaves_the_proxy_usable(
    begun: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    display = Display()
    proxy = FFProxy(display)
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        if begun:
            start(thread)
            assert display.entered.wait(DEADLINE)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            proxy.show(1)
    proxy.ff_join()
    proxy.show(2)
    proxy.ff_join()
    assert display.shown == ([(1,), (2,)] if begun else [(2,)])


def test_arguments_that_cannot_be_copied_are_said(caplog: pytest.LogCaptureFixture) -> None:
    circle: list[Any] = []
    circle.append(circle)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    display = Display()
    proxy = FFProxy(display)
    proxy.show(circle)
    proxy.ff_join()
    [[got]] = display.shown
    assert got is not circle
    assert got[0] is got
    proxy.show(deep)
    assert caplog.messages[0].startswith("skipping show: it could not be started: RecursionError")
    proxy.show(2)
    proxy.ff_join()
    assert display.shown[1:] == [(2,)]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of another kind")
def test_ctrl_c_while_it_is_waited_for_leaves_one_call_at_a_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    display = Display()
    display.released.clear()
    proxy = FFProxy(display)
    proxy.show(1)
    assert display.entered.wait(DEADLINE)
    main = threading.get_ident()

    def interrupt() -> None:
        until(
            lambda: sys._current_frames()[main].f_code is unawaited_calls.FiredCall.wait.__code__
        )
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        proxy.ff_join()
    thread.join()
    proxy.show(2)
    assert caplog.messages == ["skipping show: the previous call still runs"]
    display.released.set()
    proxy.ff_join()
    assert display.shown == [(1,)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of threads at a fork
def test_a_child_process_does_not_wait_for_threads_of_its_parent() -> None:
    display = Display()
    display.released.clear()
    proxy = FFProxy(display)
    proxy.show(1)
    assert display.entered.wait(DEADLINE)
    child = os.fork()
    if child == 0:
        display.released.set()
        proxy.ff_join()
        proxy.show(2)
        proxy.ff_join()
        os._exit(0 if display.shown == [(2,)] and not unawaited_calls.under_way else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    display.released.set()
    proxy.ff_join()
    assert display.shown == [(1,)]


def test_the_logger_has_its_historical_name() -> None:
    assert fire_and_forget.logger is logging.getLogger("sipyco.fire_and_forget")
