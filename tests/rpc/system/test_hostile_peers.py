"""Peers that mean harm, or are broken: nothing they send runs code, hangs or grows memory."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import subprocess
import sys
import threading
from typing import Any

import pytest

from sipyco_pyon import pyon
from sipyco_rpc.pc_rpc import AsyncioClient, BestEffortClient, Client, IncompatibleServer, Server
from support.peers import (
    DEADLINE,
    GREETING,
    HOST,
    METHODS,
    Peer,
    connected,
    handshake,
    rpc_server,
    running_server,
    scripted_server,
    until,
)


class Target:
    def __init__(self) -> None:
        self.calls: list[Any] = []

    def echo(self, x: Any = None) -> Any:
        self.calls.append(x)
        return x

    def big(self) -> str:
        return "x" * 30_000_000


# --- servers that mean harm -------------------------------------------------------------------

LATER = 10**14  # an index that no memory has

EXCEPTIONS: list[Any] = [
    {"class": "KeyboardInterrupt", "message": "", "traceback": []},
    {"class": "SystemExit", "message": "3", "traceback": [], "args": [3]},
    {"class": "GeneratorExit", "message": "", "traceback": []},
    {"class": "BaseException", "message": "m", "traceback": []},
    {"class": "BaseExceptionGroup", "message": "m", "traceback": [], "args": ["m", [1]]},
    {"class": "ExceptionGroup", "message": "m", "traceback": [], "args": ["m", [1]]},
    {"class": "eval", "message": "1+1", "traceback": [], "args": ["1+1"]},
    {"class": "open", "message": "m", "traceback": [], "args": ["/nosuch", "w"]},
    {"class": "object", "message": "m", "traceback": []},
    {"class": "type", "message": "m", "traceback": [], "args": ["X", [], {}]},
    {"class": "__import__", "message": "os", "traceback": []},
    {"class": "os.system", "message": "m", "traceback": []},
    {"class": 5, "message": "m", "traceback": []},
    {"class": None, "message": None, "traceback": None},
    {"class": ["ValueError"], "message": {}, "traceback": {}},
    {"class": "ValueError", "message": "m", "traceback": [1, None, "line\n"]},
    {"class": "ValueError", "message": "m", "traceback": "text"},
    {"class": "ValueError"},
    {},
    {"class": "ValueError", "message": "m", "traceback": [], "args": {"a": 1}},
    {"class": "StopIteration", "message": "m", "traceback": []},
    {"class": "StopAsyncIteration", "message": "m", "traceback": []},
    {"class": "SyntaxError", "message": "m", "traceback": [], "args": ["m", [1, 2, 3]]},
    {"class": "OSError", "message": "m", "traceback": [], "args": [2, "m", [1], 5, {}]},
    {"class": "ImportError", "message": "m", "traceback": [], "args": [[[]]]},
    {"class": "KeyError", "message": "__import__('os')", "traceback": []},
    {"class": "UnicodeDecodeError", "message": "m", "traceback": []},
    *(
        {"class": name, "message": "m", "traceback": [], "args": arguments}
        for start, end in ((-LATER, 1 - LATER), (LATER, LATER + 1), (-1, 0), (2, 1), (0, LATER))
        for name, arguments in (
            ("UnicodeDecodeError", ["utf-8", b"abc", start, end, "x"]),
            ("UnicodeEncodeError", ["utf-8", "abc", start, end, "x"]),
            ("UnicodeTranslateError", ["abc", start, end, "x"]),
        )
    ),
]


def test_exceptions_from_a_hostile_server() -> None:
    """In a process of its own: reading such an exception must not end it."""
    program = """
import json, sys
from sipyco_pyon import pyon
from sipyco_rpc.wire.exceptions import unpack_exception
for line in sys.stdin:
    exc = unpack_exception(pyon.decode(line))
    assert isinstance(exc, Exception), exc
    str(exc), repr(exc)
    print(type(exc).__module__ + "." + type(exc).__name__)
"""
    lines = "".join(pyon.encode(pack) + "\n" for pack in EXCEPTIONS)
    done = subprocess.run(
        [sys.executable, "-c", program], input=lines, capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, "")
    classes = done.stdout.split()
    assert len(classes) == len(EXCEPTIONS)
    generic = "sipyco_rpc.packed_exceptions.GenericRemoteException"
    assert classes[:5] == [generic] * 5
    assert classes[6:12] == [generic] * 6


@pytest.mark.parametrize("pack", EXCEPTIONS[:27], ids=lambda p: str(p.get("class")))
def test_a_client_survives_a_hostile_exception(pack: Any) -> None:
    def play(peer: Peer) -> None:
        handshake(peer)
        peer.line()
        peer.send(pyon.encode({"status": "failed", "exception": pack}).encode() + b"\n")
        peer.line()
        peer.send(b'{"status":"ok","ret":1}\n')
        assert peer.line() == b""

    async def main(port: int) -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port)
            with pytest.raises(Exception):  # noqa: B017  (whichever: not a BaseException)
                await client.f()
            assert await client.f() == 1

    with scripted_server(play) as port:
        with Client(HOST, port) as client:
            with pytest.raises(Exception):  # noqa: B017
                client.f()
            assert client.f() == 1
        asyncio.run(main(port))


REPLIES = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b"ok",
    b"\xff\xfe",
    b'{"status":"ok"}',
    b'{"status":1,"ret":1}',
    b'{"status":"failed"}',
    b'{"status":"failed","exception":[]}',
    b'{"status":"ok","ret":{"__jsonclass__":["nosuch",[]]}}',
    b'{"status":"ok","ret":{"__jsonclass__":["set",[[[]]]]}}',
    b'{"status":"ok","ret":{"__jsonclass__":["bytes",["!"]]}}',
    b'{"status":"ok","ret":{"__jsonclass__":5}}',
    b'{"status":"ok","ret":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    b'{"__jsonclass__":["tuple",[["status","ok"]]]}',
]


@pytest.mark.parametrize("reply", REPLIES, ids=lambda r: repr(r[:50]))
@pytest.mark.parametrize("dialect", ["v1", "v2"])
def test_what_is_no_reply_is_an_error_with_a_reason(reply: bytes, dialect: str) -> None:
    if dialect == "v1" and b"jsonclass" in reply and b"status" in reply[:10]:
        pytest.skip("a plain dictionary in that dialect")

    def play(peer: Peer) -> None:
        if dialect == "v2":
            handshake(peer)
        else:
            peer.line()
            peer.send(b'{"targets": ["test"], "description": null}\n')
            assert peer.line() == b"test\n"
            peer.send(b'{"f", "g"}\n')
        peer.line()
        peer.send(reply + b"\n")
        peer.line()
        peer.send(b'{"status": "ok", "ret": 1}\n')
        assert peer.line() == b""

    async def main(port: int) -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port)
            with pytest.raises((IncompatibleServer, TypeError)) as caught:
                await client.f()
            assert str(caught.value)
            assert await client.f() == 1

    with scripted_server(play) as port:
        with Client(HOST, port) as client:
            with pytest.raises((IncompatibleServer, TypeError)) as caught:
                client.f()
            assert len(str(caught.value)) in range(5, 1000)  # a reason, not the line itself
            assert client.f() == 1
        asyncio.run(main(port))


def test_code_in_a_reply_of_the_older_dialect_is_not_run(tmp_path: Any) -> None:
    mark = tmp_path / "mark"

    def play_greeting(peer: Peer) -> None:
        peer.line()
        peer.send(b"{'targets': [open(%r, 'w').name], 'description': None}\n" % str(mark).encode())

    with scripted_server(_with_path(mark)) as port, Client(HOST, port) as client:
        with pytest.raises(IncompatibleServer, match="PYON v1"):
            client.f()
    with scripted_server(play_greeting) as port:
        with pytest.raises(IncompatibleServer, match="not an RPC server"):
            Client(HOST, port)
    assert not mark.exists()


def _with_path(mark: Any) -> Any:
    def play(peer: Peer) -> None:
        peer.line()
        peer.send(b"{'targets': ['test'], 'description': None}\n")
        assert peer.line() == b"test\n"
        peer.send(b'{"f"}\n')
        assert peer.line() == b'{"action": "call", "name": "f", "args": (), "kwargs": {}}\n'
        peer.send(b'{"status": "ok", "ret": open("%s", "w")}\n' % str(mark).encode())
        assert peer.line() == b""

    return play


def test_a_line_that_nobody_asked_for_is_no_reply() -> None:
    def play(peer: Peer) -> None:
        handshake(peer)
        peer.line()
        peer.send(b'{"status":"ok","ret":1}\n{"status":"ok","ret":"stray"}\n')
        assert peer.line() == b""

    async def main(port: int) -> None:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port)
            assert await client.f() == 1
            with pytest.raises(ConnectionError, match="nobody"):
                await client.f()

    with scripted_server(play) as port:
        with Client(HOST, port) as client:
            assert client.f() == 1
            with pytest.raises(ConnectionError, match="nobody"):
                client.f()
        asyncio.run(main(port))


def test_an_endless_line_costs_no_memory() -> None:
    def play(peer: Peer) -> None:
        handshake(peer)
        peer.line()
        piece = b"x" * 1_000_000
        for _ in range(100):
            peer.send(piece)
        peer.send(b"\n")
        peer.line()
        peer.send(b'{"status":"ok","ret":1}\n')
        assert peer.line() == b""

    async def main(port: int) -> None:
        async with AsyncioClient(max_line=10_000) as client:
            await client.connect_rpc(HOST, port)
            with pytest.raises(ValueError, match=r"100000000 bytes .* limit is 10000 bytes"):
                await client.f()
            assert await client.f() == 1

    with scripted_server(play) as port:
        with Client(HOST, port, max_line=10_000) as client:
            with pytest.raises(ValueError, match=r"100000000 bytes .* limit is 10000 bytes"):
                client.f()
            assert client.f() == 1
        asyncio.run(main(port))


@pytest.mark.parametrize("where", ["greeting", "methods"])
def test_an_endless_handshake_is_refused(where: str) -> None:
    def play(peer: Peer) -> None:
        peer.line()
        if where == "methods":
            peer.send(GREETING)
            peer.line()
        with contextlib.suppress(ConnectionError):
            peer.send(b"x" * 100_000 + b"\n")
            assert peer.line() == b""

    with scripted_server(play) as port:
        with pytest.raises(ValueError, match=r"100000 bytes .* limit is 2000 bytes"):
            Client(HOST, port, max_line=2000)


@pytest.mark.parametrize(
    "greeting",
    [
        b"{'targets': ['test'], 'description': None}\n",
        b"{'targets': ('test',), 'description': 'it\\'s'}\n",
        b'{"targets": ["test"], "description": "d", "features": ["later", 5, "pyon_v9"]}\n',
        b'{"targets": ["test"], "description": null, "features": [], "motd": {"a": [1]}}\n',
    ],
)
def test_greetings_of_older_and_of_newer_servers(greeting: bytes) -> None:
    def play(peer: Peer) -> None:
        assert peer.line() == b"ARTIQ pc_rpc\n"
        peer.send(greeting)
        assert peer.line() == b"test\n"
        peer.send(b'{"f"}\n')
        assert peer.line() == b'{"action": "call", "name": "f", "args": (1, ), "kwargs": {}}\n'
        peer.send(b'{"status": "ok", "ret": (1, {*()}, inf)}\n')
        assert peer.line() == b""

    with scripted_server(play) as port, Client(HOST, port) as client:
        assert client.f(1) == (1, set(), float("inf"))


@pytest.mark.parametrize(
    "listing",
    [
        *(b"5", b"[]", b"null", b'{"methods":5}', b'{"methods":{"f":1}}'),
        b'{"methods":{"f":{"__jsonclass__":["tuple",[[{"args":[],"defaults":[1]},null]]]}}}',
    ],
)
def test_a_hostile_listing_harms_neither_help_nor_calls(listing: bytes) -> None:
    def play(peer: Peer) -> None:
        handshake(peer)
        while line := peer.line():
            peer.send(b'{"status":"ok","ret":%s}\n' % (listing if b"list" in line else b"1"))

    with scripted_server(play) as port, Client(HOST, port) as client:
        assert client.f.__doc__ is None
        assert repr(client.f.__signature__) == "<Signature (*args, **kwargs)>"
        assert client.f() == 1


def test_hostile_names_of_methods_hide_nothing() -> None:
    methods = json.dumps(
        {
            "__jsonclass__": [
                "set",
                [["close_rpc", "get_rpc_id", "__class__", "__del__", "a b", ""]],
            ]
        }
    )

    def play(peer: Peer) -> None:
        handshake(peer, methods.encode() + b"\n")
        assert peer.line() == b""

    with scripted_server(play) as port:
        client = Client(HOST, port)
        assert client.__class__ is Client
        assert client.get_rpc_id() == (["test"], None)
        client.close_rpc()


# --- clients that mean harm -------------------------------------------------------------------


def selected(peer: Peer, v2: bool = True) -> None:
    peer.send(b"ARTIQ pc_rpc\nt" + (b" pyon_v2" if v2 else b"") + b"\n")
    assert peer.line().startswith(b'{"targets":["t"]')
    assert b"echo" in peer.line()


def fuzz(seed: int) -> list[bytes]:
    """Make requests out of pieces of a good one, and out of noise."""
    source = random.Random(seed)
    good = b'{"action":"call","name":"echo","args":[{"__jsonclass__":["set",[[1]]]}],"kwargs":{}}'
    lines = []
    for _ in range(150):
        line = bytearray(good)
        for _ in range(source.randint(1, 6)):
            start, end = sorted(source.randrange(len(line) + 1) for _ in range(2))
            line[start:end] = source.choice(
                [
                    b"",
                    b'"',
                    b"[",
                    b"}",
                    b"\xff",
                    b"\x00",
                    b"1e999",
                    b"null",
                    b"-",
                    bytes([source.randrange(256)]),
                ]
            )
            if not line:
                break
        lines.append(bytes(line).replace(b"\n", b""))
    return lines


@pytest.mark.parametrize("v2", [True, False], ids=["v2", "v1"])
@pytest.mark.parametrize("seed", range(4))
def test_every_line_is_answered_by_one_line(seed: int, v2: bool) -> None:
    lines = fuzz(seed)
    with rpc_server({"t": Target()}) as port, connected(port) as peer:
        selected(peer, v2)
        decode = pyon.decode
        for line in lines:
            peer.send(line + b"\n")
            reply = peer.line()
            assert reply.endswith(b"\n"), line
            if v2:
                assert decode(reply)["status"] in ("ok", "failed"), line
            else:
                assert b'"status"' in reply, line
        peer.send(b'{"action": "call", "name": "echo", "args": ["last"], "kwargs": {}}\n')
        assert b'"last"' in peer.line()


@pytest.mark.parametrize("v2", [True, False], ids=["v2", "v1"])
@pytest.mark.parametrize(
    "line",
    [
        b"[" * 1_000_000,
        b"(" * 1_000_000,
        b"-" * 1_000_000,
        b"{" * 1_000_000,
        b'{"a":' * 300_000,
        b"9" * 1_000_000,
        b'"' + b"\\" * 1_000_001,
        b"slice(" * 200_000,
        b"1+" * 300_000 + b"1",
        b"\x00" * 1000,
        b"not " * 100_000 + b"1",
        b"",
        b" ",
    ],
    ids=lambda line: repr(line[:8]),
)
def test_absurd_requests_do_not_crash_the_server(line: bytes, v2: bool) -> None:
    with rpc_server({"t": Target()}) as port, connected(port) as peer:
        selected(peer, v2)
        peer.send(line + b"\n")
        reply = peer.line()
        assert b'"failed"' in reply
        assert len(reply) < 20_000  # the line is not sent back
        peer.send(b'{"action": "call", "name": "echo", "args": [1], "kwargs": {}}\n')
        assert b'"ok"' in peer.line()


@pytest.mark.parametrize("v2", [True, False], ids=["v2", "v1"])
def test_bytes_may_come_one_at_a_time(v2: bool) -> None:
    conversation = (
        b"ARTIQ pc_rpc\nt" + (b" pyon_v2" if v2 else b"") + b"\n"
        b'{"action": "call", "name": "echo", "args": ["\\u00e9"], "kwargs": {}}\n'
        b'{"action": "get_rpc_method_list"}\n'
    )
    with rpc_server({"t": Target()}) as port, connected(port) as peer:
        for i in range(len(conversation)):
            peer.send(conversation[i : i + 1])
        peer.line()
        assert b"echo" in peer.line()
        assert b"\\u00e9" in peer.line()
        assert b'"docstring"' in peer.line()


def test_a_thousand_requests_before_the_first_answer_is_read() -> None:
    with rpc_server({"t": Target()}) as port, connected(port) as peer:
        selected(peer)
        peer.send(
            b"".join(
                b'{"action":"call","name":"echo","args":[%d],"kwargs":{}}\n' % i
                for i in range(1000)
            )
        )
        for i in range(1000):
            assert peer.line() == b'{"status":"ok","ret":%d}\n' % i


def test_requests_sent_before_half_closing_are_all_answered() -> None:
    with rpc_server({"t": Target()}) as port, connected(port) as peer:
        peer.send(
            b"ARTIQ pc_rpc\nt pyon_v2\n"
            + b'{"action":"call","name":"echo","args":[5],"kwargs":{}}\n' * 3
            + b'{"action":"call","name":"echo","args":[6]'  # never finished, never called
        )
        peer.socket.shutdown(socket.SHUT_WR)
        peer.line()
        peer.line()
        assert [peer.line() for _ in range(4)] == [b'{"status":"ok","ret":5}\n'] * 3 + [b""]


@pytest.mark.parametrize(
    "call",
    [
        b'"name":"echo","args":[1,2,3],"kwargs":{}',
        b'"name":"echo","args":[],"kwargs":{"self":1}',
        b'"name":"echo","args":[],"kwargs":{"nosuch":1}',
        b'"name":"","args":[],"kwargs":{}',
        b'"name":"echo.__globals__","args":[],"kwargs":{}',
        b'"name":"__init__","args":[],"kwargs":{}',
        b'"name":"calls","args":[],"kwargs":{}',
        b'"name":"terminate","args":[],"kwargs":{}',
        b'"name":"ec\\u0000ho","args":[],"kwargs":{}',
        b'"name":["echo"],"args":[],"kwargs":{}',
        b'"name":"echo","args":"abc","kwargs":{}',
        b'"name":"echo","args":{"a":1},"kwargs":{}',
        b'"name":"echo","args":[],"kwargs":null',
        b'"name":"echo","args":[],"kwargs":{"__jsonclass__":["dict",[[[1,2]]]]}',
        b'"name":"echo"',
    ],
)
def test_calls_that_make_no_sense_call_nothing(call: bytes) -> None:
    target = Target()
    with rpc_server({"t": target}) as port, connected(port) as peer:
        selected(peer)
        peer.send(b'{"action":"call",' + call + b"}\n")
        reply = pyon.decode(peer.line())
        assert reply["status"] == "failed"
        assert reply["exception"]["message"]
        assert target.calls == []
        peer.send(b'{"action":"call","name":"echo","args":[1],"kwargs":{}}\n')
        assert peer.line() == b'{"status":"ok","ret":1}\n'


@pytest.mark.parametrize(
    "features",
    [b"pyon_v2 frames", b"frames pyon_v2", b"pyon_v2 frames " * 3000 + b"pyon_v2"],
    ids=["all", "in another order", "again and again"],
)
def test_a_client_that_selects_every_feature(features: bytes) -> None:
    with rpc_server({"t": Target()}) as port, connected(port) as peer:
        peer.send(b"ARTIQ pc_rpc\nt " + features + b"\n")
        assert peer.line().startswith(b'{"targets":["t"]')
        number, length = peer.line().split()
        assert number == b"#0"
        assert b"echo" in peer._file.read(int(length))
        call = b'{"action":"call","name":"echo","args":[1],"kwargs":{}}'
        peer.send(b"#3 %d\n%b" % (len(call), call))
        assert peer.line() == b"#3 23\n"
        assert peer._file.read(23) == b'{"status":"ok","ret":1}'


@pytest.mark.parametrize(
    "said",
    [
        b"ARTIQ sync_struct\n",
        b"ARTIQ pc_rpc \n",
        b"\n",
        b"GET / HTTP/1.1\r\n",
        b"ARTIQ pc_rpc\nt pyon_v3\n",
        b"ARTIQ pc_rpc\nt  pyon_v2\n",
        b"ARTIQ pc_rpc\nt \n",
        b"ARTIQ pc_rpc\n\n",
        b"ARTIQ pc_rpc\n" + b"t" * 200_000,
        b"ARTIQ pc_rpc\n\xff\n",
    ],
    ids=lambda said: repr(said[:30]),
)
def test_a_wrong_handshake_is_closed_with_a_reason(
    said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with rpc_server({"t": Target()}) as port, connected(port) as peer:
        own = peer.socket.getsockname()[1]
        with contextlib.suppress(ConnectionError):
            peer.send(said)
            while peer.line():
                pass
        reason = f"closing the connection from {HOST} port {own}"
        until(lambda: any(reason in message for message in caplog.messages))
    assert all(len(message) < 1000 for message in caplog.messages)
    assert all(record.levelname == "WARNING" for record in caplog.records)


def test_one_that_is_closed_with_a_reply_under_way_is_closed_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    call = b'{"action":"call","name":"big","args":[],"kwargs":{}}'
    with rpc_server({"t": Target()}, frames=True) as port:
        with connected(port) as peer:
            peer.send(b"ARTIQ pc_rpc\nt pyon_v2 frames\n#3 %d\n" % len(call) + call)
            peer.socket.recv(1 << 20, socket.MSG_WAITALL)  # the reply is under way
            peer.send(b"no frame\n")
            with contextlib.suppress(ConnectionResetError):
                while peer.socket.recv(1 << 20):
                    pass
        until(lambda: bool(caplog.messages))
    assert len(caplog.messages) == 1
    assert "closing the connection" in caplog.messages[0]


@pytest.mark.parametrize("said", [b"", b"ARTIQ", b"ARTIQ pc_rpc\n", b"ARTIQ pc_rpc\nt"])
def test_a_client_that_leaves_during_the_handshake_is_no_news(
    said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    servers: list[Server] = []

    def make() -> Server:
        servers.append(Server({"t": Target()}))
        return servers[0]

    with running_server(make) as port:
        with connected(port) as peer:
            peer.send(said)
            until(lambda: len(servers[0]._handlers) == 1)
        until(lambda: len(servers[0]._handlers) == 0)
    assert caplog.messages == []


@pytest.mark.parametrize("stage", ["banner", "selection", "request", "reply"])
def test_stop_is_bounded_whatever_the_peers_do(stage: str) -> None:
    with contextlib.ExitStack() as peers:
        found = []
        with rpc_server({"t": Target()}) as port:  # leaving it stops the server, in time
            for _ in range(3):
                peer = Peer(socket.create_connection((HOST, port)))
                peers.callback(peer.close)
                found.append(peer)
                if stage == "selection":
                    peer.send(b"ARTIQ pc_rpc\n")
                elif stage != "banner":
                    selected(peer)
                if stage == "request":
                    peer.send(b'{"action":"call",' + b" " * 300_000)
                elif stage == "reply":
                    # The reply fills every buffer, and nobody reads it.
                    peer.send(b'{"action":"call","name":"big","args":[],"kwargs":{}}\n')
                    assert peer.socket.recv(10)
        for peer in found:  # they were connected until now, and see the end
            with contextlib.suppress(ConnectionResetError):
                while peer.socket.recv(1 << 20):
                    pass


def test_a_client_that_is_reset_while_it_waits_its_turn(
    caplog: pytest.LogCaptureFixture,
) -> None:
    released, entered = threading.Event(), threading.Event()

    class Slow:
        calls = 0

        async def echo(self) -> int:
            type(self).calls += 1
            entered.set()
            while not released.is_set():
                await asyncio.sleep(0.005)
            return self.calls

    servers: list[Server] = []

    def make() -> Server:
        servers.append(Server({"t": Slow()}))
        return servers[0]

    with running_server(make) as port, Client(HOST, port) as client:
        thread = threading.Thread(target=client.echo)
        thread.start()
        assert entered.wait(DEADLINE)
        with connected(port) as peer:
            selected(peer)
            peer.send(b'{"action":"call","name":"echo","args":[],"kwargs":{}}\n')
            until(lambda: len(servers[0]._handlers) == 2)
            linger = b"\x01\0\0\0\0\0\0\0"  # closing sends a reset
            peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        until(lambda: len(servers[0]._handlers) == 1)
        released.set()
        thread.join(DEADLINE)
        assert client.echo() == 2  # the call of the one that is gone was never made
    assert caplog.messages == []


def test_best_effort_with_a_server_that_talks_nonsense() -> None:
    def play(peer: Peer) -> None:
        handshake(peer)
        peer.line()
        peer.send(b"nonsense\n")
        peer.line()
        peer.send(b'{"status":"failed","exception":{"class":"OSError","message":"m",')
        peer.send(b'"traceback":[]}}\n')
        peer.line()
        peer.send(b'{"status":"ok","ret":1}\n')
        assert peer.line() == b""

    with scripted_server(play) as port, BestEffortClient(HOST, port, "test", DEADLINE) as client:
        with pytest.raises(IncompatibleServer, match="expected a reply"):
            client.f()
        with pytest.raises(OSError, match=r"^m$"):  # of the method, not of the network
            client.f()
        assert client.f() == 1


def test_the_methods_line_may_come_with_the_first_reply() -> None:
    # A server is free to send in any pieces: the handshake's lines in one segment.
    def play(peer: Peer) -> None:
        assert peer.line() == b"ARTIQ pc_rpc\n"
        for i in range(len(GREETING)):
            peer.send(GREETING[i : i + 1])
        assert peer.line() == b"test pyon_v2\n"
        for i in range(len(METHODS)):
            peer.send(METHODS[i : i + 1])
        peer.line()
        peer.send(b'{"status":"ok","ret":1}\n')
        assert peer.line() == b""

    with scripted_server(play) as port, Client(HOST, port) as client:
        assert client.f() == 1
