"""What programs import says the address at which they import it, wherever it is written.

Peers read that address in exceptions, and pickles hold it: it must last when a file moves.
"""

from __future__ import annotations

import importlib
import inspect
import pickle
import pkgutil
from collections.abc import Iterator
from operator import attrgetter
from types import ModuleType
from typing import Any, get_type_hints

import pytest

from sipyco_rpc.pc_rpc import GenericRemoteException, IncompatibleServer, LineTooLong
from sipyco_rpc.wire.exceptions import pack_exception
from sipyco_rpc.wire.lines import OutOfMemory

PACKAGES = ["sipyco_pyon", "sipyco_rpc", "sipyco_sync", "sipyco_tools"]
BUILDING_BLOCKS = ("sipyco_rpc.net.", "sipyco_rpc.support.", "sipyco_rpc.wire.")


def faces(package: str) -> Iterator[tuple[str, ModuleType]]:
    """Give the public modules of a package that are no building blocks, with their names."""
    found = importlib.import_module(package)
    yield package, found
    for module in pkgutil.walk_packages(found.__path__, f"{package}."):
        if "._" not in module.name and not module.name.startswith(BUILDING_BLOCKS):
            yield module.name, importlib.import_module(module.name)


FACES = {name: module for package in PACKAGES for name, module in faces(package)}
# An alias is the module itself: it is that one's name that its contents have.
OFFERED = {
    f"{module.__name__}.{name}": getattr(module, name)
    for address, module in FACES.items()
    if address == module.__name__
    for name in getattr(module, "__all__", ())
}
DEFINED = {
    name: thing
    for name, thing in OFFERED.items()
    if isinstance(thing, type) or inspect.isroutine(thing)
}


def test_there_is_something_to_check() -> None:
    assert len(DEFINED) > 50
    assert {"sipyco_rpc.pc_rpc.Client", "sipyco_tools.pipe_ipc.ChildComm"} < set(DEFINED)


@pytest.mark.parametrize("name", DEFINED)
def test_it_says_where_programs_find_it(name: str) -> None:
    thing = DEFINED[name]
    address = thing.__module__
    if name.startswith("sipyco_pyon.") and not isinstance(thing, type):
        pass  # a function that may be compiled is left as it is
    elif address.partition(".")[0] == name.partition(".")[0]:
        assert address in FACES
    else:  # it belongs to another distribution
        assert "._" not in address
    assert attrgetter(thing.__qualname__)(importlib.import_module(address)) is thing
    assert pickle.loads(pickle.dumps(thing)) is thing


@pytest.mark.parametrize("name", DEFINED)
def test_its_source_and_its_types_are_still_found(name: str) -> None:
    thing = DEFINED[name]
    if not isinstance(thing, type):
        assert f"def {thing.__name__}(" in inspect.getsource(thing)
        return
    for method in vars(thing).values():
        if inspect.isfunction(method) and method.__module__.startswith("sipyco"):
            assert f"def {method.__name__}(" in inspect.getsource(method)
    get_type_hints(thing)
    try:
        source = inspect.getsource(thing)
    except OSError:
        pass  # Python looks for a class in the module that it names
    else:
        # From Python 3.13 a class with a metaclass keeps the line at which it was written.
        assert f"class {thing.__name__}" in source or type(thing) is not type


@pytest.mark.parametrize(
    ("exc", "message"),
    [
        (IncompatibleServer("no"), "sipyco_rpc.pc_rpc.IncompatibleServer: no"),
        (LineTooLong(3, 5), "sipyco_rpc.pc_rpc.LineTooLong: "),
        (GenericRemoteException("as it was: no"), "as it was: no"),
    ],
)
def test_a_peer_reads_the_public_address(exc: Exception, message: str) -> None:
    packed = pack_exception(exc)
    assert packed["class"] == "GenericRemoteException"
    assert packed["message"].startswith(message)


@pytest.mark.parametrize(
    "exc",
    [
        IncompatibleServer("no"),
        GenericRemoteException("a.B: no"),
        LineTooLong(3, 5),
        OutOfMemory(3, 5),
    ],
    ids=lambda exc: type(exc).__name__,
)
def test_an_exception_can_be_pickled(exc: Exception) -> None:
    copy: Any = pickle.loads(pickle.dumps(exc))
    assert type(copy) is type(exc)
    assert (str(copy), vars(copy)) == (str(exc), vars(exc))
