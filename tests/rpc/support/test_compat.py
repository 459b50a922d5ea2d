"""What Pythons and event loops do differently, or have in private, both as it is known and not."""

from __future__ import annotations

import asyncio
import functools
import gc
import socket
import ssl
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sipyco_rpc import _compat
from sipyco_rpc._server.listing import document_function
from sipyco_rpc.net.errors import is_tls_error
from sipyco_rpc.net.workarounds import clear_tls_errors
from sipyco_rpc.pc_rpc import AsyncioClient, Server
from support.certificates import identity, paths_of
from support.event_loops import every_loop, loop_factory
from support.peers import DEADLINE, HOST, running_server, until

# --- signatures --------------------------------------------------------------------------------


def plain(a, b=2, /, c=(), *rest, d, e=None, **more):  # type: ignore[no-untyped-def]
    pass


def bare() -> None:
    pass


def annotated(x: int, *, y: list[int] | None = None) -> str:
    return ""


@functools.wraps(plain)
def wrapper(*args: Any, **kwargs: Any) -> Any:
    pass


class Driver:
    def move(self, x: float, speed: float = 1.5) -> None:
        pass

    @classmethod
    def make(cls, name: str = "x") -> None:
        pass

    @staticmethod
    def free(x: int) -> None:
        pass

    def __call__(self, x: int) -> None:
        pass


FUNCTIONS: list[Callable[..., Any]] = [
    *(plain, bare, annotated, wrapper, Driver().move, Driver.move, Driver.make, Driver.free),
    *(Driver(), functools.partial(plain, 1, d=3), len, lambda x, *, y: None),
]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: getattr(f, "__qualname__", "object"))
def test_a_signature_has_the_same_fields_both_ways(function: Callable[..., Any]) -> None:
    known = _compat.full_argspec(function)
    public = _compat._argspec_of_signature(function)
    assert public.pop("annotations").keys() == known.pop("annotations").keys()
    assert public == known


def test_annotations_that_cannot_be_evaluated_hide_no_signature() -> None:
    """From Python 3.14 on; before, who wrote this had to quote them, or to postpone them all."""
    source = """
class Camera:
    def expose(self, mask: numpy.ndarray, *, time: float = 0.1, how: "Mode" = 3) -> list[Image]:
        "Take one."
"""
    if sys.version_info < (3, 14):
        source = "from __future__ import annotations\n" + source
    names: dict[str, Any] = {}
    exec(compile(source, "camera", "exec", dont_inherit=True), names)
    argspec, doc = document_function(names["Camera"]().expose)
    how = argspec["annotations"].pop("how")
    assert how.strip("'") == "Mode"
    assert argspec == {
        "args": ["self", "mask"],
        "varargs": None,
        "varkw": None,
        "defaults": None,
        "kwonlyargs": ["time", "how"],
        "kwonlydefaults": {"time": 0.1, "how": 3},
        "annotations": {"mask": "numpy.ndarray", "time": "float", "return": "list[Image]"},
    }
    assert doc == "Take one."


# --- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exc", "of_tls"),
    [
        (ssl.SSLError(1, "x"), True),
        (ssl.SSLCertVerificationError(1, "x"), True),
        (type("Later", (ssl.SSLError,), {"__module__": "elsewhere"})(), True),
        (type("Pretender", (OSError,), {"__module__": "ssl"})(), False),
        (ConnectionResetError(), False),
        (None, False),
    ],
)
def test_errors_of_tls_are_known_by_their_class(exc: BaseException | None, of_tls: bool) -> None:
    assert is_tls_error(exc) is of_tls


def test_showing_a_traceback_loads_nothing_more(tmp_path: Path) -> None:
    """A process that has no descriptor left could not."""
    program = tmp_path / "program.py"
    program.write_text("""\
import logging, sys
from sipyco_rpc._compat import prepare_tracebacks
prepare_tracebacks()
known = set(sys.modules)
try:
    len(open("/nonexistent"))
except OSError:
    logging.Formatter().formatException(sys.exc_info())
print(sorted(set(sys.modules) - known))
""")
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


# --- a transport whose loop is closed ----------------------------------------------------------


def as_known(monkeypatch: pytest.MonkeyPatch) -> None:
    pass


def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    def public(value: Any, name: str, *default: Any) -> Any:
        return default[0] if name.startswith("_") else getattr(value, name, *default)

    monkeypatch.setattr(_compat, "getattr", public, raising=False)


def of_another_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    def other(value: Any, name: str, *default: Any) -> Any:
        return object() if name.startswith("_") else getattr(value, name, *default)

    monkeypatch.setattr(_compat, "getattr", other, raising=False)


def test_what_a_loop_waits_with_is_found_or_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    with asyncio.Runner() as runner:
        selector = _compat.epoll_selector(runner.get_loop())
        assert (selector is not None) == sys.platform.startswith("linux")
        for parts in (absent, of_another_kind):
            parts(monkeypatch)
            assert _compat.epoll_selector(runner.get_loop()) is None
            monkeypatch.undo()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("parts", [as_known, absent, of_another_kind])
@every_loop
def test_a_client_whose_loop_is_closed_leaves_its_server(
    loop: str, parts: Callable[[pytest.MonkeyPatch], None], tls: bool, monkeypatch: Any
) -> None:
    factory = loop_factory(loop)
    servers: list[Server] = []

    def make() -> Server:
        servers.append(Server({"t": object()}))
        return servers[0]

    ours, theirs = (
        (paths_of("client", "server"), paths_of("server", "client")) if tls else ({}, {})
    )
    with running_server(make, **theirs) as port, warnings.catch_warnings():
        if loop == "uvloop" or parts is not as_known:
            # They close what is left to them, and say so.
            warnings.simplefilter("ignore", ResourceWarning)
        client = AsyncioClient()
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(client.connect_rpc(HOST, port, **ours))
            assert servers[0]._admission.count == 1
        parts(monkeypatch)
        client.close_rpc().close()
        client.close_rpc().close()
        until(lambda: servers[0]._admission.count == 0)
        monkeypatch.undo()
        del client
        gc.collect()


def test_what_a_broken_connection_leaves_is_cleared() -> None:
    """OpenSSL keeps errors by threads; from 3.2 on the next connection would break with it."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own = identity("server")
    serving.load_cert_chain(own.cert, own.key)
    asking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asking.check_hostname = False
    asking.load_verify_locations(own.cert)

    def pair() -> tuple[ssl.SSLSocket, ssl.SSLSocket]:
        with socket.create_server((HOST, 0)) as listening:
            ours = socket.create_connection(listening.getsockname())
            theirs, _ = listening.accept()
        accepted: list[ssl.SSLSocket] = []
        thread = threading.Thread(
            target=lambda: accepted.append(serving.wrap_socket(theirs, server_side=True))
        )
        thread.start()
        ours.settimeout(DEADLINE)
        secured = asking.wrap_socket(ours)
        thread.join(DEADLINE)
        accepted[0].send(b"x")
        assert secured.recv(1) == b"x"  # and what comes after a handshake
        return secured, accepted[0]

    good, broken = pair(), pair()
    with good[0], good[1], broken[0], broken[1]:
        socket.socket.shutdown(broken[1], socket.SHUT_RDWR)
        # The system takes the first record, and none after it.
        with pytest.raises(OSError, match=r"pipe|EOF|reset"):
            broken[0].sendall(bytes(1_000_000))
        clear_tls_errors()
        good[0].settimeout(0.001)
        with pytest.raises(TimeoutError):
            good[0].recv(1)
