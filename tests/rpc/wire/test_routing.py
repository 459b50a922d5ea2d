"""Whose message it is that comes, and what is to be told to the server: bytes in, bytes out."""

from __future__ import annotations

import pytest

from sipyco_rpc.wire.client_session import GENERATOR, ClientSession
from sipyco_rpc.wire.frames import FrameError
from sipyco_rpc.wire.lines import LineTooLong
from sipyco_rpc.wire.routing import ItemQueue
from sipyco_rpc.wire.session import AutoTarget

FRAMES = b'{"targets":["t"],"description":null,"features":["pyon_v2","frames"]}\n'
LINES = b'{"targets":["t"],"description":null,"features":["pyon_v2"]}\n'
NAMES = b'#0 33\n{"__jsonclass__":["set",[["f"]]]}'
OK = b'#%d 23\n{"status":"ok","ret":1}'
ITEM = b'#%d 25\n{"status":"item","ret":5}'
END = b'#%d 26\n{"status":"ok","ret":null}'
STREAM = b'#%d 19\n{"status":"stream"}'
CANCEL = b'#%d 19\n{"action":"cancel"}'
NEXT = b'#%d 23\n{"action":"next","n":%d}'


def receive(session: ClientSession, data: bytes) -> list[int]:
    """Have bytes arrive; give the numbers of the generators that gave something."""
    session.incoming.memory()[: len(data)] = data
    return list(session.receive(len(data)))


def begun(greeting: bytes = FRAMES) -> ClientSession:
    """Give a session that has sent the banner and the name of the target."""
    session = ClientSession()
    session.requests_sent += 1
    receive(session, greeting)
    assert session.has_reply((1,))
    session.receive_identification(session.replies.popleft())
    session.select(AutoTarget)
    session.requests_sent += 1
    return session


def call(session: ClientSession) -> int:
    number, _ = session.request_call("f", (), {})
    session.requests_sent += 1
    return number


def streaming() -> ClientSession:
    """Give a session whose call 3 has returned a generator that may give two items."""
    session = begun()
    assert call(session) == 3
    receive(session, STREAM % 3)
    assert session.receive_reply(session.replies.popleft()) is GENERATOR
    session.open_stream(3)
    assert session.allow_items(3)
    assert told(session) == NEXT % (3, 2)
    return session


def told(session: ClientSession) -> bytes:
    """Give what the server is told beside requests."""
    session.collect_cancels()
    frames = bytes(session.control_frames)
    session.control_frames.clear()
    return frames


def waiting(session: ClientSession) -> list[int]:
    return [message[0] for message in session.replies]


class TestReplies:
    def test_the_names_of_methods_are_a_reply_as_others(self) -> None:
        session = begun()
        receive(session, NAMES)
        assert session.has_reply((0,))
        session.receive_methods(session.replies.popleft())
        assert session.methods == {"f"}

    def test_late_replies_are_dropped_before_the_one_that_is_waited_for(self) -> None:
        session = begun()
        assert [call(session), call(session), call(session)] == [3, 4, 5]
        receive(session, OK % 3 + OK % 4 + OK % 5)
        assert session.has_reply((5,))
        assert waiting(session) == [5]

    def test_replies_may_come_in_any_order(self) -> None:
        session = begun()
        awaited = {call(session), call(session), call(session)}
        receive(session, OK % 5 + OK % 3)
        for number in (5, 3):
            assert session.has_reply(awaited)
            assert session.replies.popleft()[0] == number
            awaited.remove(number)
        assert not session.has_reply(awaited)

    @pytest.mark.parametrize("greeting", [FRAMES, LINES])
    def test_what_nobody_asked_for_is_refused_after_what_somebody_did(
        self, greeting: bytes
    ) -> None:
        session = begun(greeting)
        number = call(session)
        if session.framed:
            receive(session, OK % number + OK % (number + 1))
        else:
            receive(session, b"set()\n1\n2\n")
        assert session.has_reply((number,))
        session.replies.popleft()
        with pytest.raises(FrameError, match="a message that nobody had asked for"):
            session.check_unasked()
        with pytest.raises(FrameError, match="a message that nobody had asked for"):
            session.has_reply((number,))

    def test_half_a_line_is_refused_where_nothing_is_to_come(self) -> None:
        session = begun(LINES)
        receive(session, b"set()\n")
        session.check_unasked()
        receive(session, b"{")
        with pytest.raises(FrameError, match="nobody"):
            session.check_unasked()

    def test_half_a_late_line_is_not_refused(self) -> None:
        session = begun(LINES)
        receive(session, b"set()\n")
        call(session)
        assert session.replies_pending == 1
        receive(session, b"{")
        session.check_unasked()

    def test_while_a_request_is_sent_late_replies_are_dropped(self) -> None:
        session = begun()
        call(session)
        receive(session, OK % 3)
        session.drop_late()
        assert not session.replies
        receive(session, OK % 4)
        with pytest.raises(FrameError, match="nobody"):
            session.drop_late()

    def test_an_old_server_may_answer_before_a_request_is_complete(self) -> None:
        session = begun(LINES)
        receive(session, b"set()\nearly\n")
        session.drop_late()
        assert waiting(session) == [3]
        assert call(session) == 3
        assert session.has_reply((3,))
        receive(session, b"4\n5\n")
        with pytest.raises(FrameError, match="nobody"):
            session.drop_late()


class TestItems:
    def test_items_go_to_their_generator_and_replies_to_their_calls(self) -> None:
        session = streaming()
        assert call(session) == 4
        assert receive(session, ITEM % 3 + OK % 4 + ITEM % 3) == [3, 3]
        assert waiting(session) == [4]
        assert len(session.streams[3]) == 2

    def test_items_are_asked_for_as_they_are_taken(self) -> None:
        session = streaming()
        assert not session.allow_items(3)
        receive(session, ITEM % 3)
        assert not session.allow_items(3)
        assert session.receive_item(session.streams[3].take()) == (True, 5)
        assert session.allow_items(3)
        assert told(session) == NEXT % (3, 3)

    def test_more_items_than_were_allowed_are_refused(self) -> None:
        session = streaming()
        receive(session, ITEM % 3 + ITEM % 3 + END % 3)
        with pytest.raises(FrameError, match="more items of call 3 than it was asked for"):
            receive(session, ITEM % 3)

    def test_with_its_last_message_a_generator_is_over(self) -> None:
        session = streaming()
        receive(session, END % 3)
        assert session.receive_item(session.streams[3].take()) == (False, None)
        assert not session.streams
        assert not session.allow_items(3)
        session.cancel_stream(3)
        assert told(session) == b""

    def test_a_generator_is_ended_once_and_what_it_gave_is_dropped(self) -> None:
        session = streaming()
        receive(session, ITEM % 3)
        session.cancel_stream(3)
        session.cancel_stream(3)
        assert told(session) == CANCEL % 3
        assert session.replies_pending == 1
        assert receive(session, END % 3) == []
        assert (waiting(session), session.replies_pending) == ([], 0)

    def test_a_generator_whose_end_has_come_is_not_cancelled(self) -> None:
        session = streaming()
        receive(session, ITEM % 3 + END % 3)
        session.cancel_stream(3)
        assert told(session) == b""
        assert not session.ignored_ids

    def test_a_generator_whose_last_message_cannot_be_read_is_cancelled(self) -> None:
        session = streaming()
        receive(session, b"#3 2\n[]")
        session.cancel_stream(3)
        assert told(session) == CANCEL % 3


class TestCancelledCalls:
    def test_the_reply_to_a_cancelled_call_is_dropped(self) -> None:
        session = begun()
        call(session)
        session.cancel_call(3, reply_pending=True)
        assert told(session) == CANCEL % 3
        assert call(session) == 4
        receive(session, OK % 3 + OK % 4)
        assert waiting(session) == [4]
        assert not session.ignored_ids

    def test_nothing_is_to_come_of_a_cancelled_call_whose_reply_was_there(self) -> None:
        session = streaming()
        session.cancel_call(3, reply_pending=False)
        assert told(session) == CANCEL % 3
        assert session.replies_pending == 0

    def test_calls_are_cancelled_in_their_order_and_behind_what_waits_to_be_sent(self) -> None:
        session = streaming()
        receive(session, ITEM % 3)
        session.streams[3].take()
        session.allow_items(3)
        call(session)
        session.cancel_call(4, reply_pending=True)
        session.cancel_stream(3)
        assert told(session) == NEXT % (3, 3) + CANCEL % 4 + CANCEL % 3

    def test_without_frames_a_server_cannot_be_told(self) -> None:
        session = begun(LINES)
        call(session)
        session.cancel_call(3, reply_pending=True)
        assert told(session) == b""
        receive(session, b"set()\n1\n")
        assert not session.has_reply(())


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
