"""What carries the bytes in tests: plain TCP, and both forms of TLS.

A transport is one entry of `TRANSPORTS`: what the end that listens and the end that connects are
given, as keyword arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import pytest

from sipyco_rpc.net.tls import SimpleSSLConfig
from support.certificates import paths_of


class Ends(NamedTuple):
    """Keyword arguments for both ends of a connection."""

    listening: dict[str, Any]
    connecting: dict[str, Any]


def _plain() -> Ends:
    return Ends({}, {})


def _trusting_certificates() -> Ends:
    listening, connecting = (
        {"ssl_config": SimpleSSLConfig(**paths_of(*names))}
        for names in (("server", "client"), ("client", "server"))
    )
    return Ends(listening, connecting)


def _verifying_the_host() -> Ends:
    return Ends(paths_of("server", "client"), paths_of("client", "server"))


TRANSPORTS: Final[dict[str, Callable[[], Ends]]] = {
    "tcp": _plain,
    "ssl_config": _trusting_certificates,
    "local_cert": _verifying_the_host,
}

every_transport = pytest.mark.parametrize("transport", TRANSPORTS)
secured = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
