"""Fork safety: connections end in a child; and objects that refuse to be copied or pickled.

A process that is forked (by `os.fork`, or by `multiprocessing` where it does so) has a copy of
each descriptor. Two processes that use one connection take each other's messages. So connections
end in the child, without a byte to the peer, and go on in the parent.
"""

from __future__ import annotations

import os
import socket

from sipyco_rpc._compat import epoll_selector

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from types import MethodType
    from typing import Any, NoReturn
    from weakref import ref

__all__ = ["after_fork_in_child", "belongs_to_parent", "leave_descriptor", "not_copyable"]

_process = _parent = os.getpid()
_dead: socket.socket | None = None  # stands in for connections, while a fork is dealt with

# By the identity of the object, which may be of a class that has no hashes, and the function: a
# class derived from two of ours has two of them.
_methods: dict[
    tuple[int, Callable[..., Any]],
    tuple[ref[Any], Callable[[Any], asyncio.AbstractEventLoop | None]],
] = {}


def after_fork_in_child(method: Callable[[], asyncio.AbstractEventLoop | None]) -> None:
    """Have a method called in each child that is forked, as long as its object is there.

    No thread but the one that forked exists in the child, and locks may be held by others: the
    method has to make new ones. It must not wait for anything, and must not log.

    Args:
        method: a bound method. It returns the event loop in which the object was used, if any:
            that loop is shared with the parent, and stops as soon as the child runs it.
    """
    from weakref import ref  # whoever has a connection can wait for it to be loaded

    bound: MethodType = method  # type: ignore[assignment]
    key = id(bound.__self__), bound.__func__
    forget = _methods.pop  # when the interpreter ends, the module may be gone before the object
    _methods[key] = ref(bound.__self__, lambda _: forget(key, None)), bound.__func__


def belongs_to_parent(what: str, advice: str) -> str:
    """Say in the child why something cannot be used there, and what to do."""
    return f"{what} belongs to process {_parent}, from which this one was forked: {advice}"


def leave_descriptor(holder: Any) -> None:
    """Close the child's copy of a connection that an event loop holds, and keep its number taken.

    What stands in for it has ended, so whoever still holds the number does no harm.

    Args:
        holder: a transport, or what else has `fileno`; None for nothing.
    """
    global _dead
    transport: Any = None
    if hasattr(holder, "get_extra_info"):
        transport = holder
        holder = transport.get_extra_info("socket") or transport.get_extra_info("pipe")
    if holder is None:
        return
    try:
        number = holder.fileno()
    except (OSError, ValueError):
        return  # a file that is closed
    if number < 0 or (transport is not None and not _is_of(transport, number)):
        return
    try:
        if _dead is None:
            _dead, other = socket.socketpair()
            other.close()
        os.dup2(_dead.fileno(), number, inheritable=False)
    except OSError:
        os.close(number)  # there is no descriptor left


def _is_of(transport: Any, number: int) -> bool:
    """Tell whether a descriptor is still that of a connection.

    uvloop tells the number also when it has been closed, and may be something else.
    """
    try:
        names = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
    except OSError:
        return True  # uvloop's pipes
    if not names[1]:
        return True
    try:
        sock = socket.socket(fileno=number)
        try:
            own = sock.getsockname(), sock.getpeername()
        finally:
            sock.detach()
    except OSError:
        return False
    return all(a[:2] == b[:2] for a, b in zip(own, names, strict=True))


def _leave_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Keep the child from what the parent waits for, and from running the loop."""
    if loop.is_closed():
        return
    selector = epoll_selector(loop)
    if selector is not None:
        import select

        # The system has one set of descriptors for both processes: to close the loop, as the
        # garbage collector does, would take the parent's own out of it.
        with select.epoll() as empty:
            os.dup2(empty.fileno(), selector.fileno(), inheritable=False)
    try:
        loop.call_soon(_stop_loop, loop)
    except RuntimeError:
        pass  # it runs in a thread that does not exist here, and is in debug mode


def _stop_loop(loop: asyncio.AbstractEventLoop) -> None:
    import logging

    text = belongs_to_parent("the event loop", "run another one in this process (`asyncio.run`)")
    logging.getLogger("sipyco.tools").error("%s", text)
    loop.stop()


def _leave_all() -> None:
    global _process, _parent, _dead
    _parent, _process = _process, os.getpid()
    loops = {}
    failures = []
    for reference, method in list(_methods.values()):
        holder = reference()
        if holder is None:
            continue
        try:
            loop = method(holder)
            if loop is not None:
                loops[id(loop)] = loop
        except Exception as exc:  # noqa: BLE001  (the others are to be left all the same)
            failures.append(exc)
    for loop in loops.values():
        try:
            _leave_loop(loop)
        except Exception as exc:  # noqa: BLE001  (no descriptor is left, perhaps)
            failures.append(exc)
    if loops:
        import signal

        # Signals of the child would be taken for the parent's. Since 3.12 asyncio does this.
        try:
            signal.set_wakeup_fd(-1)
        except ValueError:
            pass  # a subinterpreter has none
    if _dead is not None:
        _dead.close()
        _dead = None
    if failures:
        raise failures[0]  # Python prints it


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_leave_all)


def not_copyable(advice: str) -> Callable[[Any], NoReturn]:
    """Make a method `__reduce__` for a class whose objects `copy` and `pickle` have to refuse.

    Args:
        advice: why that is, and what to do.
    """

    def __reduce__(self: object) -> NoReturn:
        kind = type(self).__name__.lstrip("_")
        raise TypeError(f"`{kind}` cannot be copied or pickled: {advice}")

    return __reduce__
