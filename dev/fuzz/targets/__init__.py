"""The entry points: in each module a function `one_input`, which raises if a contract is broken.

They need the library and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Final, NamedTuple

__all__ = ["TARGETS", "Target"]


class Target(NamedTuple):
    """An entry point.

    Attributes:
        summary: what takes the bytes.
        package: the import package that it is in.
    """

    name: str
    summary: str
    package: str

    @property
    def installed(self) -> bool:
        """Whether the package is there: in a minimal environment it may not be."""
        return find_spec(self.package) is not None

    def load(self) -> Callable[[bytes], None]:
        """Return the function that takes one input."""
        function: Callable[[bytes], None] = import_module(
            f"dev.fuzz.targets.{self.name}"
        ).one_input
        return function


_ALL: Final = (
    Target("pyon", "pyon.decode, with buffers and standard types and without", "sipyco_pyon"),
    Target("pyon_v1", "pyon_v1.decode", "sipyco_pyon"),
    Target("frames", "MessageReader and LineReader: lines, frames", "sipyco_rpc"),
    Target("server", "all that a client may send to an RPC server", "sipyco_rpc"),
    Target("session", "all that an RPC server may send to a ClientSession", "sipyco_rpc"),
    Target("server_session", "all that a client may send to a ServerSession", "sipyco_rpc"),
    Target("client", "all that an RPC server may send to a Client", "sipyco_rpc"),
    Target("asyncio_client", "all that an RPC server may send to an AsyncioClient", "sipyco_rpc"),
    Target("mods", "sync_struct: mods as lines, and applied to a structure", "sipyco_sync"),
    Target("subscriber", "all that is sent to a Subscriber or a Receiver", "sipyco_sync"),
    Target("feed_server", "all that is sent to a Publisher or a Broadcaster", "sipyco_sync"),
    Target("log_server", "all that a program may send to a log server", "sipyco_tools"),
    Target("log_parser", "all that a child may write to a LogParser", "sipyco_tools"),
)

TARGETS: Final = {target.name: target for target in _ALL}
