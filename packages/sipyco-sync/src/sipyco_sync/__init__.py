"""Structures kept in step between processes, broadcasts, and remote execution.

The names of `sipyco_sync.sync_struct` can be imported from here. Nothing is loaded before it is
used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sipyco_sync.sync_struct import *  # noqa: F403

__version__ = "2.0.0"


if not TYPE_CHECKING:  # type checkers would take it to give every name, and look no further

    def __getattr__(name):
        import importlib

        sync_struct = importlib.import_module("sipyco_sync.sync_struct")
        if name not in sync_struct.__all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(sync_struct, name)


def __dir__() -> list[str]:
    import importlib

    return sorted({*globals(), *importlib.import_module("sipyco_sync.sync_struct").__all__})
