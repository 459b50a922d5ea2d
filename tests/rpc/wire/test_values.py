"""Any value of any type as a message: a frame or a line, however its bytes arrive."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from support.pairs import SessionPair, pieces_of
from support.values import V1_VALUES, V2_VALUES, alike


def conversation(value: Any, features: list[str], sizes: list[int]) -> SessionPair:
    """Have a value sent there, and back."""
    pair = SessionPair(
        lambda name, *args: args[0], features, up=pieces_of(sizes), down=pieces_of(sizes)
    )
    pair.call("f", value)
    pair.run()
    return pair


sizes = st.lists(st.integers(1, 100) | st.integers(1, 5000), min_size=1, max_size=6)


@settings(max_examples=100)
@given(V2_VALUES, sizes)
def test_frames_and_lines_give_back_what_they_were_given(value: Any, sizes: list[int]) -> None:
    for features in (["pyon_v2", "frames"], ["pyon_v2"]):
        pair = conversation(value, features, sizes)
        [(name, args, kwargs)] = pair.executed
        assert alike((name, args, kwargs), ("f", [value], {}))
        assert alike(pair.results, [("returned", value)])


@settings(max_examples=50)
@given(V1_VALUES, sizes)
def test_lines_of_the_older_dialect_do_so_too(value: Any, sizes: list[int]) -> None:
    pair = conversation(value, [], sizes)
    [(_, args, _)] = pair.executed
    assert alike(args, [value])
    assert alike(pair.results, [("returned", value)])
