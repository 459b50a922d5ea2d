"""Docstrings describe the parameters that there are, one by one: the reference is made of them.

The documentation takes type and default of a parameter from its signature, by its name. A line for
two of them is the name of neither, and shows as a parameter that is required and has no type.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import pytest

PACKAGES = ["sipyco_pyon", "sipyco_rpc", "sipyco_sync", "sipyco_tools"]
ELSEWHERE = {"sipyco_tools._pipes.windows"}  # it needs what asyncio has on Windows only
ENTRY = re.compile(r"^ {4}(\S.*)$", re.MULTILINE)


def modules(package: str) -> list[str]:
    path = importlib.import_module(package).__path__
    names = [found.name for found in pkgutil.walk_packages(path, f"{package}.")]
    return [name for name in names if name not in ELSEWHERE and not name.endswith("__main__")]


def documented(package: str) -> Iterator[tuple[str, Any]]:
    """Give each class, function and method that a package defines, with its public name."""
    seen = set()
    for module in modules(package):
        for owner in vars(importlib.import_module(module)).values():
            name = str(getattr(owner, "__module__", None))
            if name.partition(".")[0] != package or not callable(owner) or owner in seen:
                continue
            seen.add(owner)
            yield f"{name}.{owner.__qualname__}", owner
            if inspect.isclass(owner):
                for method in vars(owner).values():
                    function = getattr(method, "__func__", method)  # of a class or static method
                    if inspect.isfunction(function):
                        yield f"{name}.{function.__qualname__}", function


def entries(docstring: str, section: str) -> list[str]:
    """Return the names that a section describes, as they are written."""
    found = re.search(
        rf"^{section}:\n((?:(?: {{4}}.*)?\n)*)", inspect.cleandoc(docstring) + "\n", re.MULTILINE
    )
    return [line.partition(":")[0] for line in ENTRY.findall(found[1])] if found else []


def parameters(owner: Any) -> list[str]:
    """Return the parameters of a function or class, as a docstring has them."""
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    function = owner.__init__ if inspect.isclass(owner) else inspect.unwrap(owner)
    found = inspect.signature(function).parameters.values()
    return [stars.get(p.kind, "") + p.name for p in found if p.name not in ("self", "cls")]


def docstring_of(owner: Any) -> str:
    """Return what its own source says: that of an object may be computed, or inherited."""
    docstring = vars(owner).get("__doc__") if inspect.isclass(owner) else owner.__doc__
    return docstring if isinstance(docstring, str) else ""


@functools.cache
def exported(package: str) -> set[str]:
    """Return where everything is defined that is in the `__all__` of a public module."""
    public = [name for name in modules(package) if "._" not in name]
    found = [importlib.import_module(name) for name in public]
    offered = [(module, name) for module in found for name in getattr(module, "__all__", ())]
    objects = [getattr(module, name) for module, name in offered]
    return {f"{o.__module__}.{o.__qualname__}" for o in objects if hasattr(o, "__qualname__")}


def is_public(name: str, owner: Any) -> bool:
    if any(part.startswith("_") for part in owner.__qualname__.split(".")):
        return False
    known = exported(name.partition(".")[0])
    return name in known or name.rpartition(".")[0] in known


def faults(name: str, owner: Any, public: bool) -> Iterator[str]:
    docstring = docstring_of(owner)
    for entry in entries(docstring, "Attributes"):
        if not entry.isidentifier():
            yield f"{name}: `{entry}` is not the name of one attribute"
    described = entries(docstring, "Args")
    if not described:
        return
    there = parameters(owner)
    for entry in described:
        if entry not in there:
            yield f"{name}: `{entry}` is not the name of one parameter; there are {there}"
    if public:
        for parameter in there:
            if parameter not in described:
                yield f"{name}: `{parameter}` is not described, and others are"


@pytest.mark.parametrize("package", PACKAGES)
def test_each_parameter_is_described_for_itself(package: str) -> None:
    checked = [name for name, owner in documented(package) if entries(docstring_of(owner), "Args")]
    assert len(checked) > 5
    assert sum(is_public(name, owner) for name, owner in documented(package)) > 5
    assert [
        fault
        for name, owner in documented(package)
        for fault in faults(name, owner, is_public(name, owner))
    ] == []


def good(first: int, *rest: int, last: int = 0) -> None:
    """Do.

    Args:
        first: one: with a colon, and,
            more: of it.
        *rest: others.
        last: the last.

    Returns:
        first, last: both.
    """


def shared(first: int, last: int) -> None:
    """Do.

    Args:
        first, last: both.
    """


def missing(first: int, last: int) -> None:
    """Do.

    Args:
        first: it.
    """


class Shared:
    """It is.

    Args:
        first: it.

    Attributes:
        second, third: both.
    """

    def __init__(self, first: int) -> None:
        pass


@pytest.mark.parametrize(("owner", "number"), [(good, 0), (shared, 3), (missing, 1), (Shared, 1)])
def test_the_test_finds_what_it_is_for(owner: Any, number: int) -> None:
    assert len(list(faults("name", owner, public=True))) == number
