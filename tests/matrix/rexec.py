"""The row of remote execution, and of the functions that serve until they are told to stop."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

from matrix.component import Component, row
from sipyco_rpc.pc_rpc import Client, simple_server_loop
from sipyco_sync.remote_exec import RemoteExecServer, simple_rexec_server_loop
from support.peers import DEADLINE, HOST, until
from support.programs import free_port


class Driver:
    def echo(self, value: Any) -> Any:
        return value


@row(RemoteExecServer, simple_rexec_server_loop, simple_server_loop)
class RemoteExecution(Component):
    """Code that a `Client` has put into a server, which has a thread of its own."""

    slow = ("up", "down")

    async def listen(self, tls: dict[str, Any]) -> int:
        self.port = free_port()
        self.loop = type(asyncio.get_running_loop())()
        self.thread = threading.Thread(target=self.serve, kwargs=tls)
        self.thread.start()
        await asyncio.to_thread(until, self.is_listening)
        return self.port

    def serve(self, **tls: Any) -> None:
        simple_rexec_server_loop("driver", Driver(), HOST, self.port, loop=self.loop, **tls)
        self.loop.close()

    def is_listening(self) -> bool:
        with socket.socket() as sock:
            return sock.connect_ex((HOST, self.port)) == 0

    async def connect(self, port: int, tls: dict[str, Any]) -> None:
        self.tls = tls
        self.client: Any = await asyncio.to_thread(Client, HOST, port, "driver_rexec", **tls)
        code = "def echo(value): return controller_driver.echo(value)"
        await asyncio.to_thread(self.client.add_code, code)

    async def carry(self, values: list[Any]) -> list[Any]:
        def calls() -> list[Any]:
            return [self.client.call("echo", value) for value in values]

        return await asyncio.to_thread(calls)

    async def disconnect(self) -> None:
        await asyncio.to_thread(self.client.close_rpc)

    async def stop(self) -> None:
        await asyncio.to_thread(self.terminate)

    def terminate(self) -> None:
        with Client(HOST, self.port, "driver", **self.tls) as client:
            client.terminate()
        self.thread.join(DEADLINE)
        assert not self.thread.is_alive()
