"""How much a generator may send ahead, and that it does not send more."""

from __future__ import annotations

import pytest

from sipyco_rpc.wire.frames import FrameError
from sipyco_rpc.wire.item_queue import ItemQueue
from sipyco_rpc.wire.lines import LineTooLong


def test_credit_grows_by_steps_and_follows_the_largest_item() -> None:
    queue, windows = ItemQueue(), []
    for size in (10, 10, 10, 10, 10, 2**20, 10, 10):
        queue.credit += queue.due()
        queue.put((1, bytes(size), []))
        queue.take()
        windows.append(queue._window)
    assert windows == [4, 8, 16, 16, 16, 2, 2, 2]


def test_buffers_and_what_was_too_long_count_by_their_size() -> None:
    for message in ((1, b"", [bytes(2**19)] * 2), (1, LineTooLong(2**20, 10), [])):
        queue = ItemQueue()
        queue.credit += queue.due()
        queue.put(message)  # type: ignore[arg-type]
        queue.take()
        assert queue._window == 2


def test_more_is_allowed_when_half_of_it_is_used() -> None:
    queue = ItemQueue()
    assert queue.due() == 2
    queue.credit += 2
    assert queue.due() == 0
    queue.put((1, b"", []))
    assert queue.due() == 0  # it waits here
    queue.take()
    assert queue.due() == 3  # of four


def test_the_end_needs_no_credit_and_nothing_comes_after_what_was_allowed_and_the_end() -> None:
    queue = ItemQueue()
    queue.credit += 1
    queue.put((7, b"item", []))
    queue.put((7, b"end", []))
    with pytest.raises(FrameError, match="more items of call 7 than it was asked for"):
        queue.put((7, b"more", []))
    assert [queue.take()[1], queue.take()[1]] == [b"item", b"end"]
