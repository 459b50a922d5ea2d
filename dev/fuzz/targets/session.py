"""The client's side of the conversation as bytes: what a server may say, without a connection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from dev.fuzz.servers import check_error
from sipyco_rpc.wire.client_session import GENERATOR, ClientSession
from sipyco_rpc.wire.frames import FrameError
from sipyco_rpc.wire.requests import CancelRequest, NextRequest
from sipyco_rpc.wire.server_session import ServerSession
from sipyco_rpc.wire.session import AutoTarget

__all__ = ["one_input"]

_LIMITS: Final = (2**27, 300)  # bytes of a reply
_AHEAD: Final = 17  # messages of a generator that may wait: items, and its end
_PIECES: Final = (0, 1, 2, 3, 4, 5, 6, 600)  # bytes that come at once; 0 for whole messages
_STEPS: Final = 3  # of the program, after each piece that has come
_LAST_STEPS: Final = 20  # after all has come
_MOST_CALLS: Final = 40


def one_input(data: bytes) -> None:
    """Take a greeting, the names of methods, then replies. The first byte has the options."""
    if not data:
        return
    session = ClientSession(_LIMITS[data[0] & 1])
    step = _PIECES[data[0] >> 1 & 7]
    program = _Program(session, data[0] >> 4)
    stream, position = data[1:], 0
    try:
        program.send(session.hello())
        while position < len(stream):
            memory = session.incoming.memory()
            assert len(memory), "there is no room for what comes"
            # Whole messages, unless other pieces are wanted; nothing goes on behind the greeting
            # before the target has been selected.
            mark, after = (b"#", 0) if session.framed else (b"\n", 1)
            end = stream.find(mark, position + 1) + after
            if step:
                line = end if end > 0 and not program.selected else len(stream)
                end = min(position + step, line)
            size = min((end if end > 0 else len(stream)) - position, len(memory))
            memory[:size] = stream[position : position + size]
            position += size
            for number in session.receive(size):
                assert number in session.streams, "an item of a generator that nobody looks at"
            program.go_on(_STEPS if position < len(stream) else _LAST_STEPS)
    except FrameError:
        return
    except Exception as exc:  # noqa: BLE001
        check_error(exc)


class _Program:
    """What a client does meanwhile, and what must hold whatever the server says.

    Args:
        session: the client's.
        options: what it does beside calls, and where it begins.
    """

    def __init__(self, session: ClientSession, options: int) -> None:
        self.selected = False
        self._begun = False
        self._session = session
        self._options = options
        self._turn = options >> 3
        self._awaited: set[int] = set()
        self._receive: dict[int, Callable[[Any], object]] = {}  # what is no call
        self._cancelled: set[int] = set()
        self._allowed: Counter[int] = Counter()  # the items that the server was told it may send
        self._taken: Counter[int] = Counter()
        self._server = ServerSession(["thing"])  # reads what the server is told
        for said in (b"ARTIQ pc_rpc\n", b"thing pyon_v2 frames\n"):
            self._server.incoming.memory()[: len(said)] = said
            self._server.incoming.received(len(said))
            assert self._server.next_event() is not None
        self._server.accept(())

    def send(self, request: tuple[int, list[Any]]) -> int:
        self._session.requests_sent += 1
        self._awaited.add(request[0])
        return request[0]

    def go_on(self, steps: int) -> None:
        session = self._session
        if not self._shake_hands():
            return
        actions = [
            self._take_replies,
            self._take_items,
            self._call,
            self._take_replies,
            self._cancel_stream if self._options & 1 else self._take_items,
            self._cancel_call if self._options & 2 else self._take_items,
            session.drop_late if self._options & 4 else self._take_replies,
        ]
        for _ in range(steps):
            actions[self._turn % len(actions)]()
            self._turn += 1
            self._look_at_control_frames()
            assert all(len(queue) <= _AHEAD for queue in session.streams.values())
            assert session.ignored_ids <= self._cancelled

    def _shake_hands(self) -> bool:
        """Go on with the handshake; tell whether it is over."""
        session = self._session
        if not self.selected and session.has_reply(self._awaited):
            session.receive_identification(self._message())
            assert all(isinstance(name, str) for name in session.target_names)
            self.selected = True
            self.send(session.select(AutoTarget))
        if self.selected and not self._begun and session.has_reply(self._awaited):
            session.receive_methods(self._message())
            assert all(isinstance(name, str) for name in session.methods | session.properties)
            assert session.has_properties or not session.properties
            assert not session.methods & session.properties
            self._begun = True
            for _ in range(3):
                self.send(session.request_call("f", (1,), {}))
        return self._begun

    def _message(self) -> Any:
        message = self._session.replies.popleft()
        number = message[0]
        assert number in self._awaited, "a message for nobody"
        assert number <= self._session.requests_sent, "a reply to no request"
        self._awaited.remove(number)
        return message

    def _call(self) -> None:
        session = self._session
        if session.requests_sent > _MOST_CALLS:
            return
        if not self._awaited:  # as the blocking client; the other one has many at a time
            session.check_unasked()
        requests = [
            (session.list_methods, session.receive_listing),
            (session.ask_status, session.receive_status),
            (session.ping, session.receive_pong),
        ]
        for name in session.properties:
            requests.append((partial(session.get_property, name), self._receive_value))
            requests.append((partial(session.set_property, name, name), self._receive_value))
        if session.requests_sent % 5:
            self.send(session.request_call("f", (1,), {}))
        else:
            make, receive = requests[session.requests_sent // 5 % len(requests)]
            self._receive[self.send(session.request(make()))] = receive

    def _receive_value(self, message: Any) -> None:
        assert self._session.receive_value(message) is not GENERATOR

    def _take_replies(self) -> None:
        session = self._session
        while session.has_reply(self._awaited):
            message = self._message()
            try:
                if message[0] in self._receive:
                    value = self._receive[message[0]](message)
                    assert value is None or isinstance(value, dict)
                elif session.receive_reply(message) is GENERATOR:
                    assert session.framed
                    session.open_stream(message[0])
            except Exception as exc:  # noqa: BLE001
                check_error(exc)

    def _take_items(self) -> None:
        session = self._session
        for number, queue in list(session.streams.items()):
            if session.allow_items(number):
                self._look_at_control_frames()
            if not queue:
                continue
            message = queue.take()
            self._taken[number] += 1
            assert self._taken[number] <= self._allowed[number] + 1, "more than was asked for"
            try:
                goes_on, _ = session.receive_item(message)
                assert (number in session.streams) == goes_on
            except Exception as exc:  # noqa: BLE001
                check_error(exc)
                session.cancel_stream(number)

    def _cancel_call(self) -> None:
        for number in sorted(self._awaited)[:1]:
            self._awaited.remove(number)
            self._session.cancel_call(number, reply_pending=True)

    def _cancel_stream(self) -> None:
        for number in sorted(self._session.streams)[:1]:
            self._session.cancel_stream(number)
            assert number not in self._session.streams

    def _look_at_control_frames(self) -> None:
        session = self._session
        session.collect_cancels()
        assert not session.pending_cancels
        assert session.framed or not session.control_frames
        for message in self._server.incoming.feed(bytes(session.control_frames)):
            number, request = message[0], self._server.receive_request(message)
            if isinstance(request, NextRequest):
                assert number not in self._cancelled
                self._allowed[number] += request.items
            else:
                assert isinstance(request, CancelRequest)
                assert number not in self._cancelled, "the server is told twice"
                self._cancelled.add(number)
        assert not self._server.incoming.pending_size, "half a frame"
        session.control_frames.clear()
