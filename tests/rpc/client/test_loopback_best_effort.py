"""The client that outlives its server: what it hides, and what it must not hide."""

from __future__ import annotations

import contextlib
import inspect
import logging
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from sipyco_pyon import pyon
from sipyco_rpc.pc_rpc import (
    AutoTarget,
    BestEffortClient,
    IncompatibleServer,
    Server,
    call_timeout,
)
from support.peers import (
    DEADLINE,
    GREETING,
    HOST,
    Peer,
    handshake,
    rpc_server,
    running_server,
    scripted_server,
    until,
)
from support.programs import free_port

pytestmark = pytest.mark.usefixtures("either_protocol")


class Target:
    def echo(self, x: Any) -> Any:
        return x

    def fail(self) -> None:
        raise ConnectionResetError("the device has gone")


def reconnecting() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("reconnect to")]


@contextlib.contextmanager
def dead_server(**options: Any) -> Iterator[BestEffortClient]:
    client = BestEffortClient(HOST, free_port(), "test", DEADLINE, **options)
    try:
        yield client
    finally:
        client.close_rpc()


def test_a_dead_server_is_a_warning_and_calls_give_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with dead_server(retry=1000) as client:
        assert client.anything(1, a=2) is None
        assert client.get_rpc_method_list() is None
        assert client.get_rpc_id() is None
        assert client.get_local_host() is None
        assert client.get_selected_target() == "test"
        assert "not connected" in repr(client)
        with pytest.raises(AttributeError):
            client._private
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert caplog.records[0].name == "sipyco.pc_rpc"
        assert len(reconnecting()) == 1
    assert reconnecting() == []  # stopped at once, not after 1000 s


def test_a_server_that_appears_later_is_found(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with socket.socket() as reserved:
        # Bound and not listening: connections are refused, and nobody else gets the port.
        reserved.bind((HOST, 0))
        with BestEffortClient(
            HOST, reserved.getsockname()[1], AutoTarget, DEADLINE, retry=0.01
        ) as client:
            assert client.f() is None
            assert client.get_selected_target() is None
            reserved.listen()
            reserved.settimeout(DEADLINE)
            sock, _ = reserved.accept()
            peer = Peer(sock)
            try:
                handshake(peer)
                until(lambda: "connected to" in caplog.text)
                answers: list[Any] = []
                thread = threading.Thread(target=lambda: answers.append(client.f()))
                thread.start()
                assert b'"name":"f"' in peer.line()
                peer.send(b'{"status":"ok","ret":1}\n')
                thread.join(DEADLINE)
                assert answers == [1]
                assert client.get_selected_target() == "test"
                with pytest.raises(AttributeError, match="no method `nosuch`"):
                    client.nosuch
            finally:
                peer.close()


def test_a_call_is_sent_at_most_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    connections = 0
    requests: list[bytes] = []

    def play(peer: Peer) -> None:
        nonlocal connections
        connections += 1
        handshake(peer)
        if connections == 1:
            requests.append(peer.line())
            return  # dies in mid-call
        while line := peer.line():
            requests.append(line)
            peer.send(b'{"status":"ok","ret":2}\n')

    with scripted_server(play) as port:
        with BestEffortClient(HOST, port, "test", DEADLINE, retry=0.01) as client:
            assert client.f("once") is None
            assert "call of `test.f`" in caplog.text
            assert "reconnecting in the background" in caplog.text
            until(lambda: f"connected to {HOST} port {port}" in caplog.messages)
            assert client.g() == 2
    assert [b'"f"' in line for line in requests] == [True, False]


def test_errors_of_the_method_are_raised_and_the_connection_stays() -> None:
    with rpc_server({"test": Target()}) as port:
        with BestEffortClient(HOST, port, "test", DEADLINE) as client:
            for _ in range(2):
                with pytest.raises(ConnectionResetError, match=r"^the device has gone"):
                    client.fail()
            with pytest.raises(TypeError, match="not PYON encodable"):
                client.echo(object())
            with pytest.raises(TypeError, match="argument"):
                client.echo(1, 2, 3)
            assert client.echo(5) == 5
            assert reconnecting() == []


class Stored:
    """What is read from a file when it is to be sent, and the file is not there."""


def test_an_argument_that_fails_as_a_network_does_is_raised_and_the_connection_stays() -> None:
    def read(value: Stored) -> Any:
        raise FileNotFoundError("the file has gone")

    pyon.register([Stored], name="Stored", encode=read, decode=Stored)
    try:
        with rpc_server({"test": Target()}) as port:
            with BestEffortClient(HOST, port, "test", DEADLINE) as client:
                with pytest.raises(FileNotFoundError, match="the file has gone"):
                    client.echo(Stored())
                assert client.echo(5) == 5
                assert reconnecting() == []
    finally:
        pyon.deregister([Stored], "Stored")


def test_a_wrong_target_or_server_is_raised_at_once() -> None:
    with rpc_server({"a": Target(), "b": Target()}) as port:
        with pytest.raises(IncompatibleServer, match="no target `c`"):
            BestEffortClient(HOST, port, "c", DEADLINE)
        with pytest.raises(ValueError, match="Server has multiple targets: a b"):
            BestEffortClient(HOST, port, AutoTarget, DEADLINE)
    assert reconnecting() == []


def test_the_first_attempt_honours_its_timeout(caplog: pytest.LogCaptureFixture) -> None:
    def play(peer: Peer) -> None:
        while peer.line():
            pass

    with scripted_server(play) as port:
        with BestEffortClient(HOST, port, "test", 0.1, retry=1000) as client:
            assert client.f() is None
        assert "timed out after" in caplog.text


def test_a_call_may_take_longer_than_the_first_attempt() -> None:
    release = threading.Event()

    def play(peer: Peer) -> None:
        handshake(peer)
        peer.line()
        assert release.wait(DEADLINE)
        peer.send(b'{"status":"ok","ret":1}\n')
        peer.line()
        peer.send(b'{"status":"ok","ret":2}\n')
        peer.line()

    with scripted_server(play) as port:
        with BestEffortClient(HOST, port, "test", 0.5) as client:
            with pytest.raises(TimeoutError, match=r"`test\.f`"), call_timeout(client, 0.6):
                client.f()
            release.set()
            assert client.f() == 2  # the late reply was dropped


def test_close_rpc_in_the_middle_of_a_call_and_of_an_attempt() -> None:
    waiting = threading.Event()

    def play_call(peer: Peer) -> None:
        handshake(peer)
        peer.line()
        waiting.set()
        with contextlib.suppress(ConnectionResetError):
            assert peer.line() == b""

    with scripted_server(play_call) as port:
        client = BestEffortClient(HOST, port, "test", DEADLINE)
        answers: list[Any] = []
        thread = threading.Thread(target=lambda: answers.append(client.f()))
        thread.start()
        assert waiting.wait(DEADLINE)
        client.close_rpc()
        client.close_rpc()
        thread.join(DEADLINE)
        assert answers == [None]
        assert client.f() is None
    assert reconnecting() == []


def test_close_rpc_while_an_attempt_is_under_way_leaves_no_connection() -> None:
    waiting, closed = threading.Event(), threading.Event()
    connections = 0

    def play(peer: Peer) -> None:
        nonlocal connections
        connections += 1
        if connections == 1:
            handshake(peer)
            peer.line()
            return
        peer.line()
        waiting.set()
        assert closed.wait(DEADLINE)
        peer.send(GREETING)
        with contextlib.suppress(ConnectionResetError):
            while line := peer.line():
                assert line == b"test pyon_v2\n"
                peer.send(b'{"__jsonclass__":["set",[["f"]]]}\n')

    with scripted_server(play) as port:
        client = BestEffortClient(HOST, port, "test", DEADLINE, retry=0.01)
        assert client.f() is None
        assert waiting.wait(DEADLINE)
        client.close_rpc()
        closed.set()
        until(lambda: reconnecting() == [])
        assert client.f() is None
    assert connections == 2


def test_a_server_that_comes_and_goes() -> None:
    port = 0

    with contextlib.ExitStack() as stack:
        client = None
        for round_ in range(3):
            server = Server({"test": Target()})
            with _server_on(server, port) as port:
                if client is None:
                    client = BestEffortClient(HOST, port, "test", DEADLINE, retry=0.01)
                    stack.callback(client.close_rpc)
                until(lambda: client.echo(round_) == round_)
            assert client.echo("nobody there") is None
        assert len(reconnecting()) <= 1


@contextlib.contextmanager
def _server_on(server: Server, port: int) -> Iterator[int]:
    """Run a server on a given port, again and again."""

    class OnPort(Server):
        async def start(self, host: Any, _: int, *args: Any, **kwargs: Any) -> None:
            await super().start(host, port, *args, **kwargs)

    with running_server(lambda: OnPort(server.targets)) as found:
        yield found


def test_several_threads_start_one_reconnection() -> None:
    def play(peer: Peer) -> None:
        handshake(peer)
        peer.line()

    with scripted_server(play) as port:
        client = BestEffortClient(HOST, port, "test", DEADLINE, retry=1000)
        answers: list[Any] = []
        threads = [threading.Thread(target=lambda: answers.append(client.f())) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
        assert answers == [None] * 5
        assert len(reconnecting()) == 1
        client.close_rpc()
    assert reconnecting() == []


def test_methods_show_the_remote_signature_while_there_is_a_server() -> None:
    with rpc_server({"test": Target()}, description="d") as port:
        with BestEffortClient(HOST, port, "test", DEADLINE) as client:
            assert str(inspect.signature(client.echo)) == "(x: 'Any') -> 'Any'"
            assert client.get_rpc_id() == (["test"], "d")
            assert set(client.get_rpc_method_list()["methods"]) == {"echo", "fail"}
            assert {"echo", "fail"} <= set(dir(client))
            assert client.get_local_host() == HOST
            assert not hasattr(client, "__len__")
            assert not hasattr(client, "nosuch")


def test_without_a_server_nothing_is_known() -> None:
    with dead_server() as client:
        assert str(inspect.signature(client.echo)) == "(*args, **kwargs)"
        assert client.get_rpc_id() is None
        assert client.get_rpc_method_list() is None
        assert client.get_local_host() is None
        assert client.get_selected_target() == "test"
        assert not hasattr(client, "_private")


def test_a_listing_that_never_comes_is_nothing() -> None:
    def play(peer: Peer) -> None:
        if peer.line() == b"ARTIQ pc_rpc\n":
            peer.send(GREETING)
            peer.line()
            peer.send(b'{"__jsonclass__":["set",[["f"]]]}\n')
            peer.line()  # and then it leaves

    with scripted_server(play) as port:
        with BestEffortClient(HOST, port, "test", DEADLINE, retry=1000) as client:
            assert client.get_rpc_method_list() is None
            assert "not connected" in repr(client)


def test_attempts_that_fail_are_logged_once_and_go_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "sipyco.pc_rpc")

    def failures() -> list[str]:
        return [record.levelname for record in caplog.records if "connect" in record.message]

    with dead_server(retry=0.001):
        until(lambda: failures().count("DEBUG") >= 2)
    assert failures()[0] == "WARNING"
    assert set(failures()[1:]) == {"DEBUG"}
