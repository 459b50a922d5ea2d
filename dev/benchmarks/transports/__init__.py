"""Ways to move calls and arrays between two processes: ours, raw ones, and peers.

A module has a function `serve`, which announces its port and serves for ever, and classes that
drive it from another process: see `driver`.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Final

__all__ = ["PEERS", "TRANSPORTS", "Transport"]


@dataclass(frozen=True)
class Transport:
    """Where a transport is.

    Attributes:
        label: as tables show it.
        module: in this package.
        driver: the class of its client.
        needs: what must be importable.
        serve: the function of its server.
        options: arguments of that function.
    """

    label: str
    module: str
    driver: str
    needs: tuple[str, ...] = ()
    serve: str = "serve"
    options: tuple[object, ...] = ()

    @property
    def missing(self) -> str | None:
        """Say what must be installed first, or None."""
        for name in self.needs:
            if importlib.util.find_spec(name) is None:
                return f"not installed: {name}"
        return None


TRANSPORTS: Final = {
    "client": Transport("sipyco Client", "ours", "BlockingDriver"),
    "asyncio": Transport("sipyco AsyncioClient", "ours", "AsyncioDriver"),
    "parallel": Transport(
        "sipyco AsyncioClient, allow_parallel", "ours", "AsyncioDriver", options=(True,)
    ),
    "raw-asyncio": Transport("raw asyncio.Protocol", "raw_asyncio", "EchoDriver"),
    "raw-threads": Transport("raw threads", "raw_threads", "EchoDriver"),
    "raw-socket": Transport("raw socket", "raw_transfer", "TransferDriver"),
    "multiprocessing": Transport(
        "multiprocessing.connection", "multiprocessing_connection", "ConnectionDriver"
    ),
    "zeromq": Transport("ZeroMQ + pickle 5", "zeromq", "ZeroMQDriver", ("zmq",)),
    "pyro": Transport("Pyro5", "pyro", "PyroDriver", ("Pyro5",)),
    "rpyc": Transport("rpyc classic", "rpyc_classic", "RpycDriver", ("rpyc",)),
    "zerorpc": Transport("zerorpc", "zerorpc_peer", "ZerorpcDriver", ("zerorpc",)),
    "grpc": Transport("gRPC, bytes", "grpc_bytes", "GrpcDriver", ("grpc",)),
}

PEERS: Final = ("zeromq", "pyro", "rpyc", "zerorpc", "grpc")  # what `--peers` adds
