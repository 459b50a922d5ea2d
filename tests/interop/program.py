"""The targets of the server, and the calls of the client, in the recorded conversations."""

from __future__ import annotations

import asyncio
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np


class CustomError(Exception):
    pass


class TwoArgError(Exception):
    def __init__(self, a: Any, b: Any) -> None:
        super().__init__(a, b)


class Echo:
    """Echo target.

    Second paragraph."""

    attribute = 5

    def __init__(self):
        self._n = 0

    def echo(self, x):
        return x

    async def async_echo(self, x):
        """Coroutine."""
        await asyncio.sleep(0)
        return x

    def add(self, a, b=2, *args, c, d: int = 4, **kw) -> str:
        """Docs of add.

        More."""
        return [a, b, args, c, d, kw]

    def none(self):
        return None

    def unserializable(self):
        return object()

    def raise_value(self):
        raise ValueError("bad value")

    def raise_key(self):
        raise KeyError("k")

    def raise_custom(self):
        raise CustomError("custom message")

    def raise_two(self):
        raise TwoArgError(1, "b")

    def raise_unicode(self):
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    def raise_os(self):
        raise FileNotFoundError(2, "No such file", "/x")

    def raise_multiline(self):
        raise RuntimeError("line1\nline2")

    def raise_empty(self):
        raise AssertionError

    def raise_stop(self):
        raise StopIteration(3)

    def raise_group(self):
        raise ExceptionGroup("g", [ValueError(1)])

    def raise_kbd(self):
        raise GeneratorExit

    def exit(self):
        sys.exit(3)

    def _private(self):
        return "private"

    @staticmethod
    def static(x):
        return x

    @classmethod
    def klass(cls):
        return cls.__name__

    class Inner:
        pass

    lam = staticmethod(lambda q: q * 2)

    def big(self, n):
        return "x" * n

    def np_values(self):
        return {
            "a": np.arange(3, dtype="<i4"),
            "s": np.float32(1.5),
            "t": (1, (2,)),
            3: {4},
            "o": OrderedDict([("z", 1)]),
            "f": Fraction(1, 3),
            "c": 1j,
            "b": b"\x00\xff",
        }

    def gen(self):
        yield 1


class Simple:
    def ping(self):
        return True


def server_arguments(kind: str) -> dict[str, Any]:
    """Return the arguments of the server of a conversation."""
    if kind == "rpc1":
        return {
            "targets": {"test": Echo()},
            "description": "a description",
            "builtin_terminate": True,
        }
    return {"targets": {"zeta": Simple(), "alpha": Echo(), "fact": lambda: Simple()}}


def echo_calls(client: Any) -> Iterator[Callable[[], Any]]:
    """Give the calls of the scenario `rpc_calls`, in their order."""
    values = (
        *(1, 2.5, "é\n", None, [1, (2,)], {"k": {1: 2}}, np.arange(2, dtype="<i2")),
        *(np.float64(0.1), {1}, slice(1, 2), 1j, b"\xff"),
    )
    for value in values:
        yield lambda value=value: client.echo(value)
    yield lambda: client.async_echo((1, 2))
    yield lambda: client.add(1, c=3)
    yield lambda: client.add(1, 2, 3, c=4, d=5, e=(6,))
    yield lambda: client.add()
    yield lambda: client.add(1, 2, 3)
    yield lambda: client.none()
    yield lambda: client.np_values()
    for name in (
        *("unserializable", "raise_value", "raise_key", "raise_custom", "raise_two"),
        *("raise_unicode", "raise_os", "raise_multiline", "raise_empty", "raise_stop"),
        *("raise_group", "raise_kbd", "gen", "klass", "_private", "attribute", "nosuch"),
        *("__init__", "Inner"),
    ):
        yield lambda name=name: getattr(client, name)()
    yield lambda: client.static(5)
    yield lambda: client.lam(4)
    yield lambda: client.echo(object())
    yield lambda: client.echo(7)


# In the recorded program these were classes of the script itself.
for _class in (CustomError, TwoArgError, Echo, Echo.Inner):
    _class.__module__ = "__main__"
