"""The server's side of the conversation as bytes: what a client may say, without a connection."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from sipyco_pyon import pyon, pyon_v1
from sipyco_rpc.wire.frames import FrameError
from sipyco_rpc.wire.lines import LineTooLong
from sipyco_rpc.wire.messages import MessageReader
from sipyco_rpc.wire.requests import (
    CallRequest,
    CancelRequest,
    GetPropertyRequest,
    NextRequest,
    Request,
    SetPropertyRequest,
)
from sipyco_rpc.wire.server_handshake import BannerReceived, State
from sipyco_rpc.wire.server_session import ServerSession
from sipyco_rpc.wire.session import ProtocolError

__all__ = ["one_input"]

_LIMITS: Final = (2**27, 200)  # bytes of a request
_NAMES: Final = {"f", "items"}
_PROPERTIES: Final = {"voltage"}


def one_input(data: bytes) -> None:
    """Have a conversation. The first byte has the options, and the size of what arrives at once.

    A call of `items` is answered with a generator, `later` at the very end, others at once.
    """
    if not data:
        return
    options, stream = data[0], data[1:]
    shell = _Shell(
        ServerSession(
            ["t"],
            frames=not options & 1,
            properties=True,
            max_message=_LIMITS[options >> 1 & 1],
        )
    )
    step = options >> 2 or len(data)
    try:
        for start in range(0, len(stream), step):
            shell.receive(stream[start : start + step])
        shell.end()
    except (FrameError, ProtocolError):
        return  # the connection is closed, and nothing more is answered


class _Shell:
    """Answers a client, and keeps accounts of its own beside those of the session."""

    def __init__(self, session: ServerSession) -> None:
        self._session = session
        self._replies = MessageReader()
        self._requests: deque[Any] = deque()  # those that have to wait
        self._calls: dict[int, Request] = {}
        self._credit: dict[int, int] = {}  # of generators

    def receive(self, data: bytes) -> None:
        session = self._session
        while data:
            memory = session.incoming.memory()
            assert len(memory), "there is no room for what comes"
            size = min(len(memory), len(data))
            memory[:size] = data[:size]
            data = data[size:]
            session.incoming.received(size)
            while (event := session.next_event()) is not None:
                if isinstance(event, BannerReceived):
                    assert pyon.decode(event.reply)["targets"] == ["t"]
                    continue
                assert event.name == "t"
                if session.framed:
                    self._replies.expect_frames()
                said: Any = _NAMES
                if session.has_properties:
                    said = {"methods": _NAMES, "properties": _PROPERTIES}
                assert self._sent(session.accept(_NAMES, _PROPERTIES))[1] == said
            if session.handshake.state is State.REQUESTS:
                while (message := session.incoming.next()) is not None:
                    self._requests.append(message)
                self._process()

    def end(self) -> None:
        """Answer what has yet to be answered, to the end."""
        while self._calls:
            self._answer(next(iter(self._calls)))
            self._process()
        for number in list(self._credit):
            self._give_items(number)
            assert self._sent(self._session.end_stream(number))[0] == number
            del self._credit[number]
            assert not self._session.under_way(number)
        assert not self._requests
        assert not self._session.busy

    def _process(self) -> None:
        while self._requests and not self._session.busy:
            self._take(self._requests.popleft())

    def _take(self, message: Any) -> None:
        number = message[0]
        under_way = number in self._calls or number in self._credit
        assert self._session.under_way(number) == under_way
        try:
            request = self._session.receive_request(message)
        except ProtocolError:
            assert under_way or number == 0, "a number that nobody uses is refused"
            raise
        except (ValueError, KeyError, TypeError, MemoryError) as exc:
            assert not under_way, "an answer that would be taken for that of a call"
            self._fail(number, exc)
            return
        if isinstance(request, (GetPropertyRequest, SetPropertyRequest)):
            assert self._session.has_properties
        if not isinstance(request, (CancelRequest, NextRequest)):
            assert number > 0
            assert not under_way, "two calls have one number"
            self._calls[number] = request
            if not isinstance(request, CallRequest) or request.name != "later":
                self._answer(number)
        elif isinstance(request, CancelRequest):
            assert self._session.framed
            if under_way:
                self._fail(number, TimeoutError())
        elif number in self._credit:
            self._credit[number] += request.items
            self._give_items(number)

    def _answer(self, number: int) -> None:
        request = self._calls[number]
        try:
            if isinstance(request, CallRequest) and request.name == "items":
                reply = self._session.stream(number)
                self._credit[number] = 0
            elif isinstance(request, CallRequest):
                reply = self._session.reply(number, request.args)
            elif isinstance(request, SetPropertyRequest):
                reply = self._session.reply(number, request.value)
            else:
                reply = self._session.reply(number, {"docstring": None, "methods": {}})
        except (TypeError, ValueError) as exc:
            self._fail(number, exc)
            return
        del self._calls[number]
        assert self._sent(reply)[1]["status"] in ("ok", "stream")

    def _give_items(self, number: int) -> None:
        """Give some of the items that the client has asked for."""
        assert self._session.credit[number] == self._credit[number]
        for _ in range(min(3, self._credit[number])):
            self._credit[number] -= 1
            reply = self._sent(self._session.item(number, number))
            assert reply == (number, {"status": "item", "ret": number})

    def _fail(self, number: int, exc: Exception) -> None:
        pieces = self._session.fail(number, exc)
        self._calls.pop(number, None)
        self._credit.pop(number, None)
        assert self._sent(pieces)[1]["status"] == "failed"
        assert not self._session.under_way(number)

    def _sent(self, pieces: list[Any]) -> tuple[int, Any]:
        """Read what is sent as the client does; return its number and value."""
        [(number, text, buffers)] = self._replies.feed(b"".join(pieces))
        assert not isinstance(text, LineTooLong)
        if self._session._dialect == "PYON v1":
            return number, pyon_v1.decode(text.decode())
        return number, pyon.decode(text, buffers=buffers)
