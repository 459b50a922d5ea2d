"""The columns of the matrix: what carries the bytes, and the loops that move them.

A transport is one entry of `TRANSPORTS`: what the end that listens and the end that connects are
given, as keyword arguments. A kind of event loop is one entry of `LOOPS`.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

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


def _uvloop() -> asyncio.AbstractEventLoop:
    pytest.importorskip("uvloop", reason="it is not installed")
    loop: asyncio.AbstractEventLoop = importlib.import_module("uvloop").new_event_loop()
    return loop


TRANSPORTS: dict[str, Callable[[], Ends]] = {
    "tcp": _plain,
    "ssl_config": _trusting_certificates,
    "local_cert": _verifying_the_host,
}

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": _uvloop,
}
