#!/usr/bin/env python3
"""Start the attenuator's service, and use it as one would from a shell and from a script."""

from __future__ import annotations

import argparse
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from sipyco.pc_rpc import Client

DRIVER = Path(__file__).with_name("lda.py")
PORT = 3253
STARTUP = 30.0  # seconds that the service may take until it answers
PATIENCE = 30.0  # seconds for anything else
KILLED = 128  # what shells add to the number of the signal that ended a program

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


def choose_address(preferred: int) -> tuple[str, int]:
    """Return `::1`, or `127.0.0.1` where there is no IPv6, and a port that is free there."""
    for host, family in [("::1", socket.AF_INET6), ("127.0.0.1", socket.AF_INET)]:
        for port in (preferred, 0):
            try:
                with socket.create_server((host, port), family=family) as sock:
                    return host, sock.getsockname()[1]
            except OSError:
                continue  # the port is taken, or there is no such address
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


def use(service: subprocess.Popen[bytes], host: str, port: int) -> None:
    """Do what a user would do, and end the service."""
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
    status = service.wait(PATIENCE)
    if status != 0:
        raise SystemExit(f"the service ended with status {status}")
    print("the service has ended")


def leave(number: int, frame: FrameType | None) -> None:
    """End the program by an exception, so that the service is ended on the way out."""
    sys.exit(KILLED + number)


def main() -> None:
    """Run the demonstration; it leaves no process behind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "port",
        nargs="?",
        type=int,
        default=PORT,
        help="TCP port; if it is taken, or 0, another one is chosen (default: %(default)d)",
    )
    host, port = choose_address(parser.parse_args().port)
    for name in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), leave)
    options = ["--simulation", "--no-localhost-bind", "--bind", host, "--port", str(port)]
    print(f"$ python examples/lda.py {shlex.join(options)} &", flush=True)
    service = subprocess.Popen([sys.executable, str(DRIVER), *options])
    try:
        use(service, host, port)
    finally:
        service.kill()  # does nothing if it has ended
        service.wait()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(KILLED + signal.SIGINT)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as exc:
        sys.exit(f"a command failed: {exc}")
