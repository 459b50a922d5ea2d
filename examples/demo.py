#!/usr/bin/env python3
"""Start the attenuator's service, and use it as one would from a shell and from a script."""

from __future__ import annotations

import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path

from sipyco.pc_rpc import Client

DRIVER = Path(__file__).with_name("lda.py")
PORT = 3253
STARTUP = 30.0  # seconds that the service may take until it answers
PATIENCE = 10.0  # seconds for anything else

SCRIPT = """\
import numpy as np
from sipyco.pc_rpc import Client

with Client({host!r}, {port}, "lda") as lda:
    lda.set_attenuation(12.5)
    print("attenuation:", lda.get_attenuation(), "dB")
    print("values taken:", lda.load_sample_values(np.linspace(0, 10, 5)))
    try:
        lda.set_attenuation(100)
    except ValueError as exc:
        print("refused:", exc)
"""


def choose_address() -> tuple[str, int]:
    """Return `::1` and the usual port, or what comes next to that on this machine."""
    hosts = [("::1", socket.AF_INET6), ("127.0.0.1", socket.AF_INET)]
    for port in (PORT, 0):
        for host, family in hosts:
            try:
                with socket.create_server((host, port), family=family) as sock:
                    return host, sock.getsockname()[1]
            except OSError:
                continue  # there is no IPv6, or the port is taken
    raise SystemExit("this machine lets nobody listen on localhost")


def run(*command: str) -> None:
    """Run a command; its output goes where ours goes."""
    sys.stdout.flush()
    subprocess.run([sys.executable, *command], check=True, timeout=PATIENCE)


def rpctool(*arguments: str) -> None:
    """Print a command of sipyco_rpctool, then run it."""
    print(f"$ {shlex.join(['sipyco_rpctool', *arguments])}")
    run("-m", "sipyco.sipyco_rpctool", *arguments)


def wait_until_it_answers(service: subprocess.Popen[bytes], host: str, port: int) -> None:
    """Return when the service takes connections."""
    deadline = time.monotonic() + STARTUP
    while True:
        try:
            Client(host, port, timeout=PATIENCE).close_rpc()
            return
        except (OSError, EOFError) as exc:
            if service.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the service does not answer: {exc}") from exc
        try:
            service.wait(0.05)
        except subprocess.TimeoutExpired:
            pass  # it runs; try again


def main() -> None:
    """Run the demonstration; it leaves no process behind."""
    host, port = choose_address()
    options = ["--simulation", "--no-localhost-bind", "--bind", host, "--port", str(port)]
    print(f"$ python examples/lda.py {shlex.join(options)} &", flush=True)
    service = subprocess.Popen([sys.executable, str(DRIVER), *options])
    try:
        wait_until_it_answers(service, host, port)
        server = (host, str(port))
        rpctool(*server, "list-targets")
        rpctool(*server, "list-methods")
        rpctool(*server, "call", "-t", "lda", "set_attenuation", "5")
        rpctool(*server, "call", "-t", "lda", "get_attenuation")
        array = "np.array([1.0, 2.0], dtype=float)"
        rpctool(*server, "call", "-t", "lda", "load_sample_values", array)
        script = SCRIPT.format(host=host, port=port)
        print(f"$ python << 'END'\n{script}END")
        run("-c", script)
        rpctool(*server, "call", "-t", "lda", "terminate")
        service.wait(PATIENCE)
        print("the service has ended")
    finally:
        if service.poll() is None:
            service.kill()
        service.wait()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except subprocess.CalledProcessError as exc:
        sys.exit(f"the command failed with status {exc.returncode}")
