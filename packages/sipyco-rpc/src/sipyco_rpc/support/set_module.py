"""A decorator that gives what a public module offers the address of that module.

What is written in a private room is found elsewhere by programs. The public address is what a
peer reads in an exception and what a pickle holds, so it must last when a file moves.
"""

from __future__ import annotations

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

__all__ = ["set_module"]


def set_module(name: str) -> Callable[[T], T]:
    """Return a decorator for a class or function that programs import from another module.

    `inspect.getsource` then finds the methods of a class, and the class itself no more.

    Args:
        name: the module from which they import it.
    """

    def decorate(thing: T) -> T:
        thing.__module__ = name
        return thing

    return decorate
