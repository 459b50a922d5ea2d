"""The blocking client that reconnects: what waits, what is raised, what is never sent twice."""

from __future__ import annotations

import gc
import inspect
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import ref

import pytest

from sipyco_rpc._client.blocking import connector, transport
from sipyco_rpc._client.blocking.connection import BlockingConnection
from sipyco_rpc.net.connect import Selector
from sipyco_rpc.pc_rpc import (
    AutoTarget,
    Client,
    ConnectionLost,
    IncompatibleServer,
    call_timeout,
)
from support.addresses import dead_address
from support.forks import in_child
from support.peers import DEADLINE, HOST, Peer, handshake, rpc_server, scripted_server, until
from support.programs import free_port
from support.servers import server_at
from support.transports import TRANSPORTS, every_transport

REFUSED = "Connection refused: could not connect to"


class Target:
    def __init__(self, name: str = "") -> None:
        self.name = name

    def echo(self, value: Any) -> Any:
        return value

    def who(self) -> str:
        """Say which server this is."""
        return self.name

    def items(self) -> Iterator[int]:
        yield from range(1000)


class Other:
    def look(self) -> int:
        return 7


@contextmanager
def later(work: Any) -> Iterator[None]:
    """Do something in a thread, and see that it ends."""
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join(DEADLINE)
        assert not thread.is_alive()


def waits(client: Client) -> bool:
    """Tell whether a thread of the client is connecting."""
    return bool(vars(client)["_Client__connection"]._lock.holder)


@every_transport
def test_a_call_waits_for_a_server_that_comes_back(transport: str) -> None:
    ours, theirs = TRANSPORTS[transport]()
    port = free_port()
    with server_at(port, {"t": Target("first")}, **ours):
        client = Client(HOST, port, reconnect=DEADLINE, **theirs)
        who = client.who
        assert who() == "first"
    got: list[str] = []
    with client, later(lambda: got.append(who())):
        until(lambda: waits(client))
        with server_at(port, {"t": Target("second")}, **ours):
            until(lambda: got == ["second"])
            assert client.get_selected_target() == "t"
            assert client.get_rpc_id() == (["t"], None)
            assert client.get_rpc_method_list()["methods"]["who"][1] == "Say which server this is."
            assert inspect.signature(client.echo).parameters.keys() == {"value"}


def test_the_constructor_waits_for_a_server_that_is_to_come() -> None:
    port = free_port()
    got: list[Any] = []

    def connect() -> None:
        with Client(HOST, port, "t", reconnect=DEADLINE) as client:
            got.append(client.echo(5))

    with later(connect), server_at(port, {"t": Target()}):
        until(lambda: got == [5])


def test_the_constructor_raises_what_a_plain_client_does_when_its_time_is_over() -> None:
    with pytest.raises(ConnectionRefusedError, match=REFUSED):
        Client(HOST, free_port(), reconnect=0.05)
    with pytest.raises(ConnectionRefusedError, match=REFUSED):
        Client(HOST, free_port(), reconnect=0)
    with rpc_server({"a": Target(), "b": Target()}) as port:
        with pytest.raises(IncompatibleServer, match="no target `c`"):
            Client(HOST, port, "c", reconnect=DEADLINE)
        with pytest.raises(ValueError, match="Server has multiple targets: a b"):
            Client(HOST, port, AutoTarget, reconnect=DEADLINE)


def test_a_call_raises_when_its_time_is_over_and_says_that_it_was_not_sent() -> None:
    port = free_port()
    with server_at(port, {"t": Target()}):
        client = Client(HOST, port, reconnect=DEADLINE)
    vars(client)["_Client__connection"]._patience = 0.05
    with client:
        for _ in range(2):
            with pytest.raises(ConnectionLost) as caught:
                client.echo(1)
            assert not caught.value.sent
            text = f"call of `t.echo`: no connection to {HOST} port {port} within 0.05 s: "
            assert str(caught.value).startswith(text)
        with server_at(port, {"t": Target()}):
            until(lambda: outcome(client) == 1)


def outcome(client: Client) -> Any:
    try:
        return client.echo(1)
    except ConnectionLost:
        return None


def test_with_0_a_call_tries_once() -> None:
    port = free_port()
    with server_at(port, {"t": Target()}):
        client = Client(HOST, port, reconnect=DEADLINE)
    vars(client)["_Client__connection"]._patience = 0
    with client:
        with pytest.raises(ConnectionLost, match=rf"no connection to {HOST} port {port}: "):
            client.echo(1)
        with server_at(port, {"t": Target()}):
            until(lambda: outcome(client) == 1)


def test_a_call_that_was_under_way_is_an_error_and_never_sent_twice() -> None:
    calls: list[bytes] = []

    def play(peer: Peer) -> None:
        handshake(peer)
        calls.append(peer.line())
        if b'"g"' in calls[-1]:
            peer.send(b'{"status":"ok","ret":5}\n')
            peer.line()

    with scripted_server(play) as port, Client(HOST, port, reconnect=DEADLINE) as client:
        with pytest.raises(
            ConnectionLost, match=r"^call of `test\.f`: .*the next call conn"
        ) as lost:
            client.f(1)
        assert lost.value.sent
        assert client.g(2) == 5
    assert [b'"f"' in call for call in calls] == [True, False]


def test_a_call_is_not_sent_into_a_connection_that_has_ended() -> None:
    """The server has closed it between two calls: nothing of the second one is lost."""
    ended = threading.Event()
    connections: list[list[bytes]] = []

    def play(peer: Peer) -> None:
        lines: list[bytes] = []
        connections.append(lines)
        handshake(peer)
        lines.append(peer.line())
        peer.send(b'{"status":"ok","ret":%d}\n' % len(connections))
        if len(connections) == 1:
            peer.socket.shutdown(socket.SHUT_WR)
            ended.set()
        lines.append(peer.line())

    with scripted_server(play) as port, Client(HOST, port, reconnect=DEADLINE) as client:
        assert client.f() == 1
        assert ended.wait(DEADLINE)
        assert client.g() == 2
    assert [len(lines) for lines in connections] == [2, 2]
    assert connections[0][1] == b""
    assert b'"g"' in connections[1][0]


def test_looking_for_an_end_takes_no_selector_of_its_own_for_each_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []

    def selector() -> Any:
        made.append(Selector())
        return made[-1]

    monkeypatch.setattr(transport, "Selector", selector)
    with rpc_server({"t": Target()}) as port, Client(HOST, port, reconnect=DEADLINE) as client:
        assert [client.echo(number) for number in range(10)] == list(range(10))
    assert len(made) == 1


def test_a_connection_that_a_timeout_had_to_close_is_made_again() -> None:
    release = threading.Event()

    def play(peer: Peer) -> None:
        handshake(peer)
        if not release.is_set():
            release.wait(DEADLINE)
        elif peer.line():
            peer.send(b'{"status":"ok","ret":5}\n')
            peer.line()

    with scripted_server(play) as port, Client(HOST, port, reconnect=DEADLINE) as client:
        vars(client)["_Client__connection"]._current.timeout = 0.2
        with pytest.raises(TimeoutError):
            client.f("x" * 50_000_000)
        release.set()
        assert client.g() == 5


def test_call_timeout_and_timeout_count_the_waiting() -> None:
    port = free_port()
    with server_at(port, {"t": Target()}):
        client = Client(HOST, port, reconnect=1000)
        hasty = Client(HOST, port, timeout=0.1, reconnect=1000)
    text = r"call of `t\.echo` on .* timed out after .* s, waiting for a connection: "
    with client, hasty:
        with call_timeout(client, 0.1), pytest.raises(TimeoutError, match=text):
            client.echo(1)
        with pytest.raises(TimeoutError, match=text):
            hasty.echo(1)


def test_what_is_left_of_call_timeout_limits_the_call() -> None:
    class Slow:
        def hang(self) -> None:
            release.wait(DEADLINE)

    release = threading.Event()
    port = free_port()
    with server_at(port, {"t": Slow()}):
        client = Client(HOST, port, reconnect=1000)
    got: list[BaseException] = []

    def call() -> None:
        with call_timeout(client, 1), pytest.raises(TimeoutError) as caught:
            client.hang()
        got.append(caught.value)

    started = time.monotonic()
    with client, later(call):
        until(lambda: waits(client))
        with server_at(port, {"t": Slow()}):
            until(lambda: bool(got))
            release.set()
    assert 1 <= time.monotonic() - started < DEADLINE
    assert not hasattr(got[0], "parent_traceback")


def test_close_rpc_ends_the_waiting_of_all_threads() -> None:
    port = free_port()
    with server_at(port, {"t": Target()}):
        client = Client(HOST, port, reconnect=1000)
    errors: list[str] = []

    def call() -> None:
        with pytest.raises(ConnectionLost) as caught:
            client.echo(1)
        errors.append(str(caught.value))

    with later(call), later(call), later(call):
        until(lambda: waits(client))
        client.close_rpc()
        client.close_rpc()
    where = f"the connection to {HOST} port {port}"
    assert errors == [f"call of `t.echo`: {where} was closed by this program"] * 3


def test_a_call_that_finds_a_lost_connection_as_close_rpc_is_called_says_so() -> None:
    port = free_port()
    with server_at(port, {"t": Target()}):
        client = Client(HOST, port, reconnect=1000)

    def call(connection: BlockingConnection) -> Any:
        try:
            return connection.call("echo", (1,), {})
        finally:
            client.close_rpc()  # as another thread does

    with pytest.raises(ConnectionLost, match=r"was closed by this program$") as caught:
        vars(client)["_Client__connection"].ask("call of `t.echo`", call)
    assert not caught.value.sent


def test_properties_wait_for_a_server_that_comes_back() -> None:
    class Supply:
        voltage = 1.5

    port = free_port()
    with server_at(port, {"supply": Supply()}, properties={"supply": ["voltage"]}):
        client = Client(HOST, port, reconnect=DEADLINE)
    read: list[float] = []

    def use() -> None:
        read.append(client.voltage)
        client.voltage = 2
        read.append(client.voltage)

    with client, later(use):
        until(lambda: waits(client))
        with server_at(port, {"supply": Supply()}, properties={"supply": ["voltage"]}):
            until(lambda: len(read) == 2)
    assert read == [1.5, 2]


def test_while_the_server_is_away_it_is_known_what_there_was() -> None:
    port = free_port()
    with server_at(port, {"t": Target()}):
        client = Client(HOST, port, reconnect=0.01)
        said = repr(client.echo)
    with client:
        with pytest.raises(ConnectionLost):
            client.echo(1)
        assert repr(client.echo) == said
        assert client.get_local_host() == HOST
        assert client.get_selected_target() == "t"


def test_close_rpc_ends_an_attempt_to_reach_a_host_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connector, "ATTEMPT", 1000.0)
    port = free_port()
    with server_at(port, {"t": Target()}):
        client = Client(HOST, port, reconnect=1000)

    def call() -> None:
        with pytest.raises(ConnectionLost, match="closed by this program"):
            client.echo(1)

    with dead_address(HOST, port), later(call):
        until(lambda: waits(client))
        client.close_rpc()


def test_close_rpc_ends_a_handshake_with_a_server_that_is_silent() -> None:
    silent = threading.Event()

    def play(peer: Peer) -> None:
        if not silent.is_set():
            handshake(peer)
            silent.set()
            return
        assert peer.line() == b"ARTIQ pc_rpc\n"
        greeted.set()
        assert peer.line() == b""

    greeted = threading.Event()
    with scripted_server(play) as port:
        client = Client(HOST, port, reconnect=1000)
        errors: list[str] = []

        def call() -> None:
            with pytest.raises(ConnectionLost, match="closed by this program"):
                client.f()
            errors.append("closed")

        with later(call):
            assert greeted.wait(DEADLINE)
            client.close_rpc()
    assert errors == ["closed"]


def test_a_target_that_has_gone_and_a_method_that_has_gone() -> None:
    port = free_port()
    with server_at(port, {"t": Target()}):
        client = Client(HOST, port, reconnect=DEADLINE)
        echo = client.echo
    with client:
        with server_at(port, {"u": Target()}):
            with pytest.raises(IncompatibleServer, match=r"no target `t`; valid .*: u"):
                echo(1)
        with server_at(port, {"t": Other()}):
            with pytest.raises(AttributeError, match="`t` has no method `echo`"):
                echo(1)
            assert client.look() == 7
            assert "look" in dir(client)
            assert vars(client)["_Client__valid_methods"] == {"look"}
        with server_at(port, {"t": Target()}):
            assert echo(2) == 2  # without a call that has noticed the end before


def test_a_method_of_before_does_not_hide_what_is_a_property_now() -> None:
    class Looked:
        @property
        def look(self) -> int:
            return 8

    port = free_port()
    with server_at(port, {"t": Other()}):
        client = Client(HOST, port, reconnect=DEADLINE)
        look = client.look
        assert look() == 7
    with client, server_at(port, {"t": Looked()}, properties=True):
        with pytest.raises(AttributeError, match="`t` has no method `look`"):
            look()
        assert client.look == 8


def test_a_target_that_is_selected_later_is_selected_again() -> None:
    port = free_port()
    with server_at(port, {"a": Target("a"), "b": Target("b")}):
        client = Client(HOST, port, None, reconnect=DEADLINE)
        assert client.get_rpc_id()[0] == ["a", "b"]
        client.select_rpc_target("b")
        assert client.who() == "b"
    with client, server_at(port, {"a": Target("a"), "b": Target("b, again")}):
        assert client.who() == "b, again"
        with pytest.raises(ValueError, match="selected already"):
            client.select_rpc_target("a")


def test_the_items_of_a_generator_end_with_the_connection() -> None:
    port = free_port()
    with server_at(port, {"t": Target()}):
        client = Client(HOST, port, reconnect=DEADLINE)
        items = client.items()
        assert next(items) == 0
    with client, server_at(port, {"t": Target()}):
        with pytest.raises(ConnectionLost, match=r"call of `t\.items`"):
            list(items)
        assert list(client.items()) == list(range(1000))


def test_changes_are_told_in_order_and_methods_may_be_called_then() -> None:
    port = free_port()
    states: list[Any] = []

    def tell(connected: bool, reason: str) -> None:
        states.append(connected)
        if connected and len(states) > 1:
            states.append(client.who())

    with server_at(port, {"t": Target()}):
        client = Client(HOST, port, reconnect=DEADLINE, state_cb=tell)
        assert states == [True]
    with client, server_at(port, {"t": Target("second")}):
        assert client.echo(1) == 1
        assert states == [True, False, True, "second"]
    assert states == [True, False, True, "second"]


def test_the_first_change_is_told_when_methods_can_be_called() -> None:
    class Derived(Client):
        def __init__(self, port: int) -> None:
            self.first: list[Any] = []
            super().__init__(HOST, port, reconnect=DEADLINE, state_cb=self.tell)

        def tell(self, connected: bool, reason: str) -> None:
            self.first.append(self.who())

    with server_at(free_port(), {"t": Target("first")}) as port, Derived(port) as client:
        assert client.first == ["first"]


def test_what_ends_the_constructor_closes_the_connection() -> None:
    """Ctrl-C does, and `sys.exit`: a socket that is left open warns."""

    def leave(connected: bool, reason: str) -> None:
        sys.exit(5)

    with rpc_server({"t": Target()}) as port, pytest.raises(SystemExit):
        Client(HOST, port, reconnect=DEADLINE, state_cb=leave)


def test_the_reason_is_told_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    port = free_port()
    where = f"{HOST} port {port}"
    states: list[tuple[bool, str]] = []
    with server_at(port, {"t": Target()}):
        client = Client(
            HOST, port, reconnect=DEADLINE, state_cb=lambda *state: states.append(state)
        )
    with client, server_at(port, {"t": Target()}):
        client.echo(1)
    lost = f"the connection to {where} was closed by the other side earlier"
    assert states == [
        (True, f"connected to {where}"),
        (False, lost),
        (True, f"connected to {where}"),
    ]
    found = [(r.levelname, r.getMessage()) for r in caplog.records if r.name == "sipyco.pc_rpc"]
    assert ("WARNING", lost) in found
    assert ("INFO", f"connected to {where}") in found


def test_a_callback_that_raises_or_calls_without_a_connection_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    port = free_port()

    def tell(connected: bool, reason: str) -> None:
        if connected:
            raise ValueError("no lamp")
        client.echo(1)

    with server_at(port, {"t": Target()}):
        client = Client(HOST, port, reconnect=DEADLINE, state_cb=tell)
    with client, server_at(port, {"t": Target()}):
        assert client.echo(5) == 5
    assert "no lamp" in caplog.text
    assert "this thread is connecting" in caplog.text


def test_ctrl_c_ends_the_waiting_and_the_client_goes_on() -> None:
    port = free_port()
    with server_at(port, {"t": Target()}):
        client = Client(HOST, port, reconnect=1000)

    def interrupt() -> None:
        until(lambda: waits(client))
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    with client:
        with later(interrupt), pytest.raises(KeyboardInterrupt):
            client.echo(1)
        with server_at(port, {"t": Target()}):
            assert client.echo(2) == 2


def test_many_threads_share_the_new_connection() -> None:
    port = free_port()
    states: list[bool] = []
    with server_at(port, {"t": Target()}):
        client = Client(
            HOST, port, reconnect=DEADLINE, state_cb=lambda connected, _: states.append(connected)
        )
    got: list[int] = []
    threads = [
        threading.Thread(target=lambda n=n: got.append(client.echo(n)))  # type: ignore[misc]
        for n in range(8)
    ]
    with client:
        for thread in threads:
            thread.start()
        with server_at(port, {"t": Target()}):
            for thread in threads:
                thread.join(DEADLINE)
    assert sorted(got) == list(range(8))
    assert states == [True, False, True]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@every_transport
def test_a_child_that_was_forked_makes_its_own_connection(transport: str) -> None:
    ours, theirs = TRANSPORTS[transport]()
    port = free_port()
    with server_at(port, {"t": Target()}, **ours):
        with Client(HOST, port, reconnect=DEADLINE, **theirs) as client:
            items = client.items()
            assert next(items) == 0
            echo = client.echo
            assert in_child(lambda: f"{echo('ours')} {client.close_rpc()}") == "ours None"
            assert echo(2) == 2
            assert list(items) == list(range(1, 1000))


def test_a_server_relays_a_client_that_reconnects() -> None:
    port = free_port()
    with server_at(port, {"t": Target("first")}):
        inner = Client(HOST, port, reconnect=DEADLINE)
    with inner, rpc_server({"relay": inner}) as relay:
        with server_at(port, {"t": Target("second")}), Client(HOST, relay) as client:
            assert client.who() == "second"
            assert client.get_rpc_method_list()["methods"].keys() == {"echo", "items", "who"}


def test_a_certificate_that_is_not_there_is_not_waited_for(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.pem")
    with pytest.raises(FileNotFoundError):
        Client(
            HOST,
            free_port(),
            reconnect=1000,
            local_cert=missing,
            local_key=missing,
            peer_cert=missing,
        )


def test_a_client_that_is_dropped_leaves_nothing_for_the_garbage_collector() -> None:
    with rpc_server({"t": Target()}) as port:
        client = Client(HOST, port, reconnect=DEADLINE)
        lasting = ref(vars(client)["_Client__connection"])
        gc.disable()
        try:
            client.echo(1)
            client.close_rpc()
            del client
            assert lasting() is None
        finally:
            gc.enable()


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        (
            {"reconnect": -1},
            ValueError,
            "reconnect is a positive number of seconds, at most 2000000, got -1",
        ),
        ({"reconnect": "soon"}, ValueError, "reconnect is a positive number"),
        ({"reconnect": True, "state_cb": 5}, TypeError, "state_cb is a function"),
        ({"state_cb": print}, ValueError, "state_cb needs reconnect"),
        ({"reconnect": False, "state_cb": print}, ValueError, "state_cb needs reconnect"),
    ],
)
def test_parameters_that_make_no_sense(
    options: dict[str, Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text):
        Client(HOST, free_port(), **options)


def test_false_is_a_plain_client() -> None:
    with rpc_server({"t": Target()}) as port, Client(HOST, port, reconnect=False) as client:
        assert client.echo(1) == 1
    with pytest.raises(ConnectionLost, match="closed by this program"):
        client.echo(1)
