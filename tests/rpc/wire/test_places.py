"""Both sides call what cannot be encoded what programs call it: arguments, the result, an item."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sipyco_rpc.pc_rpc import Client
from sipyco_rpc.wire.client_session import ClientSession
from sipyco_rpc.wire.session import AutoTarget
from support.pairs import selected_session
from support.peers import DEADLINE, HOST, rpc_server

PLACE = r'arguments\[1\]\["when"\]$'


def session(features: bytes) -> ClientSession:
    made = ClientSession()
    made.receive_identification(
        (1, b'{"targets":["lda"],"description":null,"features":[%b]}' % features, [])
    )
    made.select(AutoTarget)
    return made


SESSIONS = pytest.mark.parametrize(
    "features", [b"", b'"pyon_v2"', b'"pyon_v2","frames"'], ids=["v1", "v2", "frames"]
)


@SESSIONS
def test_arguments_are_told_by_their_place(features: bytes) -> None:
    client = session(features)
    for make in (client.call, client.request_call, client.request_call):
        with pytest.raises(TypeError, match=rf"`<object .*; it is {PLACE}"):
            make("f", (1, {"when": object()}), {})
        with pytest.raises(TypeError, match=r'; it is arguments\["limit"\]\[0\]$') as caught:
            make("f", (1,), {"x": 1, "limit": [object()]})
        assert caught.value.__suppress_context__
        client.call("f", (), {})  # the next call begins with what is kept of this


@SESSIONS
def test_other_errors_have_a_place_too(features: bytes) -> None:
    client = session(features)
    with pytest.raises(ValueError, match=r"at most 100000 digits, .*; it is arguments\[0\]$"):
        client.call("f", (10**100_001,), {})
    if features:
        with pytest.raises(AssertionError, match=r"; it is arguments\[0\]$"):
            client.call("f", ({"__jsonclass__": 1},), {})


def test_an_error_that_does_not_come_again_is_told_as_it_was() -> None:
    class Once:
        left = 1

        def __repr__(self) -> str:
            return "once"

    from sipyco_pyon import pyon

    def encode(value: Once) -> list[int]:
        value.left -= 1
        if not value.left:
            raise TypeError("busy")
        return []

    pyon.register([Once], name="Once", encode=encode, decode=Once)
    try:
        with pytest.raises(TypeError, match="busy"):
            session(b'"pyon_v2"').call("f", (Once(),), {})
    finally:
        pyon.deregister([Once], "Once")


@pytest.mark.parametrize("selection", [b"lda", b"lda pyon_v2", b"lda pyon_v2 frames"])
def test_results_and_items_are_told_by_their_place(selection: bytes) -> None:
    server = selected_session(selection, 1, 2)
    with pytest.raises(TypeError, match=r"; it is the result\[3\]$"):
        server.reply(1, [0, 1, 2, object()])
    with pytest.raises(TypeError, match=r"; it is the result$"):
        server.reply(1, object())
    if server.framed:
        server.stream(2)
        with pytest.raises(TypeError, match=r'; it is the item\["x"\]$'):
            server.item(2, {"x": object()})


class Target:
    def result(self) -> Any:
        return {"when": [object()]}

    def items(self) -> Iterator[Any]:
        yield (object(),)

    def ping(self, *args: Any) -> int:
        return 5


@pytest.mark.usefixtures("either_protocol")
def test_clients_raise_it_and_go_on() -> None:
    with (
        rpc_server({"t": Target()}) as port,
        Client(HOST, port, "t", DEADLINE) as client,
    ):
        with pytest.raises(TypeError, match=r'; it is the result\["when"\]\[0\]'):
            client.result()
        with pytest.raises(TypeError, match=PLACE):
            client.ping(1, {"when": object()})
        assert client.ping() == 5


def test_an_item_of_a_generator_is_told_by_its_place() -> None:
    with (
        rpc_server({"t": Target()}) as port,
        Client(HOST, port, "t", DEADLINE) as client,
    ):
        with pytest.raises(TypeError, match=r"; it is the item\[0\]"):
            next(client.items())
        assert client.ping() == 5
