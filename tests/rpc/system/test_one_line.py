"""A program that cannot start says why in one line, and ends with status 1; exceptions stay."""

from __future__ import annotations

import asyncio
import errno
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sipyco_rpc.net.server import AsyncioServer
from sipyco_rpc.pc_rpc import Server, simple_server_loop
from sipyco_rpc.support import one_line
from support.peers import DEADLINE, HOST

LOOP = """
import logging, sys
logging.getLogger("asyncio").setLevel(logging.ERROR)  # it tells how long things take
from sipyco_rpc.pc_rpc import simple_server_loop
class Lda: pass
host, port, *paths = sys.argv[1:]
names = dict(zip(("local_cert", "local_key", "peer_cert"), paths))
simple_server_loop({"lda": Lda()}, host, int(port), **names)
"""


def run(script: str, *arguments: object) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server((HOST, 0)) as sock:
        yield sock.getsockname()[1]


def test_a_port_that_is_taken(taken: int) -> None:
    status, out, err = run(LOOP, HOST, taken)
    assert (status, out) == (1, "")
    [line] = err.splitlines()
    assert line.startswith(
        f"-c: Address already in use: could not listen on {HOST} port {taken} (another program "
        "has this port, perhaps this one, started before: `"
    )
    assert line.endswith("` tells which)")


def test_a_certificate_that_is_not_there() -> None:
    status, out, err = run(LOOP, HOST, 0, "nowhere.pem", "nowhere.key", "nowhere.pem")
    assert (status, out) == (1, "")
    assert err == "-c: No such file or directory: our certificate (local_cert): nowhere.pem\n"


def test_a_port_file_that_cannot_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "no"
    script = LOOP.replace("**names", "port_file=sys.argv[3]")
    status, out, err = run(script, HOST, 0, folder / "port")
    assert (status, out) == (1, "")
    assert err == (
        "-c: cannot write the port file: No such file or directory: "
        f"no file can be made in {folder}: {folder / 'port'}\n"
    )


def test_an_address_that_is_another_computers() -> None:
    status, _, err = run(LOOP, "192.0.2.1", 0)
    assert status == 1
    assert err == (
        "-c: Cannot assign requested address: could not listen on 192.0.2.1 port 0 (this computer "
        "has no such address: take one of its own)\n"
    )


OTHER = """
from sipyco_rpc.support.one_line import in_one_line, tell_in_one_line
tell_in_one_line()
in_one_line(OSError("it was caught"))
raise OSError("another one")
"""


@pytest.mark.parametrize(
    "script",
    [
        f"import logging; logging.basicConfig(level=logging.DEBUG)\n{LOOP}",
        f"import sys; sys.excepthook = lambda *args: sys.__excepthook__(*args)\n{LOOP}",
        OTHER,
    ],
    ids=["the log is at DEBUG", "a hook of the program's own", "another exception"],
)
def test_there_is_a_traceback_where_it_is_of_use(script: str, taken: int) -> None:
    status, _, err = run(script, HOST, taken)
    assert status == 1
    assert "Traceback (most recent call last):" in err


def test_a_program_that_catches_it_has_the_exception(taken: int) -> None:
    with pytest.raises(OSError, match="could not listen on") as caught:
        simple_server_loop({"t": object()}, HOST, taken)
    assert caught.value.errno == errno.EADDRINUSE
    assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(FileNotFoundError) as missing:
        simple_server_loop(
            {"t": object()}, HOST, 0, local_cert="no", local_key="no", peer_cert="no"
        )
    assert missing.value.filename == "no"


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_line, "_enabled", False)
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)


@pytest.mark.usefixtures("hooks")
def test_a_hook_is_there_only_where_it_is_asked_for_and_needed() -> None:
    one_line.in_one_line(OSError("x"))
    assert sys.excepthook is sys.__excepthook__
    one_line.tell_in_one_line()
    assert sys.excepthook is sys.__excepthook__
    exc = one_line.in_one_line(OSError("x"))
    assert sys.excepthook is not sys.__excepthook__
    assert type(exc) is OSError


@pytest.mark.usefixtures("hooks")
@pytest.mark.parametrize(
    ("exc", "said"),
    [
        (OSError(2, "words", "file"), "x.py: words: file\n"),
        (OSError(98, "words"), "x.py: words\n"),
        (OSError("only a text"), "x.py: only a text\n"),
    ],
)
def test_what_the_line_says(
    exc: OSError, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one_line.tell_in_one_line()
    one_line.in_one_line(exc)
    monkeypatch.setattr(sys, "argv", ["/lab/x.py"])
    sys.excepthook(type(exc), exc, None)
    assert capsys.readouterr().err == said
    monkeypatch.setattr(sys, "stderr", None)
    sys.excepthook(type(exc), exc, None)  # there is nobody to tell
    assert capsys.readouterr().out == ""


# --- which address ---


def refused(host: Any, port: int) -> OSError:
    async def main() -> None:
        async with AsyncioServer() as server:
            await server.start(host, port)

    with pytest.raises(OSError) as caught:
        asyncio.run(main())
    return caught.value


def test_of_several_addresses_the_one_that_cannot_be_had_is_named(taken: int) -> None:
    exc = refused(["127.0.0.2", HOST], taken)
    assert f"could not listen on {HOST} port {taken} (" in str(exc)
    assert exc.errno == errno.EADDRINUSE


def test_an_address_that_is_another_computers_is_not_left_out() -> None:
    exc = refused([HOST, "192.0.2.1"], 0)
    assert exc.errno == errno.EADDRNOTAVAIL
    assert "could not listen on 192.0.2.1 port 0 (this computer has no such address" in str(exc)


def test_ports_that_the_system_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_permission(*args: Any, **kwargs: Any) -> Any:
        raise PermissionError(errno.EACCES, "error while attempting to bind")

    monkeypatch.setattr(asyncio.BaseEventLoop, "create_server", no_permission)
    exc = refused([HOST, "::1"], 80)
    assert type(exc) is PermissionError
    assert "Permission denied: could not listen on 127.0.0.1 port 80" in str(exc)
    assert "take one from 1024 to 65535" in str(exc)


def test_other_errors_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    error = OSError(errno.EMFILE, "too many")

    async def no_descriptor(*args: Any, **kwargs: Any) -> Any:
        raise error

    monkeypatch.setattr(asyncio.BaseEventLoop, "create_server", no_descriptor)
    assert refused(HOST, 80) is error


@pytest.mark.parametrize("host", [3253, True])
def test_a_host_is_no_number(host: Any) -> None:
    async def main() -> None:
        await Server({"t": object()}).start(host, "::1")  # type: ignore[arg-type]

    with pytest.raises(ValueError, match="a host is the name or address of a computer"):
        asyncio.run(main())
