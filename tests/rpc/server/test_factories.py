"""Targets that are made for each connection, and cannot be."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from sipyco_rpc.pc_rpc import AsyncioClient, BestEffortClient, Client, Server
from support.certificates import paths_of
from support.peers import DEADLINE, HOST, connected, rpc_server, running_server, until


class Device:
    """One that is away until its file is there."""

    def __init__(self) -> None:
        try:
            raise FileNotFoundError(2, "No such file", "/dev/laser")
        except OSError as exc:
            raise RuntimeError("the laser is not there") from exc


class Interrupted(BaseException):
    pass


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_clients_are_told_why(tls: bool, caplog: pytest.LogCaptureFixture) -> None:
    files: dict[str, Any] = paths_of("server", "client") if tls else {}
    own: dict[str, Any] = paths_of("client", "server") if tls else {}

    async def by_asyncio(port: int) -> None:
        async with AsyncioClient(DEADLINE) as client:
            await client.connect_rpc(HOST, port, **own)

    def by_client(port: int) -> None:
        Client(HOST, port, timeout=DEADLINE, **own)

    def late(port: int) -> None:
        with Client(HOST, port, None, timeout=DEADLINE, **own) as client:
            client.select_rpc_target("t")

    with running_server(lambda: Server({"t": Device}), **files) as port:
        for connect in (
            by_client,
            late,
            lambda port: asyncio.run(by_asyncio(port)),
            lambda port: BestEffortClient(HOST, port, "t", DEADLINE, **own),
        ):
            with pytest.raises(RuntimeError, match="the laser is not there") as caught:
                connect(port)
            assert caught.value.__notes__[0] == "The server could not make the target `t`."
            assert isinstance(caught.value.__cause__, FileNotFoundError)
            assert "in __init__" in "".join(caught.value.parent_traceback)  # type: ignore[attr-defined]
    assert caplog.text.count("the target `t` could not be made") == 2  # and then how often
    assert "the laser is not there (the latest of 3 like it)" in caplog.text
    assert caplog.text.count("Traceback") == 2  # with that of its cause


def test_the_failure_takes_the_place_of_the_names() -> None:
    with rpc_server({"t": Device}, frames=True) as port, connected(port) as peer:
        peer.send(b"ARTIQ pc_rpc\n")
        peer.line()
        peer.send(b"t pyon_v2 frames\n")
        number, size = peer.line().split()
        rest = b"".join(iter(peer.line, b""))  # to the end of the stream
    assert (number, int(size)) == (b"#0", len(rest))
    assert rest.startswith(b'{"status":"failed","exception":{"class":"RuntimeError"')


@pytest.mark.parametrize("selection", [b"t\n", b"t pyon_v2\n"])
def test_who_cannot_be_told_finds_the_end_and_the_log_has_the_reason(
    selection: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with rpc_server({"t": Device}) as port, connected(port) as peer:
        peer.send(b"ARTIQ pc_rpc\n")
        peer.line()
        peer.send(selection)
        assert peer.line() == b""
    assert "the laser is not there" in caplog.text


def test_what_is_no_exception_of_python_ends_one_connection_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Strange:
        def __init__(self) -> None:
            raise Interrupted("text")

    class Fine:
        def get(self) -> int:
            return 5

    with rpc_server({"strange": Strange, "fine": Fine}, frames=True) as port:
        with pytest.raises(Exception, match="Interrupted: text"):
            Client(HOST, port, "strange", timeout=DEADLINE)
        with Client(HOST, port, "fine", timeout=DEADLINE) as client:
            assert client.get() == 5
    assert "Interrupted: text" in caplog.text


def test_a_device_that_comes_back_is_found_by_who_goes_on_trying() -> None:
    there = threading.Event()
    tried = threading.Event()

    class Late:
        def __init__(self) -> None:
            if not there.is_set():
                error = OSError(19, "No such device") if not tried.is_set() else ValueError("soon")
                tried.set()
                raise error

        def get(self) -> int:
            return 5

    with rpc_server({"t": Late}, frames=True) as port:
        with BestEffortClient(HOST, port, "t", DEADLINE, retry=0.01) as client:
            assert tried.wait(DEADLINE)
            assert client.get() is None
            there.set()
            until(lambda: client.get() == 5)
