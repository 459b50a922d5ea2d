"""The page about services: its unit is one, and its programs do what it says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sipyco_rpc.pc_rpc import Client, serve_in_thread, simple_server_loop
from support.peers import DEADLINE
from support.programs import EXAMPLES, example

pytestmark = pytest.mark.one_python

PAGES = Path(__file__).parents[2] / "docs/how-to"
SERVICE = (PAGES / "run-as-a-service.md").read_text("utf-8")
NOTEBOOK = (PAGES / "notebooks.md").read_text("utf-8")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("there is no systemd")
    (unit,) = blocks(SERVICE, "ini")
    own = unit.replace("/opt/lab/bin/python", sys.executable)
    own = own.replace("/opt/lab/lda.py", str(EXAMPLES / "lda.py")).replace("=lab\n", "=root\n")
    assert own.count(sys.executable) == own.count("User=root") == 1
    path = tmp_path / "lda.service"
    path.write_text(own)
    checked = subprocess.run(
        [verify, "verify", "--man=no", path], capture_output=True, text=True, timeout=DEADLINE
    )
    about_it = [line for line in checked.stderr.splitlines() if "lda.service" in line]
    assert (checked.returncode, about_it) == (0, [])


def test_the_first_line_is_what_a_driver_says() -> None:
    shown = blocks(SERVICE, "console")[0].splitlines()[1]
    with example("lda.py", "--simulation", "--port", "0") as process:
        assert process.stderr is not None
        said = next(line for line in process.stderr if "serving" in line).rstrip()
    without_ipv6 = re.sub(r" and ::1 port \d+", "", shown)
    numbers = [re.sub(r"port \d+", "port 0", line) for line in (said, shown, without_ipv6)]
    assert numbers[0] in numbers[1:]


class Lda:
    def set_attenuation(self, attenuation: float) -> None:
        self.attenuation = attenuation


def test_the_program_of_ready_and_port_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (program,) = blocks(SERVICE, "python")
    path = tmp_path / "lda.port"
    program = program.replace("/run/lab/lda.port", str(path)).replace('"::1"', '"127.0.0.1"')
    seen: list[str] = []

    def loop(*args: object, **options: object) -> None:
        ready = options["ready"]

        def leave(server: object) -> None:
            ready(server)  # type: ignore[operator]
            seen.append(path.read_text())
            raise InterruptedError

        with pytest.raises(InterruptedError):
            simple_server_loop(*args, **{**options, "ready": leave})  # type: ignore[arg-type]

    exec(program, {"simple_server_loop": loop, "Lda": Lda})
    assert capsys.readouterr().out == f"port {seen[0]}"


def test_the_program_with_a_thread() -> None:
    program = blocks(NOTEBOOK, "python")[0].replace('"::1"', '"127.0.0.1"')
    program = program.replace("from sipyco.pc_rpc", "from sipyco_rpc.pc_rpc")
    made: list[Lda] = []

    def make() -> Lda:
        made.append(Lda())
        return made[0]

    exec(program, {"Client": Client, "Lda": make, "serve_in_thread": serve_in_thread})
    assert made[0].attenuation == 5
