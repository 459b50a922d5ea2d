"""What a mod or a message cannot hold is told by its place in the structure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest

from sipyco_sync.broadcast import Broadcaster
from sipyco_sync.sync_struct import Notifier, Publisher

CHANGES: list[tuple[Callable[[Any], Any], str]] = [
    (lambda n: n.__setitem__("b", [object()]), r'the structure["b"][0]'),
    (lambda n: n["a"].__setitem__(0, {"x": object()}), r'the structure["a"][0]["x"]'),
    (lambda n: n["a"].append({"x": object()}), '(what is added to the structure["a"])["x"]'),
    (lambda n: n["a"].insert(0, [object()]), '(what is added to the structure["a"])[0]'),
]


@pytest.mark.parametrize("dialect", ["pyon_v2", "pyon_v1"])
@pytest.mark.parametrize(("change", "place"), CHANGES, ids=[place for _, place in CHANGES])
def test_a_change_is_refused_with_its_place(
    change: Callable[[Any], Any], place: str, dialect: Literal["pyon_v2", "pyon_v1"]
) -> None:
    notifier = Notifier({"a": [0]})
    Publisher({"n": notifier}, dialect=dialect)
    with pytest.raises(TypeError) as caught:
        change(notifier)
    assert str(caught.value).endswith(f"; it is {place}")
    assert notifier.raw_view == {"a": [0]}


def test_a_key_that_cannot_be_sent_is_told() -> None:
    notifier = Notifier({"a": {}})
    Publisher({"n": notifier})
    with pytest.raises(TypeError, match=r'; it is a key of the structure\["a"\]$'):
        notifier["a"][object()] = 5


@pytest.mark.parametrize(
    "mod",
    [
        {"action": "init", "struct": {"x": object()}},
        {"action": "setitem", "path": ["a"], "key": 5, "value": [object()]},
        {"action": "other", "y": object()},
        {"action": "init", "y": object()},
        {"action": ["init"], "y": object()},
        {"action": "append", "path": 5, "x": object()},
    ],
)
def test_mods_of_a_program_have_places(mod: Any) -> None:
    notifier = Notifier({"a": {}})
    publisher = Publisher({"n": notifier})
    with pytest.raises(TypeError) as caught:
        publisher.publish(notifier, mod)
    place = {"struct": 'the structure["x"]', "key": 'the structure["a"][5][0]'}
    expected = next((text for key, text in place.items() if key in mod), "the value[")
    assert f"; it is {expected}" in str(caught.value)


def test_a_message_is_told_by_its_place() -> None:
    with pytest.raises(TypeError, match=r'; it is the message\[1\]\["t"\]$'):
        Broadcaster().broadcast("log", (1, {"t": object()}))
