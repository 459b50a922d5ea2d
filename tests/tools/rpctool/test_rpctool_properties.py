"""`get` and `set` of the command line tool."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from sipyco_rpc.pc_rpc import Server
from sipyco_tools import sipyco_rpctool
from sipyco_tools._rpctool import completion
from support.peers import DEADLINE, HOST, rpc_server

needs_properties = pytest.mark.skipif(
    "properties" not in inspect.signature(Server).parameters, reason="servers offer none here"
)


class Psu:
    def __init__(self) -> None:
        self._voltage = 5.0

    @property
    def voltage(self) -> float:
        """In V."""
        return self._voltage

    @voltage.setter
    def voltage(self, value: float) -> None:
        if value > 30:
            raise ValueError("at most 30 V")
        self._voltage = value

    @property
    def serial(self) -> str:
        return "A1"


@pytest.fixture
def port() -> Iterator[int]:
    options: dict[str, Any] = {"properties": True}
    with rpc_server({"psu": Psu()}, **options) as port:
        yield port


def run(port: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sipyco_tools.sipyco_rpctool", HOST, str(port), *arguments],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )


@needs_properties
def test_properties_are_read_and_set(port: int) -> None:
    assert run(port, "get", "voltage").stdout == "5.0\n"
    done = run(port, "set", "voltage=2 * 6")
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    assert run(port, "get", "voltage", "serial").stdout == "voltage = 12\nserial = 'A1'\n"
    assert json.loads(run(port, "--json", "get", "voltage").stdout) == {"result": 12}
    lines = run(port, "get", "--json", "voltage", "serial").stdout.splitlines()
    assert list(map(json.loads, lines)) == [{"voltage": 12}, {"serial": "A1"}]


@needs_properties
def test_what_cannot_be_read_or_set_is_said(port: int) -> None:
    done = run(port, "set", "voltage=31")
    assert done.stderr == "sipyco_rpctool: remote exception: ValueError: at most 30 V\n"
    done = run(port, "set", "serial='B'")
    assert (done.stdout, done.returncode) == ("", 1)
    assert ": AttributeError: " in done.stderr
    done = run(port, "get", "volts")
    assert done.stderr == (
        "sipyco_rpctool: AttributeError: `psu` has no property `volts`; "
        "it offers: serial, voltage\n"
    )


@needs_properties
def test_properties_are_listed_and_completed(port: int) -> None:
    shown = run(port, "list-methods").stdout
    assert "serial: property, read only\n\nvoltage: property\n    In V.\n\n" in shown
    parser = sipyco_rpctool.get_argparser()
    for action, found in (("get", ["voltage"]), ("set", ["voltage="])):
        assert completion.candidates(parser, [HOST, str(port), action, "v"]) == found


def test_a_server_without_properties_is_said_to_be_one() -> None:
    with rpc_server({"psu": Psu()}) as port:
        for arguments in (("get", "voltage"), ("set", "voltage=5")):
            done = run(port, *arguments)
            assert (done.stdout, done.returncode) == ("", 1)
            assert done.stderr == (
                "sipyco_rpctool: AttributeError: `psu` has no property `voltage`; "
                "it offers: none; see `properties` of its `Server`\n"
            )


@pytest.mark.parametrize("assignment", ["5", "voltage", "voltage ==5", "voltage=1 +"])
def test_what_is_no_assignment_is_a_wrong_command_line(assignment: str) -> None:
    with rpc_server({"psu": Psu()}) as port:
        done = run(port, "set", assignment)
    assert (done.stdout, done.returncode) == ("", 2)
    assert len(done.stderr.splitlines()) == 1
