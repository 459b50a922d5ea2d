"""A fixture for pytest that starts drivers as processes: `start_driver`.

Switch it on in `conftest.py`, at the top of the tests:

    pytest_plugins = ["sipyco_rpc.pytest_plugin"]

A test then says what to run, and gets a client:

    def test_the_voltage_is_set(start_driver):
        supply = start_driver([sys.executable, "-m", "supply", "--simulation"])
        supply.set_voltage(2)
        assert supply.get_voltage() == 2
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

import pytest

from sipyco_rpc.net.tls import SimpleSSLConfig
from sipyco_rpc.pc_rpc import AutoTarget, Client
from sipyco_rpc.support.quoting import excerpt
from sipyco_rpc.testing import DriverProcess

__all__ = ["StartDriver"]  # pytest finds the fixture without

_TIMEOUT: Final = 10.0  # seconds; a test that hangs tells nobody why


class StartDriver(Protocol):
    """What the fixture `start_driver` gives."""

    def __call__(
        self,
        command: str | Sequence[str],
        port: int = 0,
        target_name: Any = AutoTarget,
        timeout: float | None = _TIMEOUT,
        ssl_config: SimpleSSLConfig | None = None,
    ) -> Client:
        """Start a driver and connect to it as soon as it answers. It is stopped after the test.

        Args:
            command: the program and its arguments, or one string as for a shell. `{port}` in it
                stands for the port, and `{port_file}` for a file to which the driver writes it. If
                neither is there, `--port 0 --port-file PATH` is added, for programs with the
                common options.
            port: TCP port on localhost; 0 for one that is free.
            target_name: the target to select.
            timeout: of the client, in seconds; None for none.
            ssl_config: for TLS.

        Raises:
            AssertionError: the driver ended or did not answer; its last output is in the text.
        """


@pytest.fixture
def start_driver() -> Iterator[StartDriver]:
    """Start drivers as processes, and stop them after the test; see `StartDriver`."""
    drivers: list[DriverProcess] = []

    def start(
        command: str | Sequence[str],
        port: int = 0,
        target_name: Any = AutoTarget,
        timeout: float | None = _TIMEOUT,
        ssl_config: SimpleSSLConfig | None = None,
    ) -> Client:
        words = shlex.split(command) if isinstance(command, str) else command
        driver = DriverProcess(excerpt(shlex.join(words)), words, port)
        client = driver.connect(target_name, timeout, ssl_config)
        drivers.append(driver)
        return client

    yield start
    for driver in drivers:
        driver.stop()
