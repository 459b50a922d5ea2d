"""Calls whose arguments do not fit: the error has the signature, and only theirs has it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from sipyco_rpc._server.misfits import note_signature
from sipyco_rpc.pc_rpc import AsyncioClient, Client
from support.gates import GatedTarget
from support.peers import DEADLINE, HOST, rpc_server

if TYPE_CHECKING:
    from nowhere import Volts  # type: ignore[import-not-found]


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


class Hidden:
    def __repr__(self) -> str:
        raise OSError("it has no text")


class Psu:
    def set_voltage(self, channel: int, volts: Volts = 1.5, *, slew: str = "fast") -> int:
        return len(channel)  # type: ignore[arg-type]

    @decorated
    def set_current(self, amps: float) -> None:
        raise TypeError("it is off")

    async def ramp(self, volts: float) -> None:
        raise TypeError("ramp")

    def items(self, count: int) -> Iterator[int]:
        yield from range(count)

    @staticmethod
    def at_rest(x: int) -> None:
        pass

    def strange(self, x: int, y: Any = Hidden()) -> None:  # noqa: B008
        pass

    def many(self, x: int, y: str = "y" * 5000) -> None:
        pass

    length = len


MISFITS = [
    ("set_voltage", (), {}, "signature: set_voltage(channel, volts=1.5, *, slew='fast')"),
    ("set_voltage", (1, 2, 3), {}, "signature: set_voltage(channel, volts=1.5, *, slew='fast')"),
    ("set_voltage", (1,), {"volt": 2}, "signature: set_voltage(channel, volts=1.5, *, slew='fast"),
    ("set_voltage", (1,), {"self": 2}, "signature: set_voltage(channel, volts=1.5, *, slew='fast"),
    ("set_current", (), {}, "signature: set_current(amps)"),
    ("ramp", (), {}, "signature: ramp(volts)"),
    ("items", (1, 2), {}, "signature: items(count)"),
    ("at_rest", (), {}, "signature: at_rest(x)"),
    ("many", (), {}, "signature: many(x, y='yyyyyyyy"),
]


def notes_of(call: Callable[[], object]) -> list[str]:
    """Make a call that is a `TypeError`; return what is noted beside the remote traceback."""
    with pytest.raises(TypeError) as caught:
        call()
    return [note for note in caught.value.__notes__ if not note.startswith("Remote traceback")]


@pytest.mark.parametrize("threaded", [False, True], ids=["plain", "threaded"])
@pytest.mark.usefixtures("either_protocol")
def test_the_signature_is_noted_where_arguments_do_not_fit(threaded: bool) -> None:
    with rpc_server({"psu": Psu()}, threaded=threaded) as port:
        with Client(HOST, port, timeout=DEADLINE) as client:
            for name, args, kwargs, expected in MISFITS:
                method = getattr(client, name)
                [note] = notes_of(lambda: method(*args, **kwargs))
                assert note.startswith(expected)
                assert len(note) < 400


@pytest.mark.parametrize("threaded", [False, True], ids=["plain", "threaded"])
@pytest.mark.usefixtures("either_protocol")
def test_what_a_method_raises_itself_is_left_alone(threaded: bool) -> None:
    with rpc_server({"psu": Psu()}, threaded=threaded) as port:
        with Client(HOST, port, timeout=DEADLINE) as client:
            assert notes_of(lambda: client.set_voltage(5)) == []
            assert notes_of(lambda: client.set_current(5)) == []
            assert notes_of(lambda: client.ramp(5)) == []
            assert notes_of(lambda: client.length(5)) == []  # it fits, and there is no length
            assert notes_of(lambda: client.strange()) == []  # nor is there one to be shown


def test_a_call_that_had_to_wait_for_another_is_told_as_well() -> None:
    target = GatedTarget()

    async def main(port: int) -> None:
        async with AsyncioClient(DEADLINE) as client:
            await client.connect_rpc(HOST, port)
            waiting = asyncio.ensure_future(client.wait())
            misfit = asyncio.ensure_future(client.echo(1, 2, 3))
            await asyncio.to_thread(target.entered.wait, DEADLINE)
            target.released.set()
            with pytest.raises(TypeError) as caught:
                await misfit
            assert caught.value.__notes__[0] == "signature: echo(x=None)"
            assert await waiting == "waited"

    with rpc_server({"target": target}) as port:
        asyncio.run(main(port))


class Twice(Psu):
    def set_voltage(self, channel: int) -> int:  # type: ignore[override]
        return super().set_voltage()  # type: ignore[call-arg]


def test_a_call_within_a_method_is_none_of_the_clients() -> None:
    with rpc_server({"psu": Twice()}) as port, Client(HOST, port, timeout=DEADLINE) as client:
        assert notes_of(lambda: client.set_voltage(1)) == []


def test_another_server_says_it_once_through_a_relay() -> None:
    with rpc_server({"psu": Psu()}) as port, Client(HOST, port) as inner:
        with rpc_server({"relay": inner}, threaded=True) as relay:
            with Client(HOST, relay, timeout=DEADLINE) as client:
                [note] = notes_of(lambda: client.set_current())
                assert note == "signature: set_current(amps)"


def test_what_is_no_error_of_arguments_is_not_looked_at() -> None:
    misfit = functools.partial(Psu().set_voltage)
    for exc in (ValueError("x"), KeyError("x")):
        note_signature("f", misfit, exc)
        assert not hasattr(exc, "__notes__")
    exc = TypeError("x")
    note_signature("f", Psu().set_voltage, exc)  # a call without its arguments
    note_signature("f", functools.partial(functools.partial), exc)  # what is no function
    assert not hasattr(exc, "__notes__")
    note_signature("f", misfit, exc)
    assert exc.__notes__ == ["signature: f(channel, volts=1.5, *, slew='fast')"]
