"""Habits of programs in the field: shapes of calls and of subclasses that must go on working."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pydoc
import threading
from typing import Any

import pytest

from sipyco_rpc import pc_rpc
from sipyco_rpc.pc_rpc import AsyncioClient, AutoTarget, BestEffortClient, Client, Server
from support.peers import DEADLINE, HOST, Peer, handshake, rpc_server, scripted_server

pytestmark = pytest.mark.usefixtures("either_protocol")


class Target:
    """A driver."""

    def echo(self, x: Any) -> Any:
        """Return the argument.

        Whatever it is."""
        return x

    def move(self, x: float, y: float = 0.5, *rest: int, speed: str = "slow", **more: Any) -> None:
        """Move."""


def test_call_shapes_of_the_blocking_client() -> None:
    with rpc_server({"t": Target()}, description="d") as port:
        for make in (
            lambda: Client(HOST, port),
            lambda: Client(host=HOST, port=port, timeout=DEADLINE),
            lambda: Client(HOST, port, "t", DEADLINE),
            lambda: Client(HOST, port, AutoTarget, timeout=None),
            lambda: Client(HOST, port, target_name="t", ssl_config=None),
        ):
            client = make()
            assert client.echo(1) == 1
            client.close_rpc()
        client = Client(HOST, port, None, None, None)
        assert client.get_rpc_id() == (["t"], "d")
        client.select_rpc_target(AutoTarget)
        assert client.get_selected_target() == "t"
        with pytest.raises(ValueError, match="selected already"):
            client.select_rpc_target("t")
        assert client.echo(2) == 2
        client.close_rpc()


def test_call_shapes_of_the_other_clients() -> None:
    async def main(port: int) -> None:
        for connect in (
            lambda c: c.connect_rpc(HOST, port),
            lambda c: c.connect_rpc(HOST, port, "t"),
            lambda c: c.connect_rpc(host=HOST, port=port, target_name="t"),
            lambda c: c.connect_rpc(HOST, port, AutoTarget, None),
        ):
            client = AsyncioClient()
            await connect(client)
            assert await client.echo(1) == 1
            client.close_rpc()

    with rpc_server({"t": Target()}) as port:
        asyncio.run(main(port))
        for best in (
            BestEffortClient(HOST, port, "t"),
            BestEffortClient(HOST, port, "t", firstcon_timeout=DEADLINE, retry=5.0),
            BestEffortClient(HOST, port, "t", DEADLINE, 5.0, None),
        ):
            assert best.echo(1) == 1
            best.close_rpc()


def test_a_name_that_is_read_before_there_is_a_connection() -> None:
    class Sub(Client):
        def __init__(self, *args: Any) -> None:
            assert not hasattr(self, "echo")
            self.own = "attribute"
            super().__init__(*args)

        def twice(self, x: Any) -> Any:
            return [self.echo(x), self.echo(x)]

        def close_rpc(self) -> None:
            self.own = "closed"
            super().close_rpc()

    with rpc_server({"t": Target()}) as port:
        with Sub(HOST, port) as client:
            assert client.twice(1) == [1, 1]
            assert client.own == "attribute"
        assert client.own == "closed"


def test_a_subclass_of_the_asyncio_client_and_of_the_server() -> None:
    class Sub(AsyncioClient):
        def __init__(self) -> None:
            super().__init__()
            self.host = "attribute"

        async def twice(self, x: Any) -> Any:
            return [await self.echo(x), await self.echo(x)]

    class Named(Server):
        def __init__(self, targets: Any) -> None:
            Server.__init__(self, targets, "description", True)

    async def main() -> None:
        server = Named({"t": Target()})
        await server.start(HOST, 0)
        assert server.server is not None
        client = Sub()
        await client.connect_rpc(HOST, server.server.sockets[0].getsockname()[1], AutoTarget)
        assert await client.twice(1) == [1, 1]
        assert client.host == "attribute"
        await client.close_rpc()
        await server.stop()

    asyncio.run(main())


NAMES = (
    *("timeout", "host", "port", "connection", "session", "socket", "call", "exchange", "close"),
    *("select", "lock", "loop", "methods", "target", "connect", "name", "args", "kwargs", "send"),
    *("retry", "reconnect", "listing", "closing", "valid_methods", "terminate", "stop", "self"),
)


def test_no_attribute_of_a_client_hides_a_remote_method() -> None:
    target = type("Many", (), {name: lambda self, name=name: name for name in NAMES})()

    async def main(port: int) -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port)
            for name in NAMES:
                assert await getattr(client, name)() == name

    with rpc_server({"t": target}) as port:
        with Client(HOST, port) as client, BestEffortClient(HOST, port, "t", DEADLINE) as best:
            for name in NAMES:
                assert getattr(client, name)() == name
                assert getattr(best, name)() == name
        asyncio.run(main(port))


def test_the_callable_names_under_their_private_name() -> None:
    with rpc_server({"t": Target()}) as port, Client(HOST, port) as client:
        assert set(client._Client__valid_methods) == {"echo", "move"}


def test_replacing_the_private_function_for_lines_does_no_harm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def replaced(*args: Any) -> Any:
        raise AssertionError("called")

    assert callable(pc_rpc._socket_readline)
    monkeypatch.setattr(pc_rpc, "_socket_readline", replaced)
    with rpc_server({"t": Target()}) as port, Client(HOST, port) as client:
        assert client.echo(1) == 1


def test_help_shows_the_remote_method_and_calls_need_no_listing() -> None:
    requests: list[bytes] = []

    def play(peer: Peer) -> None:
        handshake(peer)
        while line := peer.line():
            requests.append(line)
            peer.send(b'{"status":"ok","ret":1}\n')

    with scripted_server(play) as port, Client(HOST, port) as client:
        method = client.f
        assert {"f", "g"} <= set(dir(client))
        assert "remote method `f`" in repr(method)
        assert method() == 1
    assert [b"call" in line for line in requests] == [True]

    with rpc_server({"t": Target()}) as port, Client(HOST, port) as client:
        text = pydoc.plain(pydoc.render_doc(client.move))
        # Later Pythons spread it over lines, and show annotations without quotes.
        text = " ".join(text.replace("'", "").split())
        assert "x: float, y: float = 0.5, *rest: int, speed: str = slow, **more: Any" in text
        assert "Move." in text
        assert inspect.getdoc(client.echo) == "Return the argument.\n\nWhatever it is."
        assert str(inspect.signature(client.move)) == (
            "(x: 'float', y: 'float' = 0.5, *rest: 'int', speed: 'str' = 'slow', **more: 'Any')"
            " -> 'None'"
        )
        assert client.move.__name__ == "move"


def test_clients_are_objects_like_any_other() -> None:
    with rpc_server({"t": Target()}) as port, Client(HOST, port) as client:
        assert not hasattr(client, "__len__")
        assert not hasattr(client, "_private")
        assert hasattr(client, "echo")
        assert bool(client)
        assert client == client
        assert {client: 1}[client] == 1
        assert f"{HOST} port {port}" in repr(client)
        function = client.echo  # kept by programs as callbacks
        assert list(map(function, [1, 2])) == [1, 2]
        assert copy.copy(function)(3) == 3
        assert type("Kept", (), {"echo": function})().echo(4) == 4


def test_a_client_that_could_not_connect_can_be_closed_and_shown() -> None:
    client = Client.__new__(Client)
    assert "not connected" in repr(client)
    client.close_rpc()
    with pytest.raises(AttributeError):
        client.echo


def test_a_client_is_closed_by_its_context_also_after_an_error() -> None:
    ended = threading.Event()

    def play(peer: Peer) -> None:
        handshake(peer)
        assert peer.line() == b""
        ended.set()

    def use(port: int) -> None:
        with Client(HOST, port):
            raise ZeroDivisionError

    with scripted_server(play) as port:
        with pytest.raises(ZeroDivisionError):
            use(port)
        assert ended.wait(DEADLINE)


def test_document_function_is_reachable_under_its_private_name() -> None:
    argspec, docstring = Server._document_function(Target.move)
    assert argspec == {
        "args": ["self", "x", "y"],
        "varargs": "rest",
        "varkw": "more",
        "defaults": (0.5,),
        "kwonlyargs": ["speed"],
        "kwonlydefaults": {"speed": "slow"},
        "annotations": {
            "return": "None",
            "x": "float",
            "y": "float",
            "rest": "int",
            "speed": "str",
            "more": "Any",
        },
    }
    assert docstring == "Move."
