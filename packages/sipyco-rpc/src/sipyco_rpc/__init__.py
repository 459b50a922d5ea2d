"""Remote procedure calls over TCP, optionally TLS.

The names of `sipyco_rpc.pc_rpc` can be imported from here. Nothing is loaded before it is used.
"""

from __future__ import annotations

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from sipyco_rpc.pc_rpc import *  # noqa: F403

__version__ = "2.0.0"


if not TYPE_CHECKING:  # type checkers would take it to give every name, and look no further

    def __getattr__(name):
        import importlib

        pc_rpc = importlib.import_module("sipyco_rpc.pc_rpc")
        if name not in pc_rpc.__all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(pc_rpc, name)


def __dir__() -> list[str]:
    import importlib

    return sorted({*globals(), *importlib.import_module("sipyco_rpc.pc_rpc").__all__})
