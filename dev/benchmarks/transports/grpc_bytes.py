"""gRPC with a handler for bytes, as it takes no compiled messages: small values are pickled."""

from __future__ import annotations

import pickle
from concurrent import futures
from typing import Any, Final

import grpc
import numpy as np

from dev.benchmarks.child import announce
from dev.benchmarks.transports.driver import HOST, PICKLE, Arrays, Driver

__all__ = ["GrpcDriver", "serve"]

_grpc: Any = grpc
_OPTIONS: Final = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


def serve() -> None:
    """Serve for ever."""
    arrays = Arrays()

    def echo(request: bytes, context: object) -> bytes:
        return pickle.dumps(pickle.loads(request), protocol=PICKLE)

    def take(request: bytes, context: object) -> bytes:
        np.frombuffer(request)
        return b""

    def give(request: bytes, context: object) -> bytes:
        data: bytes = arrays.of(pickle.loads(request)).tobytes()
        return data

    methods = {
        function.__name__: _grpc.unary_unary_rpc_method_handler(function)
        for function in (echo, take, give)
    }
    server = _grpc.server(futures.ThreadPoolExecutor(4), options=_OPTIONS)
    server.add_generic_rpc_handlers((_grpc.method_handlers_generic_handler("target", methods),))
    port = server.add_insecure_port(f"{HOST}:0")
    server.start()
    announce(port)
    server.wait_for_termination()


class GrpcDriver(Driver):
    """One channel."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._channel = self._open()
        self._echo, self._take, self._give = map(self._method, ("echo", "take", "give"))

    def _open(self) -> Any:
        # Its channels to one address would share one connection otherwise.
        options = [*_OPTIONS, ("grpc.use_local_subchannel_pool", 1)]
        return _grpc.insecure_channel(f"{HOST}:{self._port}", options=options)

    def _method(self, name: str, channel: Any = None) -> Any:
        return (channel or self._channel).unary_unary(f"/target/{name}")

    def connect_once(self) -> None:
        with self._open() as channel:
            pickle.loads(self._method("echo", channel)(pickle.dumps(42, protocol=PICKLE)))

    def echo_once(self) -> None:
        pickle.loads(self._echo(pickle.dumps(42, protocol=PICKLE)))

    def up_once(self, array: Any) -> None:
        self._take(array.tobytes())

    def down_once(self, size: int) -> None:
        np.frombuffer(self._give(pickle.dumps(size, protocol=PICKLE)))
