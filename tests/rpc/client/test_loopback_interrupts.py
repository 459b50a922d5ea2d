"""Ctrl-C and timeouts in the middle of calls: the next call gets its own answer, or an error."""

from __future__ import annotations

import dis
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any

import pytest

from sipyco_rpc.pc_rpc import BestEffortClient, Client, call_timeout
from support.gates import GatedTarget
from support.peers import DEADLINE, HOST, Peer, handshake, rpc_server, scripted_server, until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("either_protocol")]

# After these instructions CPython looks whether a signal has arrived, and nowhere else.
LOOKS_FOR_SIGNALS = ("CALL", "CALL_FUNCTION_EX", "CALL_KW", "JUMP_BACKWARD", "RESUME")
TIMEOUT = 20.0  # seconds for a call that is answered at once; longer is a hang


class Target:
    def __init__(self) -> None:
        self.begun = self.ended = 0

    def echo(self, x: Any) -> Any:
        return x

    def items(self) -> Iterator[bytes]:
        self.begun += 1
        try:
            for number in range(4):
                yield LARGE + b"%d" % number
        finally:
            self.ended += 1


def handler_of(code: CodeType, offset: int) -> int | None:
    """Find where an exception at an instruction would be handled."""
    for entry in dis.Bytecode(code).exception_entries:  # type: ignore[attr-defined]
        if entry.start <= offset < entry.end:
            return int(entry.target)
    return None


class Interrupter:
    """A trace function that raises KeyboardInterrupt at one of the points where Ctrl-C can.

    Args:
        number: of the point, from 1 on.
        filename: ending of the name of the file in which the points are counted.
    """

    def __init__(self, number: int, filename: str) -> None:
        self._number = number
        self._filename = filename
        self._count = 0
        self._previous: dict[FrameType, tuple[str, int]] = {}
        self.raised_at = ""

    def __call__(self, frame: FrameType, event: str, argument: object) -> Any:
        if not frame.f_code.co_filename.endswith(self._filename):
            return None
        frame.f_trace = self._in_frame  # Python 3.13 wants this before the next
        frame.f_trace_opcodes = True
        return self._in_frame

    def _in_frame(self, frame: FrameType, event: str, argument: object) -> Any:
        if event != "opcode":
            return self._in_frame
        code, here = frame.f_code, frame.f_lasti
        name, before = self._previous.get(frame, ("", 0))
        self._previous[frame] = (dis.opname[code.co_code[here]], here)
        # It would be raised at the instruction before this one: the same only if both are
        # inside of the same `try`.
        if name in LOOKS_FOR_SIGNALS and handler_of(code, before) == handler_of(code, here):
            self._count += 1
            if self._count == self._number:
                self.raised_at = f"{code.co_name}, line {frame.f_lineno}"
                raise KeyboardInterrupt
        return self._in_frame


def interrupted(number: int, filename: str, call: Any) -> str:
    """Interrupt a call at a point; tell where that was, empty if there is no such point."""
    interrupter = Interrupter(number, filename)
    previous = sys.gettrace()
    sys._getframe().f_trace_opcodes = True  # Python 3.12 wants it to be set before it begins
    sys.settrace(interrupter)
    try:
        call()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(previous)
        interrupter._previous.clear()
    return interrupter.raised_at


untraced = pytest.mark.skipif(
    sys.gettrace() is not None, reason="the coverage tool traces as well"
)

LARGE = b"x" * 200_000  # with frames it is a buffer, which is received in several steps


def unspoiled(client: Any, where: str) -> str:
    """Make the call after one that was interrupted; tell what is wrong with its answer."""
    try:
        with call_timeout(client, TIMEOUT):
            answer = client.echo("second")
    except (EOFError, ConnectionError):
        return ""  # it had to be closed
    except Exception as exc:
        return f"{where}: {exc!r}"
    return "" if answer == "second" else f"{where}: {answer!r}"


@untraced
@pytest.mark.parametrize("value", ["first", LARGE], ids=["small", "large"])
@pytest.mark.parametrize(
    "filename",
    [
        "blocking/channel.py",
        "blocking/connection.py",
        "blocking/transport.py",
        "_client/client.py",
        "wire/client_session.py",
        "session.py",
        "wire/frames.py",
        "wire/lines.py",
        "wire/messages.py",
    ],
)
def test_ctrl_c_at_any_point_does_not_spoil_the_next_call(
    filename: str, value: Any, either_protocol: bool
) -> None:
    if filename == ("wire/lines.py" if either_protocol else "wire/frames.py"):
        pytest.skip("it is not used in this protocol")
    spoiled: list[str] = []
    number = 0
    with rpc_server({"t": Target()}) as port:
        while len(spoiled) < 3:
            number += 1
            with Client(HOST, port) as client:
                where = interrupted(number, filename, lambda: client.echo(value))
                if not where:
                    break
                spoiled += filter(None, [unspoiled(client, where)])
    assert not spoiled, "\n".join(spoiled)
    assert number > 2  # there were such points


@untraced
def test_ctrl_c_at_any_point_of_a_best_effort_call() -> None:
    spoiled: list[str] = []
    number = 0
    with rpc_server({"t": Target()}) as port:
        while True:
            number += 1
            with BestEffortClient(HOST, port, "t", DEADLINE) as client:
                where = interrupted(number, "blocking/channel.py", lambda: client.echo("first"))
                if not where:
                    break
                try:
                    with call_timeout(client, TIMEOUT):
                        answer = client.echo("second")
                except Exception as exc:
                    answer = repr(exc)
                if answer not in ("second", None):
                    spoiled.append(f"{where}: {answer}")
                    if len(spoiled) == 3:
                        break
    assert not spoiled, "\n".join(spoiled)
    assert number > 2


STREAM_FILES = [
    "blocking/channel.py",
    "blocking/iterator.py",
    "blocking/transport.py",
    "wire/client_session.py",
    "wire/routing.py",
    "wire/frames.py",
    "wire/messages.py",
]


@untraced
@pytest.mark.parametrize("filename", STREAM_FILES)
def test_ctrl_c_at_any_point_of_an_iteration(filename: str, either_protocol: bool) -> None:
    """The items go on where they were, or they have ended; none is left out."""
    if not either_protocol:
        pytest.skip("generators need frames")
    spoiled: list[str] = []
    target, number = Target(), 0
    with rpc_server({"t": target}) as port:
        while len(spoiled) < 3:
            number += 1
            with Client(HOST, port) as client:
                items = client.items()
                assert next(items) == LARGE + b"0"
                where = interrupted(number, filename, lambda: next(items))
                if not where:
                    break
                spoiled += filter(None, [unspoiled(client, where)])
                try:
                    with call_timeout(client, TIMEOUT):
                        rest = [item[-1:] for item in items]
                except (EOFError, ConnectionError):
                    continue
                if rest not in ([], [b"1", b"2", b"3"]):
                    spoiled.append(f"{where}: the items went on with {rest}")
                spoiled += filter(None, [unspoiled(client, where)])
        until(lambda: target.ended == number)
    assert not spoiled, "\n".join(spoiled)
    assert number > 2


@untraced
@pytest.mark.parametrize("filename", [*STREAM_FILES, "blocking/connection.py"])
def test_ctrl_c_at_any_point_from_the_call_of_a_generator_to_its_end(
    filename: str, either_protocol: bool
) -> None:
    if not either_protocol:
        pytest.skip("generators need frames")
    spoiled: list[str] = []
    target, number = Target(), 0
    with rpc_server({"t": target}) as port:
        while len(spoiled) < 3:
            number += 1
            with Client(HOST, port) as client:
                where = interrupted(number, filename, lambda: list(client.items()))
                if not where:
                    break
                spoiled += filter(None, [unspoiled(client, where)])
                with call_timeout(client, TIMEOUT):
                    try:
                        if len(list(client.items())) != 4:
                            spoiled.append(f"{where}: the next generator")
                    except (EOFError, ConnectionError):
                        continue
    assert not spoiled, "\n".join(spoiled)
    assert number > 2
    assert target.ended == target.begun


@pytest.mark.parametrize("kind", [Client, BestEffortClient])
def test_a_real_ctrl_c_is_raised_and_late_replies_are_dropped(kind: type) -> None:
    def play(peer: Peer) -> None:
        handshake(peer)
        for _ in range(3):
            assert b'"f"' in peer.line()
            until(lambda: running() == "receive_some")
            signal.pthread_kill(main, signal.SIGINT)
            # Python overlooks a signal that comes just before it enters the system call.
            while not interruptions.acquire(timeout=1):
                signal.pthread_kill(main, signal.SIGINT)
        assert b'"g"' in peer.line()
        for number in range(4):
            peer.send(b'{"status":"ok","ret":%d}\n' % number)
        assert peer.line() == b""

    def running() -> str:
        return sys._current_frames()[main].f_code.co_name

    ident = threading.main_thread().ident
    assert ident is not None
    main = ident
    interruptions = threading.Semaphore(0)
    with scripted_server(play) as port, kind(HOST, port, "test") as client:
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):
                client.f()
            interruptions.release()
        assert client.g() == 3


def test_ctrl_c_while_sending_closes_the_connection() -> None:
    struck, interrupted = threading.Event(), threading.Event()
    received: list[int] = []
    main = threading.main_thread().ident
    assert main is not None

    def play(peer: Peer) -> None:
        handshake(peer)
        size = len(peer.socket.recv(1))  # now the request is on its way, and far from sent
        signal.pthread_kill(main, signal.SIGINT)
        while not struck.wait(1):
            signal.pthread_kill(main, signal.SIGINT)
        assert interrupted.wait(DEADLINE)
        while data := peer.socket.recv(1 << 20):
            size += len(data)
        received.append(size)

    with scripted_server(play) as port, Client(HOST, port) as client:
        big = "x" * 60_000_000
        with pytest.raises(KeyboardInterrupt):
            client.f(big)
        struck.set()
        with pytest.raises(ConnectionError, match=r"call of `test\.g`: .* sent in part"):
            client.g()
        interrupted.set()
    assert received
    assert received[0] < len(big)


def test_a_reply_that_comes_in_two_halves_around_a_timeout() -> None:
    first_half = threading.Event()
    timed_out = threading.Event()

    def play(peer: Peer) -> None:
        handshake(peer)
        peer.line()
        peer.send(b'{"status":"ok",')
        first_half.set()
        assert timed_out.wait(DEADLINE)
        peer.send(b'"ret":1}\n')
        peer.line()
        peer.send(b'{"status":"ok","ret":2}\n')
        assert peer.line() == b""

    with scripted_server(play) as port, Client(HOST, port) as client:
        said = rf"`test\.f` on {HOST} port {port} timed out"
        with pytest.raises(TimeoutError, match=said), call_timeout(client, 0.1):
            client.f()
        timed_out.set()
        with call_timeout(client, DEADLINE):
            assert client.f() == 2


def test_many_abandoned_calls_with_our_server() -> None:
    class Slow(GatedTarget):
        def after(self, x: int) -> int:
            self._enter()
            return x

    target = Slow()
    with rpc_server({"t": target}, threaded=True) as port, Client(HOST, port) as client:
        for number in range(5):
            with pytest.raises(TimeoutError), call_timeout(client, 0.02):
                client.after(number)
        target.released.set()
        assert [client.after(number) for number in range(10, 15)] == [10, 11, 12, 13, 14]


def test_the_reply_to_a_listing_that_was_abandoned_is_dropped_as_well() -> None:
    timed_out = threading.Event()

    def play(peer: Peer) -> None:
        handshake(peer)
        assert peer.line() == b'{"action":"get_rpc_method_list"}\n'
        assert timed_out.wait(DEADLINE)
        peer.send(b'{"status":"ok","ret":{"docstring":null,"methods":{}}}\n')
        peer.line()
        peer.send(b'{"status":"ok","ret":2}\n')
        assert peer.line() == b""

    with scripted_server(play) as port, Client(HOST, port) as client:
        with pytest.raises(TimeoutError, match="listing"), call_timeout(client, 0.05):
            client.get_rpc_method_list()
        timed_out.set()
        assert client.f() == 2


def test_a_call_timeout_holds_for_its_client_and_its_thread_only() -> None:
    one, two = GatedTarget(), GatedTarget()
    with rpc_server({"one": one, "two": two}, threaded=True) as port:
        with Client(HOST, port, "one") as first, Client(HOST, port, "two") as second:
            answers: list[str] = []
            with call_timeout(first, 0.05):
                thread = threading.Thread(target=lambda: answers.append(second.block()))
                thread.start()
                with pytest.raises(TimeoutError, match=r"`one\.block`"):
                    first.block()
                assert two.entered.wait(DEADLINE)
                two.released.set()
                thread.join(DEADLINE)
                assert second.block() == "released"  # another client's limit is none of its own
                with call_timeout(first, None):  # the inner one goes before the outer
                    one.released.set()
                    assert first.block() == "released"
            assert answers == ["released"]


def test_a_timeout_while_connecting_says_where() -> None:
    # A listening socket with a full backlog: the connection is never made.
    with socket.socket() as listening:
        listening.bind((HOST, 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        filling = []
        try:
            for _ in range(4):
                sock = socket.socket()
                sock.setblocking(False)
                sock.connect_ex((HOST, port))
                filling.append(sock)
            with pytest.raises(TimeoutError, match=rf"on {HOST} port {port} timed out after"):
                Client(HOST, port, timeout=0.2)
        finally:
            for sock in filling:
                sock.close()


@untraced
def test_ctrl_c_while_a_generator_is_closed_leaves_the_turn_to_others(
    either_protocol: bool,
) -> None:
    if not either_protocol:
        pytest.skip("generators need frames")
    number = 0
    with rpc_server({"t": Target()}) as port:
        while True:
            number += 1
            client = Client(HOST, port)
            items = client.items()
            where = interrupted(number, "blocking/lock.py", items.close)
            wrong: list[str] = []
            # In a thread, which may hang where another has not let go.
            thread = threading.Thread(
                target=lambda: wrong.append(unspoiled(client, where)), daemon=True
            )
            thread.start()
            thread.join(DEADLINE)
            assert wrong == [""], where
            client.close_rpc()
            if not where:
                break
    assert number > 2
