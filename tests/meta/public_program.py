"""Everything of the library, in a Python that has nothing but what is public: run as a program.

    public_program.py HOW

What is private to other modules is hidden from the library's: names of modules, attributes of
objects, the module `_json`. HOW is `absent`, or `refusing`: then what is private is there, and
refuses whatever is done with it.
"""

from __future__ import annotations

import asyncio
import builtins
import gc
import importlib
import json
import pkgutil
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

PACKAGES = ("sipyco_pyon", "sipyco_rpc", "sipyco_sync", "sipyco_tools", "sipyco")
ELSEWHERE = {"sipyco_tools._pipes.windows"}

absent = sys.argv[1] == "absent"
real_import, real_getattr = builtins.__import__, getattr


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


class Refusing:
    """A class or a function, an attribute or a constructor that is no longer as it was."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("this is private")

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def private(name: str) -> Any:
    if absent:
        raise AttributeError(f"`{name}` is private")
    return Refusing()


class Public(types.ModuleType):
    """A module without its private names."""

    def __init__(self, module: types.ModuleType) -> None:
        super().__init__(module.__name__)
        self.__module = module
        if module is builtins:  # whose names are looked through
            self.__dict__.update(vars(builtins))

    def __getattr__(self, name: str) -> Any:
        if is_private(name):
            return private(f"{self.__name__}.{name}")
        value = real_getattr(self.__module, name)
        return Public(value) if isinstance(value, types.ModuleType) else value


def import_public(
    name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
) -> Any:
    module = real_import(name, globals, locals, fromlist, level)
    importing = str((globals or {}).get("__name__"))
    if not importing.startswith(PACKAGES) or name.startswith(PACKAGES) or name == "__future__":
        return module
    return Public(module)


def getattr_public(value: Any, name: str, *default: Any) -> Any:
    if is_private(name):
        if absent and default:
            return default[0]
        return private(name)
    return real_getattr(value, name, *default)


if absent:
    sys.modules["_json"] = None  # type: ignore[assignment]
else:
    assert json.loads(json.dumps([1])) == [1]  # it has its own parts, as each Python has
    sys.modules["_json"] = refusing = types.ModuleType("_json")
    for name in ("make_scanner", "make_encoder", "encode_basestring", "encode_basestring_ascii"):
        setattr(refusing, name, Refusing())

builtins.__import__ = import_public
import sipyco_rpc._compat  # noqa: E402

sipyco_rpc._compat.getattr = getattr_public  # type: ignore[attr-defined]

modules = [importlib.import_module(package) for package in PACKAGES]
for package in modules:
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if found.name not in ELSEWHERE and not found.name.endswith("__main__"):
            importlib.import_module(found.name)

from sipyco import pyon, pyon_v1  # noqa: E402
from sipyco.pc_rpc import AsyncioClient, Client, Server, SimpleSSLConfig  # noqa: E402
from sipyco.sync_struct import Notifier, Publisher, Subscriber  # noqa: E402
from support.certificates import identity, paths_of  # noqa: E402

HOST = "127.0.0.1"


class Target:
    def echo(self, x: Any, *, times: int = 1) -> Any:
        """Return it."""
        return x

    async def wait(self, x: Any) -> Any:
        await asyncio.sleep(0)
        return x

    def count(self, number: int) -> Any:
        yield from range(number)

    def fail(self) -> None:
        raise LookupError("nothing there")


def values() -> list[Any]:
    found: list[Any] = [
        *(None, True, -1, 10**5000, 0.5, float("inf"), 1 - 2j, "h\u00e9\n\U0001f600", b"\0\xff"),
        *([1, [2, {"a": None}]], (1, (2,)), {1: "a", (2,): {3}}, slice(1, None, 2)),
        *({"a": list(range(100))}, bytes(range(256)) * 1000, "x" * 100_000),
    ]
    try:
        import numpy as np
    except ImportError:
        return found
    return [*found, np.arange(100_000.0).reshape(10, -1), np.float32(1.5), np.array([1 + 2j])]


def same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and (bool((a == b).all()) if hasattr(a, "all") else bool(a == b))


def use_client(port: int, **tls: Any) -> None:
    with Client(HOST, port, "t", 20, **tls) as client:
        for value in values():
            assert same(client.echo(value, times=2), value)
            assert same(client.wait(value), value)
        assert list(client.count(5)) == [0, 1, 2, 3, 4]
        listing = client.get_rpc_method_list()
        assert listing["methods"]["echo"][0]["kwonlydefaults"] == {"times": 1}
        assert client.echo.__doc__ == "Return it."
        with pytest.raises(LookupError, match="nothing there"):
            client.fail()


async def use_rpc(serving: dict[str, Any], asking: dict[str, Any]) -> AsyncioClient:
    server, later = Server({"t": Target()}), AsyncioClient()
    await server.start(HOST, 0, **serving)
    assert server.server is not None
    port = server.server.sockets[0].getsockname()[1]
    await asyncio.to_thread(use_client, port, **asking)
    async with AsyncioClient() as client:
        await client.connect_rpc(HOST, port, "t", **asking)
        for value in values():
            assert same(await client.echo(value), value)
        assert [item async for item in await client.count(3)] == [0, 1, 2]
    await later.connect_rpc(HOST, port, "t", **asking)
    assert await later.echo(1) == 1
    await server.stop()
    return later


async def use_sync() -> None:
    notifier = Notifier({"a": [1]})
    publisher = Publisher({"n": notifier})
    await publisher.start(HOST, 0)
    assert publisher.server is not None
    changed = asyncio.Event()
    copies: list[Any] = []

    def take(struct: Any) -> Any:
        copies.append(struct)
        return struct

    subscriber = Subscriber("n", take, lambda mod: changed.set())
    await subscriber.connect(HOST, publisher.server.sockets[0].getsockname()[1])
    await changed.wait()
    changed.clear()
    notifier["a"].append((2, 3))
    await changed.wait()
    assert copies[-1] == {"a": [1, (2, 3)]}
    await subscriber.close()
    await publisher.stop()


for value in values():
    assert same(pyon.decode(pyon.encode(value)), value)
    assert same(pyon.decode(pyon.encode(value, pretty=True)), value)
    if type(value) is not str:
        assert same(pyon_v1.decode(pyon_v1.encode(value)), value)

own, other = identity("client"), identity("server")
warnings.simplefilter("error")
warnings.simplefilter("ignore", ResourceWarning)  # of what is left to asyncio
for serving, asking in (
    ({}, {}),
    (paths_of("server", "client"), paths_of("client", "server")),
    (
        {"ssl_config": SimpleSSLConfig(other.cert, other.key, own.cert)},
        {"ssl_config": SimpleSSLConfig(own.cert, own.key, other.cert)},
    ),
):
    client = asyncio.run(use_rpc(serving, asking))
    client.close_rpc().close()  # its loop is closed
    del client
    gc.collect()
asyncio.run(use_sync())
print("all of it works")
