"""What is quoted of the other side in errors and log records: one line, escaped, and cut."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from sipyco_pyon import pyon
from sipyco_rpc.support.quoting import excerpt, short_message, short_repr
from sipyco_rpc.wire.client_session import ClientSession
from sipyco_rpc.wire.frames import FrameError
from sipyco_rpc.wire.server_session import ServerSession
from sipyco_rpc.wire.session import BANNER, AutoTarget, IncompatibleServer, ProtocolError
from support.pairs import selected_session, served
from support.peers import HOST, connected, rpc_server, until

if TYPE_CHECKING:
    from sipyco_rpc.wire.messages import Message

EVIL = "\x1b[2J\r\u2028\u202e\x9b\x00" + "x" * 100_000
WIRE = EVIL.encode()
JSON = json.dumps(EVIL).encode()

MOST = 2500  # characters; the names of targets may take most of it


def line(text: bytes) -> Message:
    return 0, text, []


def greeting(*names: str) -> bytes:
    return json.dumps({"targets": names, "description": None, "features": ["pyon_v2"]}).encode()


def client_of(*names: str) -> ClientSession:
    session = ClientSession()
    session.receive_identification(line(greeting(*names)))
    return session


def selected(features: bytes = b"pyon_v2") -> ClientSession:
    session = ClientSession()
    described = {"targets": ["t"], "description": None, "features": features.decode().split()}
    session.receive_identification(line(json.dumps(described).encode()))
    session.select("t")
    return session


def server(selection: bytes = b"t pyon_v2") -> ServerSession:
    return selected_session(selection)


def handshake(said: bytes) -> list[object]:
    return list(served(ServerSession(["t"]), said, {"f"}, lambda *pieces: None))


def next_of(session: ClientSession | ServerSession) -> Message | None:
    memory = session.incoming.memory()
    said = WIRE[: len(memory)]
    memory[: len(said)] = said
    session.incoming.received(len(said))
    return session.incoming.next()


QUOTES: dict[str, Callable[[], object]] = {
    "a banner": lambda: handshake(WIRE),
    "the name of a target": lambda: handshake(BANNER + WIRE + b"\n"),
    "a name that is no text": lambda: handshake(BANNER + WIRE + b"\xff\n"),
    "a feature": lambda: handshake(BANNER + b"t " + WIRE + b"\n"),
    "a request that is no text": lambda: server().receive_request(line(WIRE + b"\xff")),
    "a request in no dialect": lambda: server().receive_request(line(WIRE)),
    "a request that is nothing": lambda: server().receive_request(line(JSON)),
    "a request of an unknown type": lambda: server().receive_request(
        line(b'{"__jsonclass__":[' + JSON + b",[]]}")
    ),
    "an action": lambda: server().receive_request(line(b'{"action":' + JSON + b"}")),
    "a name that is none": lambda: server().receive_request(
        line(b'{"action":"call","name":[' + JSON + b"]}")
    ),
    "arguments that are none": lambda: server().receive_request(
        line(b'{"action":"call","name":"f","args":' + JSON + b"}")
    ),
    "a frame from a client": lambda: next_of(server(b"t pyon_v2 frames")),
    "an identification": lambda: ClientSession().receive_identification(line(WIRE)),
    "the names of other targets": lambda: client_of(EVIL, "b").select("c"),
    "the names of several targets": lambda: client_of(EVIL, "b").select(AutoTarget),
    "thousands of names": lambda: client_of("\x1b[2J", *"ab" * 50_000).select("c"),
    "the only name": lambda: client_of(EVIL).select(AutoTarget),
    "the names of methods": lambda: selected().receive_methods(line(JSON)),
    "a reply in no dialect": lambda: selected().receive_reply(line(WIRE)),
    "a reply that is none": lambda: selected().receive_reply(line(JSON)),
    "an unknown type": lambda: selected().receive_reply(
        line(b'{"__jsonclass__":[' + JSON + b",[]]}")
    ),
    "a dtype": lambda: selected().receive_reply(
        line(b'{"__jsonclass__":["nparray",[[1],' + JSON + b',"AA=="]]}')
    ),
    "a listing": lambda: selected().receive_listing(line(b'{"status":"ok","ret":' + JSON + b"}")),
    "a frame from a server": lambda: next_of(selected(b"pyon_v2 frames")),
}


@pytest.mark.parametrize("what", QUOTES)
def test_what_is_quoted_is_escaped_and_cut(what: str) -> None:
    if what == "a dtype":
        pytest.importorskip("numpy")
    with pytest.raises(
        (ProtocolError, FrameError, IncompatibleServer, ValueError, TypeError)
    ) as caught:
        QUOTES[what]()
    text = str(caught.value)
    assert text.isprintable()
    assert "1b[2J" in text  # as bytes, as a text, or as the JSON that came
    assert len(text) < MOST


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("lda", "lda"),
        ("Größe µ", "Größe µ"),
        ("a\\b", "a\\b"),
        ("\x1b[2J\r\n", r"\x1b[2J\r\n"),
        ("\u2028\u202e\ud800\U000e0001", r"\u2028\u202e\ud800\U000e0001"),
        ("x" * 60, "x" * 60),
        ("x" * 61, "x" * 60 + "… (61 characters)"),
        (b"x\x1b" * 50, r"'" + r"x\x1b" * 30 + "'… (100 bytes)"),
    ],
)
def test_names_stay_as_they_are_and_control_characters_do_not(
    said: bytes | str, shown: str
) -> None:
    assert excerpt(said) == shown


def test_the_text_of_an_exception_has_more_room() -> None:
    assert short_message(ValueError("no, it's 'a\\x1b'")) == "no, it's 'a\\x1b'"
    assert short_message(ValueError("\r" * 301)) == r"\r" * 300 + "… (301 characters)"


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_an_exception_without_a_text_is_told_of_as_well() -> None:
    for exc in (KeyError(10**5000), Mute()):  # of the first the text has too many digits
        assert short_message(exc) == "<the text of this exception could not be made>"


def test_what_may_be_long_is_shown_by_its_type() -> None:
    assert short_repr([1, "a", None, 2.5, 1 << 64]) == "[1, 'a', None, 2.5, <int>]"
    assert short_repr("x" * 1000) == "'" + "x" * 24 + "'..."
    assert short_repr(({1}, (), {}, [b"\xff"])) == r"({1}, (), {}, [b'\xff'])"
    assert short_repr(Fraction(1, 2)) == "<Fraction>"
    assert short_repr(10**5000) == "<int>"
    assert short_repr([[[[1, []]]], {"k": "\x1b"}]) == r"[[[[...]]], {'k': '\x1b'}]"
    for name in ("array", "deque", "dict", "str"):  # a program may have types of any name
        assert short_repr([type(name, (), {})()]) == f"[<{name}>]"
    assert short_repr([["x"] * 7] * 7).endswith("...], ['x', 'x', 'x', 'x', '… (227 characters)")


@pytest.mark.parametrize(
    "request_of",
    [
        lambda array: {"action": "call", "name": array, "args": [], "kwargs": {}},
        lambda array: {"action": "call", "name": "f", "args": array, "kwargs": {}},
        lambda array: {"action": "call", "name": "f", "args": [], "kwargs": array},
        lambda array: {"action": array},
    ],
)
def test_a_server_shows_no_array_that_is_no_request(
    request_of: Callable[[object], dict[str, object]],
) -> None:
    numpy = pytest.importorskip("numpy")
    array = numpy.zeros((2,) * 20, "V0")  # a hundred bytes, and minutes to show
    request = pyon.encode(request_of(array)).encode()
    with pytest.raises(ValueError, match=r"got <ndarray>"):
        server().receive_request(line(request))


def test_a_client_compares_no_array_with_a_status() -> None:
    numpy = pytest.importorskip("numpy")
    for array in (numpy.zeros(2, "V0"), numpy.array(["ok"]), numpy.zeros(2)):
        reply = pyon.encode({"status": array, "ret": None}).encode()
        with pytest.raises(IncompatibleServer, match="not a reply"):
            selected().receive_reply(line(reply))


@pytest.mark.parametrize("name", ["a\nb", "a\x1b", "a\u202e", "x" * 1001])
def test_a_name_that_no_error_could_show_is_not_selected(name: str) -> None:
    session = client_of(name)
    with pytest.raises(IncompatibleServer, match="no target can have the name"):
        session.select(AutoTarget)
    assert session.selected_target is None


class Target:
    async def wait(self) -> None:
        await asyncio.Event().wait()


def test_a_server_logs_of_a_second_request_what_can_be_shown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    call = b'{"action":"call","name":"wait","args":[],"kwargs":{}}'
    second = b'{"__jsonclass__":[' + JSON + b",[]]}"
    with rpc_server({"t": Target()}, frames=True, allow_parallel=True) as port:
        with connected(port) as peer:
            own = peer.socket.getsockname()[1]
            peer.send(b"ARTIQ pc_rpc\nt pyon_v2 frames\n#1 %d\n" % len(call) + call)
            peer.send(b"#1 %d\n" % len(second) + second)
            until(lambda: bool(caplog.messages))
    [message] = caplog.messages
    assert message.startswith(
        f"closing the connection from {HOST} port {own}: a second request with the number 1: "
        r"Object of type `\x1b[2J\r\u2028"
    )
    assert message.isprintable()
    assert len(message) < 400


def test_a_server_logs_of_a_target_what_can_be_shown(caplog: pytest.LogCaptureFixture) -> None:
    said = b"ARTIQ pc_rpc\n\x1b[2J\r" + b"x" * 60_000 + b"\n"
    with rpc_server({"t": Target()}) as port, connected(port) as peer:
        own = peer.socket.getsockname()[1]
        peer.send(said)
        until(lambda: bool(caplog.messages))
    [message] = caplog.messages
    assert message == (
        f"closing the connection from {HOST} port {own}: no target `\\x1b[2J\\r{'x' * 55}… "
        "(60005 characters)`; the server has: `t`"
    )
