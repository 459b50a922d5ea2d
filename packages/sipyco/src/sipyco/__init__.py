"""Simple Python Communications: networked Python programs for laboratories.

The modules are those of the distributions `sipyco-pyon`, `sipyco-rpc`, `sipyco-sync` and
`sipyco-tools`, under their historical names. Nothing is loaded before it is used.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Final

__version__ = "2.0.0"

_MODULES: Final = frozenset(
    {
        "arguments",
        "asyncio_tools",
        "broadcast",
        "common_args",
        "fire_and_forget",
        "keepalive",
        "logging_tools",
        "logs",
        "packed_exceptions",
        "pc_rpc",
        "pyon",
        "pyon_v1",
        "sipyco_rpctool",
        "sync_struct",
        "test",
        "tools",
    }
)


def __getattr__(name: str) -> ModuleType:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
