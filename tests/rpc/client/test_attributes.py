"""Attributes of clients: what Python says of a name that is not there, and what cannot be set."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest

from sipyco_rpc.pc_rpc import AsyncioClient, BestEffortClient, Client
from support.peers import DEADLINE, HOST, rpc_server
from support.programs import free_port

pytestmark = pytest.mark.usefixtures("either_protocol")


class Psu:
    def __init__(self) -> None:
        self.volts = 0.0

    def set_voltage(self, volts: float) -> None:
        self.volts = volts

    def get_voltage(self) -> float:
        return self.volts

    def status(self) -> str:
        return "on"


@pytest.fixture
def port() -> Iterator[int]:
    with rpc_server({"psu": Psu()}) as port:
        yield port


class Blocking(Client):
    slow = False
    __slots__ = ("in_a_slot",)

    def __init__(self, *arguments: Any) -> None:
        self.before = 1
        super().__init__(*arguments)
        self.after = 2
        self.__mangled = 3

    @property
    def limit(self) -> int:
        return self.__mangled

    @limit.setter
    def limit(self, value: int) -> None:
        self.__mangled = value


class BestEffort(BestEffortClient):
    slow = False
    __slots__ = ("in_a_slot",)
    limit = Blocking.limit

    def __init__(self, *arguments: Any) -> None:
        self.before = 1
        super().__init__(*arguments, "psu", DEADLINE)
        self.after = 2
        self._Blocking__mangled = 3


class Asynchronous(AsyncioClient):
    slow = False
    __slots__ = ("in_a_slot",)
    limit = Blocking.limit

    def __init__(self) -> None:
        self.before = 1
        super().__init__()
        self.after = 2
        self._Blocking__mangled = 3


def with_client(kind: Callable[..., Any], port: int, use: Callable[[Any], object]) -> None:
    """Connect a client, and do something with it that does not wait."""

    async def main() -> None:
        async with kind() as client:
            await client.connect_rpc(HOST, port)
            use(client)

    if isinstance(kind, type) and issubclass(kind, AsyncioClient):
        asyncio.run(main())
        return
    arguments: list[Any] = [HOST, port]
    if kind is BestEffortClient:
        arguments += ["psu", DEADLINE]
    with kind(*arguments) as client:
        use(client)


PLAIN = [Client, BestEffortClient, AsyncioClient]
DERIVED = [Blocking, BestEffort, Asynchronous]


def refused(what: Callable[[], object]) -> AttributeError:
    with pytest.raises(AttributeError) as caught:
        what()
    return caught.value


# --- names that are not there ------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*PLAIN, *DERIVED])
def test_the_error_of_an_unknown_name_has_the_name_and_the_client(kind: Any, port: int) -> None:
    def use(client: Any) -> None:
        exc = refused(lambda: client.set_votlage)
        assert (exc.name, exc.obj) == ("set_votlage", client)
        assert str(exc) == "`psu` has no method `set_votlage`, and offers no properties"
        assert str(refused(lambda: client.voltage)).endswith("; call `get_voltage`")
        assert not hasattr(client, "_repr_html_")
        assert {"set_voltage", "get_voltage", "close_rpc"} <= set(dir(client))

    with_client(kind, port, use)


def test_a_client_without_a_target_says_so(port: int) -> None:
    with Client(HOST, port, None) as client:
        assert "a client without a target has no method `f`" in str(refused(lambda: client.f))
    unconnected = AsyncioClient()
    exc = refused(lambda: unconnected.set_voltage)
    assert str(exc) == "not connected, so there is no method `set_voltage`"
    assert exc.obj is unconnected
    with pytest.raises(AttributeError, match="offers no property `voltage` that could be set"):
        unconnected.voltage = 12
    uninitialized = AsyncioClient.__new__(AsyncioClient)
    assert not hasattr(uninitialized, "set_voltage")


PROGRAM = """
import asyncio, sys
from sipyco_rpc.pc_rpc import AsyncioClient, BestEffortClient, Client
kind, port, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]

async def main():
    async with AsyncioClient() as client:
        await client.connect_rpc("127.0.0.1", port)
        await getattr(client, name)(5)

if kind == "asyncio":
    asyncio.run(main())
elif kind == "best effort":
    with BestEffortClient("127.0.0.1", port, "psu", 50.0) as client:
        getattr(client, name)(5)
else:
    with Client("127.0.0.1", port) as client:
        getattr(client, name)(5)
"""


def last_line(*arguments: object) -> str:
    """Run the program above, which ends with an exception; return what that says."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert ended.returncode == 1
    [line] = [line for line in ended.stderr.splitlines() if line.startswith("AttributeError")]
    return line


@pytest.mark.parametrize("kind", ["blocking", "asyncio", "best effort"])
def test_python_itself_says_what_may_have_been_meant(kind: str, port: int) -> None:
    line = last_line(kind, port, "set_votlage")
    assert "Did you mean" in line
    assert "set_voltage" in line.partition("Did you mean")[2]


class Counting:
    def __init__(self) -> None:
        self.read = 0

    @property
    def voltage(self) -> int:
        self.read += 1
        return self.read

    def set_current(self) -> None:
        pass


@pytest.mark.parametrize("kind", ["blocking", "asyncio", "best effort"])
def test_a_traceback_asks_the_server_for_nothing(kind: str) -> None:
    target = Counting()
    with rpc_server({"psu": target}, properties=True) as port:
        assert "has no method or property `bit_length`" in last_line(kind, port, "bit_length")
        assert "voltage'" in last_line(kind, port, "votlage")
    assert target.read == 0


# --- setting -----------------------------------------------------------------------------------


def last_shown(exc: AttributeError) -> str:
    return traceback.format_exception(exc)[-1].replace("Did you mean", "meant")


@pytest.mark.parametrize("kind", PLAIN)
def test_an_attribute_of_a_client_cannot_be_set(kind: Any, port: int) -> None:
    def use(client: Any) -> None:
        exc = refused(lambda: setattr(client, "voltage", 12))
        assert str(exc) == (
            "`psu` offers no property `voltage` that could be set: call `set_voltage(…)`; "
            f"for attributes of your own, derive a class from {kind.__name__}"
        )
        assert (exc.name, exc.obj) == ("voltage", client)
        exc = refused(lambda: setattr(client, "set_voltage", 3))
        assert str(exc) == (
            "`set_voltage` is a method of `psu` and cannot be set: call it, `set_voltage(…)`"
        )
        assert "meant" not in last_shown(exc)  # it is no mistake in the name
        exc = refused(lambda: setattr(client, "close_rpc", 3))
        assert str(exc) == "`close_rpc` is the client's own, and cannot be set"
        assert "voltage" not in client.__dict__
        assert callable(client.set_voltage)

    with_client(kind, port, use)


@pytest.mark.parametrize("kind", DERIVED)
def test_a_derived_class_has_attributes_of_its_own(kind: Any, port: int) -> None:
    def use(client: Any) -> None:
        assert (client.before, client.after, client.limit, client.slow) == (1, 2, 3, False)
        client.slow = True
        client.limit = 5
        client.in_a_slot = 6
        client.new = 7
        client.before += 1
        assert (client.slow, client.limit, client.in_a_slot) == (True, 5, 6)
        assert (client.new, client.before) == (7, 2)
        del client.new, client.in_a_slot, client.slow
        assert not hasattr(client, "new")
        assert not hasattr(client, "in_a_slot")
        assert client.slow is False
        exc = refused(lambda: setattr(client, "set_voltage", 3))
        assert "is a method of `psu`" in str(exc)
        assert callable(client.set_voltage)
        with pytest.raises(AttributeError):
            del client.limit

    with_client(kind, port, use)


def test_what_a_derived_class_has_set_before_it_connects_stays_its_own(port: int) -> None:
    class Named(Client):
        def __init__(self) -> None:
            self.status = "new"  # a name that the target has as well
            super().__init__(HOST, port)
            self.status = "connected"

    with Named() as client:
        assert client.status == "connected"
        del client.status
        assert client.status() == "on"


@pytest.mark.parametrize("kind", PLAIN)
def test_a_derived_class_can_be_looked_at_before_its_client_is_made(kind: Any) -> None:
    """A debugger shows it, and what is missing is named."""

    class Early(kind):  # type: ignore[misc]
        def __init__(self) -> None:
            self.scratch = 1
            del self.scratch

    early = Early()
    assert repr(early).startswith(f"<{kind.__name__}, ")
    assert "get_rpc_id" in dir(early)
    exc = refused(lambda: early.label)
    assert exc.name == "label"
    assert "no method `label`" in str(exc)


@pytest.mark.parametrize("kind", [*PLAIN, *DERIVED])
def test_what_the_target_has_cannot_be_deleted(kind: Any, port: int) -> None:
    def use(client: Any) -> None:
        for _ in range(2):  # before it was used, and after
            exc = refused(lambda: delattr(client, "set_voltage"))
            assert str(exc) == "`set_voltage` of `psu` cannot be deleted"
            assert callable(client.set_voltage)
        refused(lambda: delattr(client, "no_such"))

    with_client(kind, port, use)


@pytest.mark.parametrize("kind", [*PLAIN, *DERIVED])
def test_a_test_replaces_methods_as_before(kind: Any, port: int) -> None:
    def use(client: Any) -> None:
        for name in ("set_voltage", "get_rpc_id"):
            with mock.patch.object(client, name, mock.Mock()) as replaced:
                getattr(client, name)(5)
            assert replaced.call_args_list == [mock.call(5)]
            assert not isinstance(getattr(client, name), mock.Mock)
        original = client.get_voltage
        client.get_voltage = functools.partial(int, 5)
        assert client.get_voltage() == 5
        client.get_voltage = original
        assert client.get_voltage is original

    with_client(kind, port, use)


@pytest.mark.parametrize("kind", PLAIN)
def test_private_names_and_the_dictionary_are_left_alone(kind: Any, port: int) -> None:
    def use(client: Any) -> None:
        client._note = 1
        vars(client)["note"] = 2
        client.note += 1
        assert (client._note, client.note) == (1, 3)
        del client._note, client.note
        assert not hasattr(client, "note")

    with_client(kind, port, use)


def test_a_replaced_method_of_an_asyncio_client_outlives_the_listing(port: int) -> None:
    async def main() -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port)
            replaced = client.get_voltage = mock.AsyncMock(return_value=7)
            await client.get_rpc_method_list()
            assert client.get_voltage is replaced
            assert await client.get_voltage() == 7

    asyncio.run(main())


def test_a_method_is_made_once(port: int) -> None:
    with Client(HOST, port) as client:
        assert client.get_voltage is client.get_voltage
        assert "get_voltage" in vars(client)


def test_a_best_effort_client_that_knows_no_names_yet_takes_any() -> None:
    with BestEffortClient(HOST, free_port(), "psu", DEADLINE, retry=1000) as client:
        client.voltage = 12  # as `client.set_voltage(12)` would be: it is lost
        assert "voltage" not in vars(client)
