"""What contains itself cannot be written, and that is what the error says."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from sipyco_pyon import pyon, pyon_v1


class Box:
    def __init__(self, content: Any) -> None:
        self.content = content


class Endless:
    """Written as another one, each time."""

    def __init__(self, depth: int) -> None:
        self.depth = depth


@pytest.fixture(autouse=True)
def boxes() -> Iterator[None]:
    pyon.register([Box], name="Box", encode=lambda box: [box.content], decode=Box)
    try:
        yield
    finally:
        pyon.deregister([Box], "Box")


def in_list() -> Any:
    value: list[Any] = [1]
    value.append(value)
    return value


def in_dict() -> Any:
    value: dict[str, Any] = {"a": 1}
    value["b"] = value
    return value


def in_dict_of_numbers() -> Any:
    value: dict[int, Any] = {1: 1}
    value[2] = [value]
    return value


def in_tuple() -> Any:
    inside: list[Any] = []
    inside.append((inside, 1))
    return inside[0]


def in_ordered_dict() -> Any:
    value: OrderedDict[str, Any] = OrderedDict(a=1)
    value["b"] = {"c": value}
    return value


def in_slice() -> Any:
    inside: list[Any] = []
    inside.append(slice(None, inside))
    return inside[0]


def in_list_of_a_derived_class() -> Any:
    class Derived(list):  # type: ignore[type-arg]
        pass

    value = Derived()
    value.append([value])
    return value


def in_default_dict() -> Any:
    value: defaultdict[str, Any] = defaultdict(list)
    value["a"].append(value)
    return value


def in_box() -> Any:
    box = Box(None)
    box.content = {"a": (box,)}
    return box


def far_inside() -> Any:
    value: Any = in_list()
    for _ in range(50):
        value = [[1, 2], {"a": value}, (3,)]
    return value


BOTH_DIALECTS = [in_list, in_dict, in_dict_of_numbers, in_tuple, in_ordered_dict, in_slice]
EACH = [(make, module) for make in [*BOTH_DIALECTS, far_inside] for module in (pyon, pyon_v1)]
EACH += [(make, pyon) for make in (in_list_of_a_derived_class, in_default_dict, in_box)]


@pytest.mark.parametrize("pretty", [False, True], ids=["compact", "pretty"])
@pytest.mark.parametrize(("make", "module"), EACH)
def test_a_structure_that_contains_itself_is_refused(
    make: Callable[[], Any], module: ModuleType, pretty: bool
) -> None:
    text = r"^a `\w+` contains itself: it cannot be PYON encoded(; it is the value\S+)?$"
    with pytest.raises(ValueError, match=text):
        module.encode(make(), pretty=pretty)


def test_it_is_refused_as_bytes_and_with_buffers_too() -> None:
    with pytest.raises(ValueError, match="a `list` contains itself"):
        pyon.encode_bytes(in_list(), end="\n")
    with pytest.raises(ValueError, match="a `list` contains itself"):
        pyon.encode(in_list(), buffer_callback=print)
    with pytest.raises(ValueError, match="a `Box` contains itself"):
        pyon.encode(in_box(), default=str)


def test_the_type_of_what_contains_itself_is_named() -> None:
    with pytest.raises(ValueError, match="a `dict` contains itself"):
        pyon.encode([1, (2, in_dict())])


@pytest.mark.parametrize("module", [pyon, pyon_v1])
def test_what_is_there_twice_does_not_contain_itself(module: ModuleType) -> None:
    shared = [1, (2,)]
    value: Any = [shared, shared, {"a": shared}]
    assert module.decode(module.encode(value)) == value
    for _ in range(5000):
        value = [shared, value, shared]
    with pytest.raises(RecursionError):
        module.encode(value)


@pytest.mark.parametrize("module", [pyon, pyon_v1])
def test_a_search_takes_no_time_for_what_is_there_many_times(module: ModuleType) -> None:
    """Two to the power of 5000 ways lead to the end of it."""
    value: Any = [1]
    for _ in range(5000):
        value = [value, value]
    with pytest.raises(RecursionError):
        module.encode(value)


def test_hooks_that_never_come_to_an_end_are_refused_as_before() -> None:
    pyon.register(
        [Endless],
        name="Endless",
        encode=lambda value: [Endless(value.depth + 1), Endless(value.depth + 1)],
        decode=Endless,
    )
    try:
        with pytest.raises(RecursionError):
            pyon.encode(Endless(0))
    finally:
        pyon.deregister([Endless], "Endless")
    with pytest.raises(RecursionError):
        pyon.encode(Endless(0), default=lambda value: Endless(value.depth + 1))


def test_a_hook_that_fails_when_it_is_called_again_does_not_hide_the_first_error() -> None:
    calls = []

    def once(value: Any) -> Any:
        calls.append(value)
        if len(calls) > 1:
            raise LookupError("called again")
        return deep

    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(RecursionError):
        pyon.encode(Endless(0), default=once)
    assert len(calls) == 2
