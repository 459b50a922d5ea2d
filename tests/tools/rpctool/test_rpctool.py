"""The command line tool, as a process, against a server on loopback."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from support.certificates import paths_of
from support.peers import DEADLINE, HOST, rpc_server, until
from support.programs import free_port

pytest.importorskip("numpy")


class Lda:
    """An attenuator."""

    def __init__(self) -> None:
        self.entered = threading.Event()

    def set_attenuation(self, attenuation: float, *, unit="dB") -> None:  # type: ignore[no-untyped-def]
        """Set it.

        In steps.
        """
        self.attenuation = (attenuation, unit)

    def get_attenuation(self) -> Any:
        return self.attenuation

    def total(self, values: Any) -> float:
        return float(values.sum())

    def fail(self) -> None:
        raise ValueError("bad value")

    async def wait(self) -> None:
        import asyncio

        self.entered.set()
        await asyncio.Event().wait()

    def echo(self, *args: Any) -> Any:
        return args

    def names(this, /, **names: Any) -> Any:
        return names

    def fail_by(self) -> None:
        exc = RuntimeError("no device")
        exc.add_note("is it switched on?")
        raise exc from FileNotFoundError(2, "No such file", "/dev/lda")

    def sweep(self, count: int) -> Any:
        yield from range(count)
        raise ValueError("end of range")


@pytest.fixture
def lda() -> Lda:
    return Lda()


@pytest.fixture
def port(lda: Lda) -> Iterator[int]:
    with rpc_server({"lda": lda, "aux": Lda()}, description="of the lab") as port:
        yield port


def command(port: int, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "sipyco_tools.sipyco_rpctool", HOST, str(port), *arguments]


def run(port: int, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(port, *arguments), capture_output=True, text=True, timeout=DEADLINE, **options
    )


def refused(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), DEADLINE).close()
    except ConnectionRefusedError:
        return True
    return False


def test_lists(port: int) -> None:
    assert run(port, "list-targets").stdout == "Target(s):   aux, lda\nDescription: of the lab\n"
    listed = run(port, "list-methods", "-t", "lda")
    assert listed.stdout.startswith(
        "An attenuator.\n\necho(self, *args: 'Any') -> 'Any'\n\nfail(self)"
    )
    assert (
        "set_attenuation(self, attenuation: 'float', *, unit='dB') -> 'None'\n"
        "    Set it.\n\n    In steps.\n\n"
    ) in listed.stdout
    assert (listed.returncode, listed.stderr) == (0, "")


def test_calls(port: int) -> None:
    call = ("call", "-t", "lda")
    assert run(port, *call, "set_attenuation", "5", "unit=2*'d'").stdout == ""
    assert run(port, *call, "get_attenuation").stdout == "(5, 'dd')\n"
    assert run(port, *call, "echo", "-5", "-1.5", "1 == 2").stdout == ("(-5, -1.5, False)\n")
    array = run(port, *call, "total", "np.array([1.0, 2.0], dtype=float)")
    assert (array.stdout, array.returncode) == ("3.0\n", 0)


def test_arguments_may_have_any_name(port: int) -> None:
    done = run(
        port, "call", "-t", "lda", "names", "self=1", "name=2", "method=3", "class=4", "if=5"
    )
    assert done.stderr == ""
    assert done.stdout == "{'class': 4, 'if': 5, 'method': 3, 'name': 2, 'self': 1}\n"


def test_cause_and_notes_are_shown(port: int) -> None:
    done = run(port, "interactive", "-t", "lda", input="fail_by()\n")
    assert "RuntimeError: no device\nis it switched on?\nFileNotFoundError: " in done.stdout
    assert "was the direct cause of the following exception" in done.stdout
    assert done.stdout.count("is it switched on?") == 1
    verbose = run(port, "-v", "call", "-t", "lda", "fail_by").stderr
    assert "FileNotFoundError: [Errno 2] No such file: '/dev/lda'" in verbose
    assert "is it switched on?" in verbose


def test_what_a_generator_gives_is_printed_item_by_item(port: int) -> None:
    done = run(port, "call", "-t", "lda", "sweep", "3")
    assert (done.stdout, done.returncode) == ("0\n1\n2\n", 1)
    assert "remote exception: ValueError: end of range" in done.stderr
    done = run(port, "--json", "call", "-t", "lda", "sweep", "2")
    assert done.stdout.splitlines()[:2] == ['{"result":0}', '{"result":1}']
    done = run(port, "interactive", "-t", "lda", input="sweep(2)\nlist(sweep(0))\n7\n")
    assert "(lda) 0\n1\nRemote exception:\nValueError: end of range\n" in done.stdout
    assert "(lda) 7\n" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (("call", "-t", "lda", "fail"), 1, "remote exception: ValueError: bad value"),
        (("call", "-t", "lda", "nosuch"), 1, ": AttributeError: `lda` has no method `nosuch`"),
        (("call", "-t", "lda", "zzzzz"), 1, "; `list-methods` lists them"),
        (("call", "-t", "lda", "swep"), 1, "; did you mean `sweep`?"),
        (("call", "-t", "lda", "sweep"), 1, "; signature: sweep("),
        (("call", "-t", "lda", "echo", "--json=1"), 2, "option --json must stand before METHOD"),
        (
            ("call", "-t", "x", "fail"),
            1,
            ": IncompatibleServer: no target `x`; valid target name(s): aux lda",
        ),
        (
            ("call", "fail"),
            1,
            ": ValueError: Server has multiple targets: aux lda; choose one with -t TARGET",
        ),
        (("call", "-t", "lda", "echo", "hello"), 2, "'\"hello\"'"),
        (("call", "-t", "lda", "echo", "1 +"), 2, "argument '1 +' is not a Python expression"),
        (("call", "-t", "lda", "echo", "a=1", "a=2"), 2, "'a' is given twice"),
        (("--timeout", "0.1", "call", "-t", "lda", "wait"), 1, ": TimeoutError: "),
        (
            ("--ssl", "/no", "/no", "/no", "list-targets"),
            1,
            "rpctool: FileNotFoundError: [Errno 2]",
        ),
        (("call", "-t", "lda", "echo", "open('/no')"), 2, "sipyco_rpctool: error: argument"),
        (("--timeout", "x", "list-targets"), 2, "positive number of seconds"),
        (("--json",), 2, "not with a prompt"),
        (("nosuch",), 2, "invalid choice"),
    ],
)
def test_errors_are_one_clear_line(
    arguments: tuple[str, ...], status: int, text: str, port: int
) -> None:
    done = run(port, *arguments)
    assert done.returncode == status
    assert text in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_the_remote_traceback_is_shown_on_demand(port: int) -> None:
    assert "in fail" in run(port, "-v", "call", "-t", "lda", "fail").stderr


def test_nobody_listens() -> None:
    port = free_port()
    done = run(port, "list-targets")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert f"connection error: {HOST} port {port}: ConnectionRefusedError: " in done.stderr
    assert done.stderr.endswith("(is the server running, and is this its port?)\n")


def test_json(port: int) -> None:
    def document(*arguments: str) -> Any:
        return json.loads(run(port, "--json", *arguments).stdout)

    assert document("list-targets") == {"targets": ["aux", "lda"], "description": "of the lab"}
    assert set(document("list-methods", "-t", "lda")) == {"docstring", "methods"}
    assert document("call", "-t", "lda", "echo", "1")["result"]["__jsonclass__"][0] == "tuple"
    assert document("call", "-t", "lda", "fail") == {
        "error": {"class": "ValueError", "message": "bad value"}
    }


def test_interactive(port: int) -> None:
    lines = "echo(np.int32(1) + 1)\nfail()\n1 +\nnosuch\n\n7\n"
    done = run(port, "interactive", "-t", "lda", input=lines)
    assert done.returncode == 0
    assert done.stdout.count("(lda) ") == 7
    assert "(lda) (2,)" in done.stdout or "np.int" in done.stdout
    assert "Remote exception:\nValueError: bad value\n" in done.stdout
    assert "SyntaxError" in done.stdout
    assert "NameError: name 'nosuch' is not defined" in done.stdout
    assert "(lda) 7\n" in done.stdout


def test_the_prompt_has_what_a_method_says_of_itself(port: int) -> None:
    lines = "help(set_attenuation)\nset_attenuation\n[echo(i) for i in range(2)]\n"
    done = run(port, "interactive", "-t", "lda", input=lines)
    assert "set_attenuation(attenuation" in done.stdout
    assert "In steps." in done.stdout
    assert f"(lda) <remote method `set_attenuation` of `lda` on {HOST} port {port}>" in done.stdout
    assert "(lda) [(0,), (1,)]\n" in done.stdout
    assert done.returncode == 0


def test_a_time_limit_ends_a_call_and_not_the_prompt(port: int) -> None:
    lines = "wait()\n" + "echo(7)\n" * 50  # on a busy machine some of them may be late, too
    done = run(port, "--timeout", "0.3", "interactive", "-t", "lda", input=lines)
    assert "(lda) TimeoutError: " in done.stdout
    assert "(lda) (7,)\n" in done.stdout
    assert done.returncode == 0


LEAVING = """
import os, sys
from sipyco_rpc.pc_rpc import SimpleSSLConfig, simple_server_loop

class Lda:
    def leave(self):
        os._exit(0)

    def leave_in_the_midst(self):
        yield 1
        os._exit(0)

config = SimpleSSLConfig(*sys.argv[3:]) if sys.argv[3:] else None
simple_server_loop({"lda": Lda()}, sys.argv[1], int(sys.argv[2]), ssl_config=config)
"""


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("at_a_prompt", [False, True])
@pytest.mark.parametrize("method", ["leave", "leave_in_the_midst"])
def test_a_server_that_is_killed_in_a_call_is_an_error_of_the_connection(
    method: str, at_a_prompt: bool, tls: bool
) -> None:
    port = free_port()
    serving, calling = [], []
    if tls:
        serving = list(paths_of("server", "client").values())
        calling = ["--ssl", *paths_of("client", "server").values()]
    arguments = [sys.executable, "-c", LEAVING, HOST, str(port), *serving]
    with subprocess.Popen(arguments, stderr=subprocess.DEVNULL) as server:
        try:
            until(lambda: not refused(port))
            if at_a_prompt:
                done = run(port, *calling, input=f"{method}()\n7\n")
            else:
                done = run(port, *calling, "call", method)
        finally:
            server.kill()
    assert done.returncode == 1
    assert (
        f"connection error: {HOST} port {port}: ConnectionLost: call of `lda.{method}`"
        in done.stderr
    )
    assert len(done.stderr.splitlines()) == 1
    assert "make a new" not in done.stderr  # that is for programs
    assert "7\n" not in done.stdout


def test_ctrl_c_leaves_quietly(port: int, lda: Lda) -> None:
    process = subprocess.Popen(
        command(port, "call", "-t", "lda", "wait"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert lda.entered.wait(DEADLINE)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=DEADLINE) == (b"", b"")
        assert process.returncode == 130
    finally:
        process.kill()
        process.communicate()


def test_a_closed_pipe_leaves_quietly(port: int) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            command(port, "list-targets"), stdout=writing, stderr=subprocess.PIPE, timeout=DEADLINE
        )
    finally:
        os.close(writing)
    assert done.stderr == b""
    assert done.returncode == 1


def test_the_prompt_completes_names(port: int, tmp_path: Any) -> None:
    pty = pytest.importorskip("pty")
    pytest.importorskip("readline")
    parent, child = pty.openpty()
    process = subprocess.Popen(
        command(port, "interactive", "-t", "lda"),
        stdin=child,
        stdout=child,
        stderr=child,
        env={**os.environ, "HOME": "", "XDG_STATE_HOME": str(tmp_path), "TERM": "dumb"},
    )
    os.close(child)
    received = bytearray()

    def shown(text: bytes) -> bool:
        if text not in received:
            received.extend(os.read(parent, 1000))
        return text in received

    try:
        until(lambda: shown(b"(lda) "))
        os.write(parent, b"ech\t(12345)\n")
        until(lambda: shown(b"(12345,)"))
        del received[: received.index(b"(12345,)")]
        until(lambda: shown(b"(lda) "))  # until then the terminal takes it for the end of a line
        os.write(parent, b"\x04")
        assert process.wait(DEADLINE) == 0
    finally:
        process.kill()
        process.wait()
        os.close(parent)
    assert "echo(12345)" in (tmp_path / "sipyco" / "rpctool_history").read_text()
