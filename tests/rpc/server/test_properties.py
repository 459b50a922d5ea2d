"""Properties of targets as attributes of clients, where the server offers them."""

from __future__ import annotations

import asyncio
import functools
import logging
import pickle
import re
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from sipyco_rpc.fire_and_forget import FFProxy
from sipyco_rpc.pc_rpc import (
    AsyncioClient,
    BestEffortClient,
    Client,
    IncompatibleServer,
    Server,
    as_interface,
    call_timeout,
)
from sipyco_rpc.support.running_method import running_method
from support.gates import GatedTarget
from support.peers import DEADLINE, HOST, connected, connection_of, rpc_server
from support.records import recorded

pytestmark = pytest.mark.usefixtures("either_protocol")


class Calibrated:
    """A descriptor of a program's own, with a setter."""

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else instance.calibration

    def __set__(self, instance: Any, value: Any) -> None:
        instance.calibration = value


class Psu:
    """A power supply."""

    slope = Calibrated()
    kind = "bench"

    def __init__(self) -> None:
        self.volts: Any = 1.0
        self.gain = 3
        self.calibration = 0
        self.read: list[str] = []

    @property
    def voltage(self) -> Any:
        """The voltage, in volts."""
        self.read.append(threading.current_thread().name)
        return self.volts

    @voltage.setter
    def voltage(self, volts: Any) -> None:
        self.read.append(threading.current_thread().name)
        if isinstance(volts, str) and volts == "too much":
            raise ValueError("at most 30 V")
        self.volts = volts

    @property
    def serial(self) -> str:
        return "S1"

    @functools.cached_property
    def model(self) -> str:
        """What it is."""
        return "E3631A"

    @property
    async def temperature(self) -> float:
        await asyncio.sleep(0)
        self.read.append(threading.current_thread().name)
        return 21.5

    @property
    def broken(self) -> None:
        raise OSError(5, "no answer from the device")

    @property
    def lost(self) -> None:
        raise AttributeError("the driver has lost it")

    @property
    def stopped(self) -> None:
        raise StopIteration

    @property
    def items(self) -> Iterator[int]:
        return iter([1])

    @property
    def steps(self) -> Iterator[int]:
        yield 1

    @property
    def _private(self) -> int:
        raise AssertionError("it was read")

    def reset(self) -> None:
        self.volts = 0.0


ALL = {
    "broken", "items", "lost", "model", "serial", "slope", "steps", "stopped", "temperature",
    "voltage",
}  # fmt: skip
EXTRA = {"properties": {"psu": ["voltage", "serial"]}}


@pytest.mark.parametrize("threaded", [False, True], ids=["plain", "threaded"])
def test_properties_are_read_and_set_as_attributes(threaded: bool) -> None:
    psu = Psu()
    with rpc_server({"psu": psu}, properties=True, threaded=threaded) as port:
        with Client(HOST, port, timeout=DEADLINE) as client:
            assert psu.read == []  # nothing was evaluated to connect
            assert client.voltage == 1.0
            client.voltage = [12, None]
            assert client.voltage == psu.volts == [12, None]
            client.voltage = None
            assert psu.volts is None
            client.slope = 5
            assert (psu.calibration, client.slope, client.serial, client.model) == (
                5, 5, "S1", "E3631A",
            )  # fmt: skip
            in_worker = [name == "calls of psu" for name in psu.read]
            assert in_worker == [threaded] * 4
            assert client.temperature == 21.5
            assert psu.read[-1] != "calls of psu"  # a coroutine is awaited in the loop
            client.reset()
            assert client.voltage == 0.0
            assert set(dir(client)) >= ALL
            assert "voltage" not in vars(client)


def test_properties_are_listed_with_their_docstrings() -> None:
    with rpc_server({"psu": Psu()}, properties=True) as port, Client(HOST, port) as client:
        listing = client.get_rpc_method_list()
        assert listing["methods"].keys() == {"reset"}
        assert listing["properties"].keys() == ALL
        assert listing["properties"]["voltage"] == {
            "docstring": "The voltage, in volts.",
            "settable": True,
        }
        assert listing["properties"]["model"] == {"docstring": "What it is.", "settable": False}
        assert listing["properties"]["serial"] == {"docstring": None, "settable": False}
        assert listing["properties"]["slope"]["settable"] is True


def test_what_getters_and_setters_raise_is_raised() -> None:
    with rpc_server({"psu": Psu()}, properties=True) as port, Client(HOST, port) as client:
        with pytest.raises(ValueError, match="at most 30 V") as caught:
            client.voltage = "too much"
        assert "in voltage" in "".join(caught.value.parent_traceback)  # type: ignore[attr-defined]
        with pytest.raises(OSError, match="no answer") as lost:
            client.broken
        assert lost.value.errno == 5
        with pytest.raises(AttributeError, match="the driver has lost it"):
            client.lost
        assert not hasattr(client, "lost")
        with pytest.raises(RuntimeError, match="StopIteration"):
            client.stopped
        for name in ("steps", "items"):  # one value is asked for, and nobody takes items
            with pytest.raises(TypeError, match=r"generator|iterator"):
                getattr(client, name)
        for name in ("serial", "model"):
            with pytest.raises(
                AttributeError, match=f"property `{name}` has no setter: it can be"
            ):
                setattr(client, name, 5)
        with pytest.raises(TypeError):
            client.voltage = object()
        with pytest.raises(AttributeError, match="`voltage` of `psu` cannot be deleted"):
            del client.voltage
        with pytest.raises(AttributeError, match="has no method or property `_private`"):
            client._private
        assert client.voltage == 1.0


def test_a_property_that_is_called_says_that_it_is_one() -> None:
    for options, reason in (
        ({}, "`voltage` is a property of the target; the server can offer it with `properties=…`"),
        (EXTRA, "`voltage` is a property of the target and not a method: read it as an attribute"),
    ):
        with rpc_server({"psu": Psu()}, **options) as port, Client(HOST, port) as client:
            with pytest.raises(AttributeError, match=reason):
                connection_of(client).call("voltage", (), {})


def conversation(port: int, selection: bytes, *requests: bytes) -> list[bytes]:
    """Say what a client says; return the answers, the greeting first."""
    with connected(port) as peer:
        peer.send(b"ARTIQ pc_rpc\n")
        said = [peer.line()]
        for text in (selection, *requests):
            peer.send(text + b"\n")
            said.append(peer.line())
    return said


def test_a_client_that_does_not_know_of_them_notices_nothing() -> None:
    listing = b'{"action":"get_rpc_method_list"}'
    read = b'{"action":"get_property","name":"voltage"}'
    call = b'{"action":"call","name":"reset","args":[],"kwargs":{}}'
    psu = Psu()
    answers = []
    for properties in (False, True):
        with rpc_server({"psu": psu}, properties=properties) as port:
            for selection in (b"psu pyon_v2", b"psu"):
                answers.append(conversation(port, selection, listing, call, read)[1:])
    assert answers[:2] == answers[2:]
    assert answers[0][0] == b'{"__jsonclass__":["set",[["reset"]]]}\n'
    assert b"unknown action 'get_property'" in answers[0][-1]
    assert psu.read == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (b"_private", "`_private` begins with `_` and is no public property"),
        (b"__class__", "`__class__` begins with `_`"),
        (b"gain", "there is no property `gain`"),
        (b"reset", "there is no property `reset`"),
        (b"slope", "`slope` is a property of the target; the server can offer it"),
    ],
)
def test_what_is_not_offered_is_neither_read_nor_set(name: bytes, reason: str) -> None:
    psu = Psu()
    with rpc_server({"psu": psu}, **EXTRA) as port:
        for request in (
            b'{"action":"get_property","name":"%b"}',
            b'{"action":"set_property","name":"%b","value":77}',
        ):
            answers = conversation(port, b"psu pyon_v2 properties", request % name)
            assert b'"class":"AttributeError"' in answers[2]
            assert reason in answers[2].decode()
    assert 77 not in vars(psu).values()


# --- what is offered ---------------------------------------------------------------------------


class Slotted:
    __slots__ = ("late", "level")

    def __init__(self) -> None:
        self.level = 1


class Making:
    """Makes up its attributes, as a driver over another protocol may."""

    def __getattr__(self, name: str) -> Any:
        if name == "pressure":
            return 5
        if name == "angry":
            raise OSError("not now")
        raise AttributeError(name)


def test_a_list_names_what_is_offered_plain_attributes_too() -> None:
    targets = {"psu": Psu(), "slotted": Slotted(), "making": Making(), "other": Psu()}
    properties = {
        "psu": ["voltage", "gain", "kind"],
        "slotted": {"level", "late"},
        "making": ("pressure",),
    }
    with rpc_server(targets, properties=properties) as port:
        with Client(HOST, port, "psu") as client:
            assert client.get_rpc_method_list()["properties"].keys() == set(properties["psu"])
            client.gain += 1
            assert (client.gain, targets["psu"].gain, client.kind) == (4, 4, "bench")
            with pytest.raises(AttributeError, match="no method or property `serial`"):
                client.serial
        with Client(HOST, port, "slotted") as client:
            with pytest.raises(AttributeError, match="late"):
                client.late
            client.late = client.level
            assert client.late == 1
        with Client(HOST, port, "making") as client:
            assert client.pressure == 5
        with Client(HOST, port, "other") as client:
            assert not hasattr(client, "voltage")
            assert client.get_rpc_method_list()["properties"] == {}


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"psu": ["no_such"]}, "`psu` has no public property or attribute `no_such`"),
        ({"psu": ["reset"]}, "no public property or attribute `reset`"),
        ({"psu": ["_private"]}, "no public property or attribute `_private`"),
        ({"psu": [5]}, "no public property or attribute `5`"),
        ({"psu": "voltage"}, "expected a list of names, or True, got 'voltage'"),
        ({"psu": 5}, "expected a list of names, or True, got 5"),
        ({"nosuch": True}, "no target `nosuch`; there are: `made`, `making`, `psu`"),
        ({"made": ["_x"]}, "`made` has no public property or attribute `_x`"),
        ({"making": ["angry"]}, "`making` has no public property or attribute `angry`"),
        (["voltage"], "expected True, or a dictionary of lists"),
    ],
)
def test_what_cannot_be_offered_is_refused_at_once(properties: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Server({"psu": Psu(), "made": Psu, "making": Making()}, properties=properties)


@pytest.mark.parametrize(
    ("properties", "offered"),
    [
        (False, False),
        ({}, False),
        ({"psu": False}, False),
        ({"psu": []}, False),
        ({"psu": ["gain"]}, True),
        (True, True),
    ],
)
def test_the_word_is_in_the_greeting_where_some_are_offered(
    properties: Any, offered: bool
) -> None:
    with rpc_server({"psu": Psu()}, properties=properties) as port, connected(port) as peer:
        peer.send(b"ARTIQ pc_rpc\n")
        assert (b'"properties"' in peer.line()) is offered


def test_a_list_of_what_is_allowed_holds_for_all_properties_and_not_for_those_listed() -> None:
    allowed = {"psu": ["reset", "serial"]}
    with rpc_server({"psu": Psu()}, allowed_methods=allowed, properties=True) as port:
        with Client(HOST, port) as client:
            assert client.get_rpc_method_list()["properties"].keys() == {"serial"}
            assert client.get_rpc_method_list()["methods"].keys() == {"reset"}
        request = b'{"action":"get_property","name":"voltage"}'
        assert b"failed" in conversation(port, b"psu pyon_v2 properties", request)[2]
    allowed = {"psu": ["reset"]}
    with rpc_server({"psu": Psu()}, allowed_methods=allowed, properties={"psu": ["gain"]}) as port:
        with Client(HOST, port) as client:
            assert client.gain == 3
            assert client.get_rpc_method_list()["properties"].keys() == {"gain"}
    with pytest.raises(ValueError, match="`psu` has no public method `serial`"):
        Server({"psu": Psu()}, allowed_methods={"psu": ["serial"]})


def test_a_target_that_is_made_for_each_connection_has_its_own() -> None:
    for properties in (True, {"psu": ["voltage", "absent"]}):
        with rpc_server({"psu": Psu}, properties=properties) as port:
            with Client(HOST, port) as one, Client(HOST, port) as two:
                one.voltage = 5
                assert (one.voltage, two.voltage) == (5, 1.0)
                assert "absent" not in dir(one)


# --- other clients -----------------------------------------------------------------------------


def test_the_asyncio_client_awaits_them() -> None:
    psu = Psu()

    async def main(port: int) -> None:
        async with AsyncioClient(DEADLINE) as client:
            await client.connect_rpc(HOST, port)
            assert await client.voltage == 1.0
            await client.voltage.set(12)
            voltage = client.voltage
            assert [await voltage, await voltage.get(), psu.volts] == [12, 12, 12]
            assert await asyncio.gather(*[client.voltage for _ in range(20)]) == [12] * 20
            assert await client.temperature == 21.5
            assert repr(voltage).startswith(f"<remote property `psu.voltage` on {HOST} port")
            assert voltage.__doc__ is None
            await client.get_rpc_method_list()
            assert voltage.__doc__ == "The voltage, in volts."
            with pytest.raises(
                TypeError, match=r"the value of `psu\.voltage` is what `await` gives"
            ):
                bool(client.voltage)
            with pytest.raises(AttributeError, match=r"set by `await client.voltage.set\(…\)`"):
                client.voltage = 5
            with pytest.raises(AttributeError, match="`serial` has no setter"):
                await client.serial.set(1)
            with pytest.raises(OSError, match="no answer from the device"):
                await client.broken
            with pytest.raises(AttributeError, match="cannot be deleted"):
                del client.voltage
            with pytest.raises(TypeError, match="process"):
                pickle.dumps(client.voltage)
            assert "voltage" in dir(client)
        with pytest.raises(ConnectionError):
            await voltage

    with rpc_server({"psu": psu}, properties=True) as port:
        asyncio.run(main(port))


def test_the_best_effort_client_gives_none_without_a_connection() -> None:
    psu = Psu()
    with rpc_server({"psu": psu}, properties=True) as port:
        client = BestEffortClient(HOST, port, "psu", DEADLINE, retry=1000)
        client.voltage = 12
        assert client.voltage == psu.volts == 12
        with pytest.raises(OSError, match="no answer from the device"):
            client.broken
        with pytest.raises(ValueError, match="at most 30 V"):
            client.voltage = "too much"
        assert "voltage" in dir(client)
    with recorded("sipyco.pc_rpc") as records, client:
        assert client.voltage is None  # the connection broke
        client.voltage = 5
        assert client.voltage is None
        assert "voltage" not in vars(client)
        assert client.get_rpc_method_list() is None
    [(_, level, message, _)] = [record for record in records if "reconnecting" in record[2]]
    assert level == logging.WARNING
    assert message.startswith("reading `psu.voltage` failed, reconnecting in the background: ")
    assert psu.volts == 12


def test_a_derived_class_keeps_what_it_has_under_that_name() -> None:
    class Named(Client):
        serial = "mine"

        def __init__(self, port: int) -> None:
            self.gain = "own"
            super().__init__(HOST, port)

        @property
        def slope(self) -> int:
            return 7

        def twice(self) -> Any:
            return 2 * self.voltage

    psu = Psu()
    with rpc_server({"psu": psu}, properties={"psu": True}) as port, Named(port) as client:
        assert (client.serial, client.slope, client.gain, client.twice()) == ("mine", 7, "own", 2)
        client.serial = "new"
        client.voltage = 5
        assert (vars(client)["serial"], psu.volts) == ("new", 5)
        with pytest.raises(AttributeError):
            client.slope = 3


def test_an_interface_may_have_properties() -> None:
    class Supply:
        @property
        def voltage(self) -> float: ...  # type: ignore[empty-body]
        def reset(self) -> None: ...

    class More(Supply):
        @property
        def charge(self) -> float: ...  # type: ignore[empty-body]
        def serial(self) -> None: ...

    psu = Psu()
    with rpc_server({"psu": psu}, properties=True) as port, Client(HOST, port) as client:
        assert as_interface(client, Supply).voltage == 1.0
        assert len(psu.read) == 1  # to be looked for, it was not read
        with pytest.raises(
            IncompatibleServer,
            match="lacks methods of `More`: `serial`; properties of `More`: `charge`",
        ):
            as_interface(client, More)
    with rpc_server({"psu": psu}) as port, Client(HOST, port) as client:
        as_interface(client, Supply)  # as before there were any


def test_they_cannot_be_fired_and_forgotten() -> None:
    psu = Psu()
    with rpc_server({"psu": psu}, properties=True) as port, Client(HOST, port) as client:
        with FFProxy(client) as proxy:
            with pytest.raises(AttributeError, match="is not a method"):
                proxy.voltage()
            assert psu.read == []  # to find that out, it was not read
            with pytest.raises(AttributeError, match="`voltage` is a property: set it on the cli"):
                proxy.voltage = 5
            proxy.note = 5
            assert proxy.note == 5


# --- time, order and records -------------------------------------------------------------------


class Gated(GatedTarget):
    @property
    def slow(self) -> str:
        return self.block()

    @property
    async def slow_in_the_loop(self) -> str:
        return await self.wait()

    @property
    def quick(self) -> int:
        return 5


def test_a_limit_of_time_holds_for_them() -> None:
    target = Gated()
    with rpc_server({"gated": target}, threaded=True, properties=True) as port:
        with Client(HOST, port) as client:
            with call_timeout(client, 0.01), pytest.raises(TimeoutError, match=r"`gated\.slow`"):
                client.slow
            target.released.set()
            assert client.quick == 5  # and not the late answer
        target.released.clear()

        async def main() -> None:
            async with AsyncioClient() as client:
                await client.connect_rpc(HOST, port)
                with call_timeout(client, 0.01):
                    with pytest.raises(TimeoutError, match=r"reading `gated\.slow_in_the_loop`"):
                        await client.slow_in_the_loop
                target.released.set()
                assert await client.quick == 5

        asyncio.run(main())


@pytest.mark.parametrize("threaded", [False, True], ids=["plain", "threaded"])
def test_they_take_their_turns_with_calls(threaded: bool) -> None:
    target = Gated()
    seen: list[str] = []

    async def main(port: int) -> None:
        async with AsyncioClient(DEADLINE) as one, AsyncioClient(DEADLINE) as two:
            await one.connect_rpc(HOST, port)
            await two.connect_rpc(HOST, port)

            async def call() -> None:
                await one.wait()
                seen.append("waited")

            async def read() -> None:
                await two.quick
                seen.append("read")

            calling = asyncio.ensure_future(call())
            await asyncio.to_thread(target.entered.wait, DEADLINE)
            reading = asyncio.ensure_future(read())
            await two.get_rpc_method_list()  # the request has been sent before this one
            target.released.set()
            await asyncio.gather(calling, reading)

    # One request at a time is answered in lines: the listing would wait behind the property.
    with rpc_server({"gated": target}, threaded=threaded, properties=True, frames=True) as port:
        asyncio.run(main(port))
    assert seen == ["waited", "read"]


def test_one_that_is_given_up_is_cancelled() -> None:
    target = Gated()

    async def main(port: int) -> None:
        async with AsyncioClient(DEADLINE) as client:
            await client.connect_rpc(HOST, port)
            reading = asyncio.ensure_future(client.slow_in_the_loop.get())
            await asyncio.to_thread(target.entered.wait, DEADLINE)
            reading.cancel()
            assert await client.quick == 5  # the lock is free again

    with rpc_server({"gated": target}, properties=True, frames=True) as port:
        asyncio.run(main(port))


def test_what_is_read_and_set_is_in_the_debug_log() -> None:
    with recorded("sipyco.pc_rpc") as records:
        with rpc_server({"psu": Psu()}, properties=True) as port, Client(HOST, port) as client:
            client.voltage = "x" * 1000
            client.voltage
    texts = [text for _, level, text, _ in records if level == logging.DEBUG]
    assert f"setting voltage to '{'x' * 24}'..." in texts
    assert "reading voltage" in texts


def test_they_are_counted_and_logged_like_calls() -> None:
    with recorded("sipyco.pc_rpc") as records:
        with rpc_server({"psu": Psu()}, properties=True) as port, Client(HOST, port) as client:
            client.voltage = 5
            assert client.voltage == 5
            for what in (lambda: client.broken, lambda: setattr(client, "voltage", "too much")):
                with pytest.raises((OSError, ValueError)):
                    what()
            request = b'{"action":"get_property","name":"no_such"}'
            conversation(port, b"psu pyon_v2 properties", request)
            methods = client.get_rpc_status()["targets"]["psu"]["methods"]
    counts = {name: (each["calls"], each["errors"]) for name, each in methods.items()}
    assert counts == {"voltage": (3, 1), "broken": (1, 1)}
    texts = [text for _, level, text, _ in records if level == logging.INFO]
    assert any("`psu.broken`" in text and "no answer from the device" in text for text in texts)
    assert any("`psu.voltage = 'too much'`" in text for text in texts)


class Asking:
    @property
    def name(self) -> str | None:
        return running_method(sys._getframe())

    @name.setter
    def name(self, value: Any) -> None:
        raise ValueError(running_method(sys._getframe()))


def test_who_waits_for_one_by_a_signal_is_told_its_name() -> None:
    described = re.compile(
        r"`asking\.name` \(called by 127\.0\.0\.1 port \d+, running for [\d.]+ s\)"
    )
    with rpc_server({"asking": Asking()}, properties=True) as port, Client(HOST, port) as client:
        assert described.fullmatch(client.name)
        with pytest.raises(ValueError, match=described):
            client.name = 5


def test_an_array_is_set_as_it_was_then() -> None:
    numpy = pytest.importorskip("numpy")
    psu = Psu()

    async def main(port: int) -> None:
        async with AsyncioClient(DEADLINE) as client:
            await client.connect_rpc(HOST, port)
            table = numpy.arange(1_000_000)
            setting = asyncio.ensure_future(client.voltage.set(table))
            await asyncio.sleep(0)
            table[:] = 0
            await setting
            assert (psu.volts == numpy.arange(1_000_000)).all()
            assert (await client.voltage == psu.volts).all()

    with rpc_server({"psu": psu}, properties=True) as port:
        asyncio.run(main(port))
        with Client(HOST, port) as client:
            client.voltage = numpy.ones((3, 4))
            assert client.voltage.shape == (3, 4)


# --- a server in between -----------------------------------------------------------------------


class Wrapped(Client):
    @property
    def doubled(self) -> Any:
        """Twice the voltage."""
        return 2 * self.voltage


def check_relay(port: int, psu: Psu) -> None:
    with Client(HOST, port, timeout=DEADLINE) as client:
        assert psu.read == []  # nobody has looked at it to offer it
        assert client.voltage == 1.0
        client.voltage = 12
        assert client.voltage == psu.volts == 12
        with pytest.raises(AttributeError, match="'Psu' object: property `serial` has no setter"):
            client.serial = 5
        with pytest.raises(OSError, match="no answer from the device"):
            client.broken
        properties = client.get_rpc_method_list()["properties"]
        assert properties.keys() >= ALL
        assert properties["voltage"]["docstring"] == "The voltage, in volts."
        assert properties["serial"]["settable"] is False
        client.reset()
    psu.read.clear()
    with connected(port) as peer:
        peer.send(b"ARTIQ pc_rpc\nrelay pyon_v2\n")
        peer.line()
        assert b"voltage" not in peer.line()
        peer.send(b'{"action":"call","name":"voltage","args":[],"kwargs":{}}\n')
        assert b"is a property of the target" in peer.line()
    assert psu.read == []


@pytest.mark.parametrize("threaded", [False, True], ids=["plain", "threaded"])
def test_a_blocking_client_is_relayed_with_its_properties(threaded: bool) -> None:
    psu = Psu()
    with rpc_server({"psu": psu}, properties=True) as port, Wrapped(HOST, port) as inner:
        with rpc_server({"relay": inner}, properties=True, threaded=threaded) as relay:
            check_relay(relay, psu)
            with Client(HOST, relay) as client:
                assert client.doubled == 0.0
                assert client.get_rpc_method_list()["properties"]["doubled"] == {
                    "docstring": "Twice the voltage.",
                    "settable": False,
                }
        with rpc_server({"relay": inner}, properties={"relay": ["voltage"]}) as relay:
            with Client(HOST, relay) as client:
                assert client.get_rpc_method_list()["properties"].keys() == {"voltage"}
        with pytest.raises(ValueError, match="no public property or attribute `charge`"):
            Server({"relay": inner}, properties={"relay": ["charge"]})


@pytest.mark.parametrize("threaded", [False, True], ids=["plain", "threaded"])
def test_an_asyncio_client_is_relayed_with_its_properties(threaded: bool) -> None:
    psu = Psu()

    async def main(port: int) -> None:
        async with AsyncioClient(DEADLINE) as inner:
            await inner.connect_rpc(HOST, port)
            async with Server({"relay": inner}, properties=True, threaded=threaded) as server:
                await server.start(HOST, 0)
                relay = server.server.sockets[0].getsockname()[1]
                await asyncio.to_thread(check_relay, relay, psu)

    with rpc_server({"psu": psu}, properties=True) as port:
        asyncio.run(main(port))


def test_a_best_effort_client_is_relayed_with_its_properties() -> None:
    psu = Psu()
    with rpc_server({"psu": psu}, properties=True) as port:
        inner = BestEffortClient(HOST, port, "psu", DEADLINE, retry=1000)
        with inner, rpc_server({"relay": inner}, properties=True) as relay:
            check_relay(relay, psu)
            inner.close_rpc()
            with Client(HOST, relay) as client:
                assert client.voltage is None
                client.voltage = 5
                assert client.voltage is None
