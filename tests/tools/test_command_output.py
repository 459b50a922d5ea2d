"""What the commands do where their output cannot be written, or not as it is."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from support.peers import DEADLINE, HOST, rpc_server

if sys.platform == "win32":
    pytest.skip(
        "there is no /dev/full, and descriptors are not inherited", allow_module_level=True
    )

TEXT: Final = "5 µm \U0001f600 \ud800"  # the last cannot be written in any encoding


class Stage:
    """Moves by µm."""

    def position(self) -> str:
        """Gives µm."""
        return TEXT

    def many(self) -> Any:
        yield from range(100_000)

    def move(self) -> None:
        raise ValueError("beyond 5 µm")

    def unplug(self) -> None:
        raise BrokenPipeError(errno.EPIPE, "the stage is gone")


@pytest.fixture
def port() -> Iterator[int]:
    with rpc_server({"stage": Stage()}, description="in µm") as port:
        yield port


def rpctool(port: int, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "sipyco_tools.sipyco_rpctool", HOST, str(port), *arguments]


def certs(*arguments: str) -> list[str]:
    pytest.importorskip("cryptography")
    return [sys.executable, "-m", "sipyco_tools.sipyco_certs", *arguments]


def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    options.setdefault("stdout", subprocess.PIPE)
    return subprocess.run(
        command, stderr=subprocess.PIPE, encoding="utf-8", timeout=DEADLINE, **options
    )


def in_ascii(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    return run(command, env={**os.environ, "PYTHONIOENCODING": "ascii"}, **options)


FULL: Final = "standard output: OSError: [Errno 28] No space left on device"


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (("call", "position"), "'5 \\xb5m \\U0001f600 \\ud800'\n"),
        (("--json", "call", "position"), '{"result":"5 \\u00b5m \\ud83d\\ude00 \\ud800"}\n'),
        (("list-targets",), "Target(s):   stage\nDescription: in \\xb5m\n"),
        (("list-methods",), "    Gives \\xb5m.\n"),
    ],
)
def test_what_ascii_cannot_show_is_escaped(
    arguments: tuple[str, ...], shown: str, port: int
) -> None:
    done = in_ascii(rpctool(port, *arguments))
    assert shown in done.stdout
    assert (done.stderr, done.returncode) == ("", 0)


def test_errors_are_escaped_for_ascii(port: int) -> None:
    done = in_ascii(rpctool(port, "call", "move"))
    assert done.stderr == "sipyco_rpctool: remote exception: ValueError: beyond 5 \\xb5m\n"
    assert done.returncode == 1


def test_a_prompt_in_ascii_escapes_and_goes_on(port: int) -> None:
    done = in_ascii(rpctool(port), input="position()\nmove()\n'é'\n7\n")
    assert "(stage) '5 \\xb5m \\U0001f600 \\ud800'\n" in done.stdout
    assert "ValueError: beyond 5 \\xb5m\n" in done.stdout
    assert "(stage) UnicodeEncodeError: " in done.stdout  # the terminal said that it was ASCII
    assert "(stage) 7\n" in done.stdout
    assert (done.stderr, done.returncode) == ("", 0)


def test_utf_8_shows_what_it_can(port: int) -> None:
    done = run(rpctool(port, "list-targets"), env={**os.environ, "PYTHONIOENCODING": "utf-8"})
    assert done.stdout == "Target(s):   stage\nDescription: in µm\n"


@pytest.mark.parametrize(
    ("arguments", "typed"),
    [
        (("call", "position"), None),
        (("call", "many"), None),
        (("list-targets",), None),
        (("list-methods",), None),
        ((), "position()\nposition()\n"),
        ((), ""),
    ],
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_full_disk_is_no_error_of_the_connection(
    unbuffered: str, arguments: tuple[str, ...], typed: str | None, port: int
) -> None:
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "w") as full:
        done = run(rpctool(port, *arguments), stdout=full, input=typed, env=environment)
    assert (done.stderr, done.returncode) == (f"sipyco_rpctool: {FULL}\n", 1)


@pytest.mark.parametrize(
    ("arguments", "typed"),
    [
        (("call", "many"), None),
        (("list-methods",), None),
        ((), "7\n7\n"),
    ],
)
def test_output_that_nobody_reads_ends_the_command_quietly(
    arguments: tuple[str, ...], typed: str | None, port: int
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run(rpctool(port, *arguments), stdout=writing, input=typed)
    finally:
        os.close(writing)
    assert (done.stderr, done.returncode) == ("", 1)


def test_a_command_without_an_output_says_so(port: int) -> None:
    done = run(["sh", "-c", '"$@" >&-', "sh", *rpctool(port, "call", "position")])
    assert done.stderr == "sipyco_rpctool: standard output is closed\n"
    assert done.returncode == 1


def test_errors_do_not_go_into_the_output_where_standard_error_is_closed(port: int) -> None:
    done = run(["sh", "-c", '"$@" 2>&-', "sh", *rpctool(port, "call", "move")])
    assert (done.stdout, done.returncode) == ("", 1)
    done = run(["sh", "-c", '"$@" 2>/dev/full', "sh", *rpctool(port, "call", "move")])
    assert (done.stdout, done.returncode) == ("", 1)


def test_a_broken_pipe_of_the_method_is_its_exception(port: int) -> None:
    done = run(rpctool(port, "call", "unplug"))
    assert done.stderr.startswith("sipyco_rpctool: remote exception: BrokenPipeError: ")
    assert done.returncode == 1


def test_an_input_that_cannot_be_read_is_no_error_of_the_connection(port: int) -> None:
    with open(os.devnull, "wb") as for_writing:
        done = run(rpctool(port), stdin=for_writing)
    assert done.stderr.startswith("sipyco_rpctool: error: standard input: OSError: ")
    assert done.returncode == 2


def test_a_prompt_without_an_input_says_so(port: int) -> None:
    done = run(["sh", "-c", '"$@" <&-', "sh", *rpctool(port)])
    assert done.stderr == "sipyco_rpctool: error: standard input is closed\n"
    assert done.returncode == 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_certificates_that_were_made_are_not_called_a_failure_of_the_disk(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = run(certs(str(tmp_path / "certs")), stdout=full)
    assert (done.stderr, done.returncode) == (f"sipyco_certs: {FULL}\n", 1)
    assert (tmp_path / "certs" / "server.pem").exists()


def test_certificates_are_made_in_a_directory_that_ascii_cannot_show(tmp_path: Path) -> None:
    done = in_ascii(certs(str(tmp_path / "µ")))
    assert done.stdout.startswith(f"in {tmp_path.resolve()}/\\xb5:\n")
    assert (done.stderr, done.returncode) == ("", 0)
    done = in_ascii(certs(str(tmp_path / "µ"), "--client", "client"))
    assert "\\xb5" in done.stderr
    assert done.returncode == 1


def test_certificates_that_nobody_reads_of_are_made_quietly(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run(certs(str(tmp_path / "certs")), stdout=writing)
    finally:
        os.close(writing)
    assert (done.stderr, done.returncode) == ("", 1)
