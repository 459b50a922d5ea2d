"""The row of the log server and the handler that forwards to it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import ExitStack
from typing import Any

from matrix.component import Component, row
from sipyco_tools.logging_tools import LogForwarder, Server
from support.feeds import comes_true, port_of
from support.peers import HOST
from support.records import recorded


@row(LogForwarder, Server)
class Logs(Component):
    comes_back = True
    large = (60, 100_000)  # a longer message would be shortened
    slow = ("up",)

    async def listen(self, tls: dict[str, Any]) -> int:
        self.rounds = 0
        self.contexts = ExitStack()
        self.records = self.contexts.enter_context(recorded())
        self.server = Server()
        await self.server.start(HOST, 0, **tls)
        return port_of(self.server)

    async def stop(self) -> None:
        await self.server.stop()
        self.contexts.close()

    async def connect(self, port: int, tls: dict[str, Any]) -> None:
        self.logger = logging.Logger("matrix")  # of its own: nothing of it is left
        self.forwarder = LogForwarder(HOST, port, reconnect_timer=0.001, **tls)
        self.logger.addHandler(self.forwarder)
        await self.start()

    async def start(self) -> None:
        self.forwarder.start()

    async def carry(self, values: list[Any]) -> list[Any]:
        self.records.clear()
        self.rounds += 1
        end = f"end of round {self.rounds}"
        for value in [*values, end]:
            self.logger.info("%s", value)
        # What was sent last is sent again if the connection breaks; what came before it has come
        # by then, or is lost.
        await comes_true(lambda: any(text == end for _, _, text, _ in self.records))
        return [text for name, _, text, _ in self.records if name == "matrix" and text != end]

    async def disconnect(self) -> None:
        await self.forwarder.stop()

    def value(self, number: int, size: int) -> Any:
        return f"{number}\n" + "\n".join(["x" * 5000] * (size // 5000))


@row()
class LogsOfScript(Logs):
    """A forwarder that has a thread, as in a program without a loop."""

    async def start(self) -> None:
        await asyncio.to_thread(self.forwarder.start)
