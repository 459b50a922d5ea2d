"""Whatever of the public modules connects or listens is in the matrix."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from matrix import test_matrix
from matrix.component import COVERED
from sipyco_rpc.net.keepalive import async_open_connection, create_connection
from sipyco_rpc.net.listener import Listener
from sipyco_rpc.net.server import AsyncioServer
from sipyco_rpc.pc_rpc import serve, serve_in_thread
from sipyco_rpc.support.validation import format_address
from sipyco_sync.remote_exec import connect_global_rpc
from sipyco_tools.logging_tools import forward_logs

__all__ = ["test_matrix"]  # it loads all rows

PACKAGES = ("sipyco_pyon", "sipyco_rpc", "sipyco_sync", "sipyco_tools")

NOT_IN_IT: dict[object, str] = {
    Listener: "it is what `AsyncioServer` and the servers of RPC are derived from",
    AsyncioServer: "it is what the servers of the matrix are derived from",
    async_open_connection: "what asyncio clients connect with; it knows no conversation",
    create_connection: "what blocking clients connect with; it knows no conversation",
    format_address: "it only writes it",
    forward_logs: "it makes a `LogForwarder` that has a thread, as `LogsOfScript` has it",
    serve: "it runs a `Server` as `simple_server_loop` does",
    serve_in_thread: "it runs a `Server` as `simple_server_loop` does",
    connect_global_rpc: "it has a `Client` made elsewhere, always without TLS",
}


def public_modules() -> Iterator[ModuleType]:
    for package in map(importlib.import_module, PACKAGES):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if "._" not in info.name:
                yield importlib.import_module(info.name)


def takes_an_address(function: Any) -> bool:
    try:
        return {"host", "port"} <= set(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return False  # it is no function, or one without a signature


def connects_or_listens(thing: object) -> bool:
    methods = [getattr(thing, name) for name in dir(thing) if not name.startswith("_")]
    return takes_an_address(thing) or (
        inspect.isclass(thing) and any(map(takes_an_address, methods))
    )


def test_whatever_connects_or_listens_is_in_the_matrix() -> None:
    found = {
        thing
        for module in public_modules()
        for thing in (getattr(module, name) for name in getattr(module, "__all__", ()))
        if connects_or_listens(thing)
    }
    assert found - COVERED - set(NOT_IN_IT) == set(), "add a row: see CONTRIBUTING"
    assert set(NOT_IN_IT) - found == set(), "they are there no more"
    assert COVERED & set(NOT_IN_IT) == set()


def test_what_connects_or_listens_is_found() -> None:
    class Listens:
        async def start(self, host: str, port: int) -> None: ...

    def connect(host: str, port: int) -> None: ...

    assert connects_or_listens(Listens)
    assert connects_or_listens(connect)
    assert not connects_or_listens(ModuleType)
    assert not connects_or_listens("port")
