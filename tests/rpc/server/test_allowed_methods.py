"""A list of the methods that can be called: what is not on it is not there for clients."""

from __future__ import annotations

from typing import Any

import pytest

from sipyco_rpc.pc_rpc import Client, Server
from support.peers import DEADLINE, HOST, connected, rpc_server

pytestmark = pytest.mark.usefixtures("either_protocol")


class Laser:
    def __init__(self) -> None:
        self.power = 0.0

    def set_power(self, watts: float) -> None:
        self.power = watts

    def get_power(self) -> float:
        return self.power

    def erase_calibration(self) -> None:
        raise AssertionError("it was called")

    def __getattr__(self, name: str) -> Any:
        if name == "ping":
            return lambda: True
        raise AttributeError(name)


ALLOWED = {"laser": ["get_power", "set_power"]}


def test_only_what_is_on_the_list_can_be_called_and_is_listed() -> None:
    with rpc_server({"laser": Laser()}, allowed_methods=ALLOWED) as port:
        with Client(HOST, port, "laser", DEADLINE) as client:
            client.set_power(2.0)
            assert client.get_power() == 2.0
            assert set(client.get_rpc_method_list()["methods"]) == {"get_power", "set_power"}
            with pytest.raises(AttributeError):
                client.erase_calibration()


def test_a_request_that_does_not_ask_what_there_is_is_refused_too() -> None:
    with rpc_server({"laser": Laser()}, allowed_methods=ALLOWED) as port:
        with connected(port) as peer:
            peer.send(b"ARTIQ pc_rpc\nlaser pyon_v2\n")
            peer.line()
            assert b"erase" not in peer.line()
            for name in (b"erase_calibration", b"ping", b"__init__", b"no_such"):
                peer.send(b'{"action":"call","name":"%b","args":[],"kwargs":{}}\n' % name)
                reply = peer.line()
                assert b'"status":"failed"' in reply
                assert b"`%b` is not among the methods that this server allows" % name in reply


def test_other_targets_are_as_they_were_and_terminate_is_the_servers_own() -> None:
    targets = {"laser": Laser(), "spare": Laser()}
    with rpc_server(targets, allowed_methods=ALLOWED, builtin_terminate=True) as port:
        with Client(HOST, port, "spare", DEADLINE) as spare:
            with pytest.raises(AssertionError, match="it was called"):
                spare.erase_calibration()
        with Client(HOST, port, "laser", DEADLINE) as client:
            assert "terminate" in client.get_rpc_method_list()["methods"]
            client.terminate()


def test_a_target_that_is_made_for_each_connection_has_a_list_as_well() -> None:
    with rpc_server({"laser": Laser}, allowed_methods={"laser": {"get_power", "ping"}}) as port:
        with Client(HOST, port, "laser", DEADLINE) as client:
            assert client.get_power() == 0.0
            assert client.ping() is True
            assert set(client.get_rpc_method_list()["methods"]) == {"get_power", "ping"}


def test_an_empty_list_allows_nothing() -> None:
    with rpc_server({"laser": Laser()}, allowed_methods={"laser": []}) as port:
        with Client(HOST, port, "laser", DEADLINE) as client:
            assert client.get_rpc_method_list()["methods"] == {}


@pytest.mark.parametrize(
    ("allowed", "complaint"),
    [
        ({"lasr": ["get_power"]}, r"no target `lasr`; there are: `laser`$"),
        ({"laser": ["get_powr"]}, r"`laser` has no public method `get_powr`"),
        ({"laser": ["power"]}, r"`laser` has no public method `power`"),
        ({"laser": ["__init__"]}, r"`laser` has no public method `__init__`"),
        ({"laser": "get_power"}, r"expected a list of names, got 'get_power'"),
        ({"laser": b"get_power"}, r"expected a list of names, got b'get_power'"),
        ({"laser": None}, r"expected a list of names, got None"),
        (["laser"], r"expected a dictionary of lists, by the names of targets, got \['laser'\]"),
        ({"laser": [5]}, r"`laser` has no public method `5`"),
    ],
)
def test_a_list_that_means_nothing_is_an_error(allowed: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Server({"laser": Laser()}, allowed_methods=allowed)
