"""Remote procedure calls over TCP, optionally TLS.

The names of `sipyco_rpc.pc_rpc` can be imported from here. Nothing is loaded before it is used.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from types import ModuleType

    from sipyco_rpc.pc_rpc import *  # noqa: F403

__version__ = "2.0.0"


if not TYPE_CHECKING:  # type checkers would take it to give every name, and look no further

    def __getattr__(name):
        pc_rpc = _pc_rpc()
        if name not in pc_rpc.__all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(pc_rpc, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_pc_rpc().__all__})


def _pc_rpc() -> ModuleType:
    import sipyco_rpc.pc_rpc  # noqa: F401

    # While it is being loaded it is no attribute yet, and `__getattr__` would be asked for it.
    return sys.modules["sipyco_rpc.pc_rpc"]
