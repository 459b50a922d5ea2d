"""The debug record of each call that a server makes for a client."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from sipyco_rpc._server import dispatcher
from sipyco_rpc.pc_rpc import Client
from sipyco_rpc.support.quoting import call_text
from support.peers import DEADLINE, HOST, connected, rpc_server
from support.records import recorded


class Lda:
    def set_attenuation(self, attenuation: Any, *more: Any, **options: Any) -> None:
        pass

    async def wait(self, seconds: float) -> None:
        pass

    def sweep(self, count: int) -> Iterator[int]:
        yield count

    async def ramp(self) -> Any:
        yield 1


def calls_in(records: list[tuple[str, int, str, Any]]) -> list[str]:
    return [
        message
        for name, level, message, _ in records
        if (name, level) == ("sipyco.pc_rpc", logging.DEBUG) and message.startswith("calling")
    ]


@pytest.mark.parametrize("threaded", [False, True], ids=["plain", "threaded"])
@pytest.mark.usefixtures("either_protocol")
def test_every_call_is_recorded_once(threaded: bool, either_protocol: bool) -> None:
    with recorded("sipyco.pc_rpc") as records:
        with rpc_server({"lda": Lda()}, threaded=threaded, builtin_terminate=True) as port:
            with Client(HOST, port, timeout=DEADLINE) as client:
                client.set_attenuation(3)
                client.set_attenuation(3, "left arm", [1.5, None], unit="dB", channel=2)
                client.wait(0.5)
                if either_protocol:
                    assert list(client.sweep(3)) == [3]
                    assert list(client.ramp()) == [1]
                client.get_rpc_method_list()
                client.terminate()
    streams = ["calling sweep(3)", "calling ramp()"] if either_protocol else []
    assert calls_in(records) == [
        "calling set_attenuation(3)",
        "calling set_attenuation(3, 'left arm', [1.5, None], channel=2, unit='dB')",
        "calling wait(0.5)",
        *streams,
        "calling terminate()",
    ]


def test_calls_of_programs_from_before_2025_are_recorded() -> None:
    with recorded("sipyco.pc_rpc") as records, rpc_server({"lda": Lda()}) as port:
        with connected(port) as peer:
            peer.send(b"ARTIQ pc_rpc\n")
            peer.line()
            peer.send(b"lda\n")
            peer.line()
            peer.send(
                b'{"action": "call", "name": "set_attenuation", "args": (2.5,), "kwargs": {}}\n'
            )
            assert peer.line() == b'{"status": "ok", "ret": null}\n'
    assert calls_in(records) == ["calling set_attenuation(2.5)"]


def test_nothing_is_formatted_where_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "call_text", None)
    with recorded("sipyco.pc_rpc", logging.INFO) as records:
        with rpc_server({"lda": Lda()}) as port, Client(HOST, port) as client:
            assert client.set_attenuation(3) is None
    assert calls_in(records) == []


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no text")


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value, value]
    return value


@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        ((), {}, "f()"),
        ((3, -1.5, None, True), {}, "f(3, -1.5, None, True)"),
        (("x" * 1000,), {}, "f('xxxxxxxxxxxxxxxxxxxxxxxx'...)"),
        ((b"\x00\n",), {}, "f(b'\\x00\\n')"),
        ((10**5000,), {}, "f(<int>)"),
        ((Hostile(),), {"b": 1, "a": Hostile()}, "f(<Hostile>, a=<Hostile>, b=1)"),
        ((nested(100),), {}, "f([[[[...], [...]], [[...], [...]]], [[[...], [...]], "),
        (range(1000), {}, "f(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, "),
        ((), {"a\n": 1}, "f(a\\n=1)"),
    ],
    ids=["none", "short", "text", "bytes", "integer", "hostile", "nested", "many", "name"],
)
def test_arguments_are_shown_in_short(args: Any, kwargs: Any, text: str) -> None:
    shown = call_text("f", args, kwargs)
    assert shown[: len(text)] == text
    assert len(shown) < 1100


def test_a_class_that_only_says_to_be_of_numpy_does_no_harm() -> None:
    cls = type("float64", (), {"__module__": "numpy"})
    assert call_text("f", (cls(),), {}) == "f(<float64>)"


def test_numbers_of_numpy_are_shown_and_arrays_are_not() -> None:
    numpy = pytest.importorskip("numpy")
    number = numpy.float64(0.5)
    assert call_text("f", (number, numpy.zeros((2,) * 20)), {}) == f"f({number!r}, <ndarray>)"
