"""Simple Python Communications: networked Python programs for laboratories.

The modules are those of the distributions `sipyco-pyon`, `sipyco-rpc`, `sipyco-sync` and
`sipyco-tools`, under their historical names. Nothing is loaded before it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sipyco import arguments as arguments
    from sipyco import asyncio_tools as asyncio_tools
    from sipyco import broadcast as broadcast
    from sipyco import common_args as common_args
    from sipyco import fire_and_forget as fire_and_forget
    from sipyco import keepalive as keepalive
    from sipyco import logging_tools as logging_tools
    from sipyco import logs as logs
    from sipyco import packed_exceptions as packed_exceptions
    from sipyco import pc_rpc as pc_rpc
    from sipyco import pipe_ipc as pipe_ipc
    from sipyco import pyon as pyon
    from sipyco import pyon_v1 as pyon_v1
    from sipyco import remote_exec as remote_exec
    from sipyco import sipyco_certs as sipyco_certs
    from sipyco import sipyco_logs as sipyco_logs
    from sipyco import sipyco_logserver as sipyco_logserver
    from sipyco import sipyco_rpctool as sipyco_rpctool
    from sipyco import sync_struct as sync_struct
    from sipyco import test as test
    from sipyco import tools as tools

__version__ = "2.0.0"

if not TYPE_CHECKING:  # type checkers would take it to give every name, and look no further

    def __getattr__(name):
        try:
            return importlib.import_module(f"{__name__}.{name}")
        except ModuleNotFoundError as exc:
            if exc.name != f"{__name__}.{name}":
                raise
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


def __dir__() -> list[str]:
    import pkgutil

    return sorted({*globals(), *(module.name for module in pkgutil.iter_modules(__path__))})
