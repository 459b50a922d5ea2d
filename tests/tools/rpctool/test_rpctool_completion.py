"""Completion by the tab key of shells: what is offered, and the scripts in the shells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sipyco_rpc.pc_rpc import Server, SimpleSSLConfig
from sipyco_tools import sipyco_rpctool
from sipyco_tools._rpctool import completion
from support.certificates import paths_of
from support.peers import DEADLINE, HOST, rpc_server, running_server
from support.programs import free_port


class Lda:
    def set_attenuation(self, attenuation: float, *, unit: str = "dB") -> None:
        pass

    def get_attenuation(self) -> float:
        return 5.0


@pytest.fixture
def port() -> Iterator[int]:
    with rpc_server({"lda": Lda(), "aux": Lda()}) as port:
        yield port


def offered(*words: str) -> list[str]:
    return completion.candidates(sipyco_rpctool.get_argparser(), list(words))


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ((), []),
        (("",), []),
        (("--ti",), ["--timeout"]),
        (("--timeout", ""), []),
        ((HOST, ""), []),
        ((HOST, "3253", "list"), ["list-targets", "list-methods"]),
        ((f"{HOST}:3253", "list"), ["list-targets", "list-methods"]),
        (("--timeout", "5", "[::1]:3253", "-v", "pi"), ["ping"]),
        ((HOST, "3253", "ping", "--co"), ["--count"]),
        ((HOST, "3253", "ping", "--ti"), ["--timeout"]),
        ((HOST, "3253", "watch", ""), []),
        ((HOST, "3253", "nosuch", ""), []),
        ((HOST, "http", "call", ""), []),
    ],
)
def test_what_the_parser_knows_is_offered(words: tuple[str, ...], found: list[str]) -> None:
    assert offered(*words) == found


def test_what_a_live_server_has_is_offered(port: int) -> None:
    server = (HOST, str(port))
    assert offered(*server, "call", "-t", "") == ["aux", "lda"]
    assert offered("-t", "l", f"{HOST}:{port}") == []  # it is not known yet where
    assert offered(*server, "-t", "l") == ["lda"]
    assert offered(*server, "call", "-t", "lda", "set") == ["set_attenuation"]
    assert offered(*server, "-t", "lda", "bench", "") == ["get_attenuation", "set_attenuation"]
    assert offered(*server, "call", "-t", "lda", "set_attenuation", "") == [
        "attenuation=",
        "unit=",
    ]
    assert offered(*server, "call", "-t", "lda", "set_attenuation", "5", "u") == ["unit="]
    assert offered(*server, "call", "") == []  # which target?
    assert offered(*server, "call", "-t", "nosuch", "") == []
    assert offered(*server, "call", "-t", "lda", "nosuch", "") == []


def test_a_server_with_tls_is_asked_with_the_certificates() -> None:
    ours, theirs = paths_of("server", "client"), paths_of("client", "server")
    config = SimpleSSLConfig(*ours.values())
    with running_server(lambda: Server({"lda": Lda()}), ssl_config=config) as port:
        server = (HOST, str(port))
        assert offered(*server, "--ssl", *theirs.values(), "call", "get") == ["get_attenuation"]
        assert offered(*server, "call", "--ssl", *theirs.values(), "get") == ["get_attenuation"]
        assert offered(*server, "call", "get") == []


def test_nobody_is_waited_for() -> None:
    assert offered(HOST, str(free_port()), "call", "") == []


def test_files_are_offered_for_certificates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "certs").mkdir()
    (tmp_path / "client.pem").touch()
    assert offered("--ssl", "c") == ["certs/", "client.pem"]
    assert offered("--ssl", "client.pem", "certs") == ["certs/"]


def test_a_host_named_completion_is_a_host() -> None:
    assert not completion.is_asked_for(["3253"])
    assert not completion.is_asked_for(["bash", "list-targets"])
    assert not completion.is_asked_for([])


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Have the command among those that a shell finds."""
    program = tmp_path / "bin" / "sipyco_rpctool"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m sipyco_tools.sipyco_rpctool "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "HOME": str(tmp_path)}


def script(shell: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "sipyco_tools.sipyco_rpctool", "completion", shell],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.one_python
@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("sipyco_rpctool {server} call -t lda s", ["set_attenuation"]),
        ("sipyco_rpctool {server} -t lda call set_attenuation ", ["attenuation=", "unit="]),
        ("sipyco_rpctool ::1 3253 list-m", ["list-methods"]),
        ("sipyco_rpctool ", []),
    ],
)
def test_bash_completes(
    line: str, found: list[str], port: int, environment: dict[str, str]
) -> None:
    line = line.format(server=f"{HOST} {port}")
    program = f"""{script("bash")}
COMP_LINE={line!r}; COMP_POINT=${{#COMP_LINE}}
_sipyco_rpctool sipyco_rpctool
printf '%s\\n' "${{COMPREPLY[@]}}"
complete -p sipyco_rpctool
"""
    done = subprocess.run(
        ["bash", "--norc", "-c", program],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        env=environment,
    )
    *shown, registered = done.stdout.splitlines()
    assert [line for line in shown if line] == found
    assert registered == "complete -o default -F _sipyco_rpctool sipyco_rpctool"


@pytest.mark.one_python
@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish")
def test_fish_completes(port: int, environment: dict[str, str]) -> None:
    program = f"{script('fish')}\ncomplete -C 'sipyco_rpctool {HOST} {port} call -t lda set_'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", program],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        env=environment,
    )
    assert (done.stdout, done.stderr) == ("set_attenuation\n", "")


@pytest.mark.one_python
@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh")
def test_zsh_completes(port: int, environment: dict[str, str]) -> None:
    # What the completion system would call it with; it runs in its line editor only.
    program = f"""
compdef() {{ registered=$*; }}
compadd() {{ while [[ $1 != -- ]]; do shift; done; shift; (( $# )) && print -rl -- "$@"; }}
{script("zsh")}
words=(sipyco_rpctool {HOST} {port} call -t lda set_attenuation "")
CURRENT=$#words
_sipyco_rpctool
print -r -- $registered
"""
    done = subprocess.run(
        ["zsh", "-f", "-c", program],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        env=environment,
    )
    assert done.stdout == "attenuation=\nunit=\n_sipyco_rpctool sipyco_rpctool\n"
    assert done.stderr == ""
