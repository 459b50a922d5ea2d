"""What a process tells of itself, and its components that tell what they do. No protocol here."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import ref

from sipyco_rpc.support.quoting import short_message

if TYPE_CHECKING:
    import asyncio

__all__ = [
    "Component",
    "bound_addresses",
    "component_status",
    "process_status",
    "register",
    "versions",
]

KINDS: Final = ("publishers", "broadcasters", "log_servers", "log_forwarders")

_PACKAGES: Final = ("numpy", "sipyco", "sipyco_pyon", "sipyco_rpc", "sipyco_sync", "sipyco_tools")


class Component(Protocol):
    """A part of a program that tells what it does."""

    def status(self) -> dict[str, Any]:
        """Return plain values, by names that say their units. It is called in any thread."""


# By the identity of the component, in the order in which they were made.
_components: dict[int, tuple[str, ref[Component]]] = {}


def register(kind: str, component: Component) -> None:
    """Have the status of the process tell about a component, as long as that is there.

    Args:
        kind: "publishers", "broadcasters", "log_servers" or "log_forwarders".
        component: is held weakly.
    """
    if kind not in KINDS:
        raise ValueError(f"a kind of component is one of {', '.join(KINDS)}, got {kind!r}")
    key = id(component)
    forget = _components.pop  # when the interpreter ends, the module may be gone before the object
    _components[key] = kind, ref(component, lambda _: forget(key, None))


def component_status() -> dict[str, list[dict[str, Any]]]:
    """Return the status of all components of the process, in lists by their kinds."""
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for kind, weak in list(_components.values()):
        component = weak()
        if component is not None:
            found[kind].append(_status_of(component))
    return found


def _status_of(component: Component) -> dict[str, Any]:
    try:
        return component.status()
    except Exception as exc:  # noqa: BLE001  (one that cannot tell must not hide the others)
        return {"error": f"{type(exc).__name__}: {short_message(exc)}"}


def bound_addresses(server: asyncio.Server | None) -> list[dict[str, Any]]:
    """Return where a server listens."""
    sockets = () if server is None else server.sockets
    names = [sock.getsockname() for sock in sockets]
    return [{"host": name[0], "port": name[1]} for name in names]


def process_status() -> dict[str, Any]:
    """Return what there is to know of this process.

    Returns:
        `pid`; `host`, the name of the computer; `program`, its path; `user`; `cpu_seconds`, of
        processors; `threads`, how many; `memory_bytes` and `memory_peak_bytes`, what is resident
        of it. What the system does not tell is None.
    """
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "program": sys.argv[0] if sys.argv else sys.executable,
        "user": _or_none(_user),
        "cpu_seconds": time.process_time(),
        "threads": threading.active_count(),
        "memory_bytes": _or_none(_resident),
        "memory_peak_bytes": _or_none(_peak),
    }


def versions() -> dict[str, Any]:
    """Return the versions of Python, and of what is loaded of SiPyCo and NumPy.

    `platform` is the operating system, its version, and the kind of processor.
    """
    import platform

    found = {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": " ".join([platform.system(), platform.release(), platform.machine()]),
    }
    for name in _PACKAGES:
        version = getattr(sys.modules.get(name), "__version__", None)
        if isinstance(version, str):
            found[name] = version
    return found


def _or_none(value: Callable[[], Any]) -> Any:
    try:
        return value()
    except Exception:  # noqa: BLE001  (systems and containers lack what they like)
        return None


def _user() -> str:
    import getpass

    return getpass.getuser()


def _resident() -> int:
    with open("/proc/self/statm", "rb") as file:
        pages = int(file.read().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _peak() -> int:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes there, KiB elsewhere
