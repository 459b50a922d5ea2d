"""The options of servers, for functions that pass them on. Nothing is done with them here."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias, TypedDict

from sipyco_rpc._server.server import Server

# Is called with a server that listens; what it returns is awaited if it can be.
Ready: TypeAlias = Callable[[Server], object]


class _CommonOptions(TypedDict, total=False):
    builtin_terminate: bool
    threaded: bool
    max_line: int
    plain_float64: bool
    frames: bool
    allowed_methods: Mapping[str, Iterable[str]] | None
    properties: bool | Mapping[str, bool | Iterable[str]]
    status: bool
    error_log_level: int | None
    max_connections: int | None
    handshake_timeout: float


class ServerOptions(_CommonOptions, total=False):
    """What `Server` takes beside targets and description."""

    allow_parallel: bool


class ServerLoopOptions(_CommonOptions, total=False):
    """What `simple_server_loop` takes by name only, for `**options: Unpack[ServerLoopOptions]`."""

    loop: asyncio.AbstractEventLoop | None
    local_cert: str | None
    local_key: str | None
    peer_cert: str | None
    ready: Ready | None
    port_file: str | os.PathLike[str] | None
    stop_timeout: float | None
