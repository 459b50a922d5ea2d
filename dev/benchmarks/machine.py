"""What figures depend on: the machine, Python, the versions of packages. No names of hosts."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import sipyco_pyon

__all__ = ["describe", "is_compiled"]

_PACKAGES: Final = (
    "sipyco-pyon",
    "sipyco-rpc",
    "sipyco-sync",
    "numpy",
    "pybase64",
    "pyzmq",
    "Pyro5",
    "rpyc",
    "zerorpc",
    "grpcio",
)


def is_compiled() -> bool:
    """Tell whether the serializer runs compiled."""
    return bool(getattr(sipyco_pyon, "compiled", False))


def _cpu() -> str:
    """Return the family of the processor, as far as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            pass  # its absence is said where its figure would be
    return versions


def describe() -> dict[str, Any]:
    """Return all of it, as JSON can write it."""
    return {
        "cores": os.cpu_count(),
        "cpu": _cpu(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {sys.version.split()[0]}",
        "compiled": is_compiled(),
        "versions": _versions(),
    }
