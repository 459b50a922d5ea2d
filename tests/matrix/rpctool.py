"""The row of `sipyco_rpctool`, in this process: each of its runs is a connection."""

from __future__ import annotations

import asyncio
import io
from contextlib import redirect_stdout
from typing import Any
from unittest import mock

from matrix.component import row
from matrix.rpc import Served
from sipyco_pyon import pyon
from sipyco_tools import sipyco_rpctool
from support.certificates import paths_of
from support.peers import HOST


@row(sipyco_rpctool.main)
class Command(Served):
    """It shows what a generator gives; it has one form of TLS, which goes with both of servers."""

    dialect: str
    slow = ("down",)

    async def connect(self, port: int, tls: dict[str, Any]) -> None:
        paths = paths_of("client", "server").values()
        options = ["--ssl", *paths] if tls else []
        self.arguments = [*options, "--json", HOST, str(port), "call", "-t", "t", "plain_items"]

    async def carry(self, values: list[Any]) -> list[Any]:
        self.target.kept = values
        shown = await asyncio.to_thread(self.run)
        return [pyon.decode(line)["result"] for line in shown.splitlines()]

    def run(self) -> str:
        with (
            mock.patch("sys.argv", ["sipyco_rpctool", *self.arguments]),
            redirect_stdout(io.StringIO()) as output,
        ):
            try:
                sipyco_rpctool.main()
            except SystemExit as exc:
                raise ConnectionError(f"it has ended with status {exc.code}") from exc
        return output.getvalue()
