"""The first programs of the README do what it says."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sipyco import sipyco_rpctool
from sipyco.pc_rpc import Client
from support.peers import DEADLINE, HOST, until
from support.programs import free_port

pytestmark = pytest.mark.one_python

pytest.importorskip("numpy")

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def blocks(language: str, port: int) -> list[str]:
    """Return what the README has in a language, for another address than its own."""
    found = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return [
        text.replace('"::1", 3249', f'"{HOST}", {port}').replace("::1 3249", f"{HOST} {port}")
        for text in found
    ]


def listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port)).close()
    except OSError:
        return False
    return True


def test_the_first_service_answers_a_script_and_a_shell(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    service, script = blocks("python", port)[:2]
    listing, call, status = (
        line for text in blocks("sh", port) for line in text.splitlines() if HOST in line
    )
    with subprocess.Popen([sys.executable, "-c", service]) as process:
        try:
            until(lambda: listens(port))
            exec(script, {})
            assert capsys.readouterr() == ("15\n", "")
            for line, shown in (
                (listing, "take(self, height, width)\n"),
                (call, "array([[0, 1, 2],\n       [3, 4, 5]])\n"),
                (status, f"{HOST} port {port}\n"),
            ):
                monkeypatch.setattr(sys, "argv", shlex.split(line, comments=True))
                sipyco_rpctool.main()
                assert capsys.readouterr().out.startswith(shown)
            with Client(HOST, port) as camera:
                camera.terminate()
            assert process.wait(DEADLINE) == 0
        finally:
            process.kill()
