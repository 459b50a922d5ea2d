"""The server's side of RPC conversations: bytes in, events out; answers in, bytes out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sipyco_pyon import pyon, pyon_v1
from sipyco_rpc.wire import server_session
from sipyco_rpc.wire.exceptions import GenericRemoteException, unpack_exception
from sipyco_rpc.wire.lines import LineTooLong
from sipyco_rpc.wire.messages import MessageReader
from sipyco_rpc.wire.requests import (
    CallRequest,
    CancelRequest,
    ListRequest,
    NextRequest,
    PingRequest,
    StatusRequest,
)
from sipyco_rpc.wire.server_handshake import (
    BannerReceived,
    State,
    TargetSelected,
    check_target_names,
)
from sipyco_rpc.wire.server_session import ServerSession
from sipyco_rpc.wire.session import ProtocolError
from support.pairs import CALL, selected_session, served

BANNER = b"ARTIQ pc_rpc\n"
FRAMES = b"lda pyon_v2 frames"

LISTING = b'{"action":"get_rpc_method_list"}'
GET = b'{"action":"get_property","name":"voltage"}'
SET = b'{"action":"set_property","name":"voltage","value":12}'
PING = b'{"action":"ping"}'
STATUS = b'{"action":"status"}'
CANCEL = b'{"action":"cancel"}'
STREAM = b'{"status":"stream"}'

LONG = b"\xff" * 3000  # bytes; too long to stand in a text


def next_of(number: int) -> bytes:
    return b'{"action":"next","n":%d}' % number


def line(text: bytes | LineTooLong, number: int = 1) -> tuple[int, bytes | LineTooLong, list[Any]]:
    return number, text, []


def lines(*numbers: int) -> ServerSession:
    return selected_session(b"lda pyon_v2", *numbers)


def v1(*numbers: int) -> ServerSession:
    return selected_session(b"lda", *numbers)


def frames(*numbers: int) -> ServerSession:
    return selected_session(FRAMES, *numbers)


def give(session: ServerSession, data: bytes) -> list[Any]:
    """Have bytes arrive; return the events of the handshake."""
    said: list[Any] = []
    memory = session.incoming.memory()
    memory[: len(data)] = data
    session.incoming.received(len(data))
    while (event := session.next_event()) is not None:
        said.append(event)
    return said


def select(selection: bytes, **options: Any) -> Any:
    """Return what comes of a line that selects a target."""
    [_, event] = give(ServerSession(["lda"], **options), BANNER + selection + b"\n")
    return event


def raised_by(pieces: list[Any], decoder: Any = pyon) -> Exception:
    """Return the exception that an answer in lines has."""
    [text] = pieces
    reply = decoder.decode(text.decode())
    assert reply["status"] == "failed"
    return unpack_exception(reply["exception"])


# --- the handshake -----------------------------------------------------------------------------


def test_the_handshake_goes_step_by_step() -> None:
    session = ServerSession(["lda"])
    assert session.handshake.state is State.BANNER
    assert give(session, b"ARTIQ pc") == []
    assert session.handshake.state is State.BANNER
    greeting = b'{"targets":["lda"],"description":null,"features":["pyon_v2","frames"]}\n'
    assert give(session, b"_rpc\nlda pyon") == [BannerReceived(greeting)]
    assert session.handshake.state is State.SELECTION
    assert give(session, b"_v2 frames\n#3 ") == [TargetSelected("lda", ["pyon_v2", "frames"])]
    assert session.handshake.state is State.REQUESTS
    assert session.accept(["f"]) == [b'#0 33\n{"__jsonclass__":["set",[["f"]]]}']
    assert give(session, b"19\n" + CANCEL) == []
    assert session.incoming.next() == (3, CANCEL, [])


@pytest.mark.parametrize("size", range(1, 20))
def test_the_pieces_in_which_bytes_arrive_do_not_matter(size: int) -> None:
    stream = BANNER + FRAMES + b"\n#1 %d\n%b#2 %d\n%b" % (len(CALL), CALL, len(LISTING), LISTING)
    session = ServerSession(["lda"])
    said: list[Any] = []
    messages: list[Any] = []
    for start in range(0, len(stream), size):
        piece = stream[start : start + size]
        messages += served(session, piece, {"f"}, lambda *pieces: said.extend(pieces))
    assert len(said) == 2
    assert [session.receive_request(message) for message in messages] == [
        CallRequest("f", [], {}),
        ListRequest(),
    ]


@pytest.mark.parametrize("said", [b"X", b"ARTIQ x", b"ARTIQ pc_rpc\r\n", b"ARTIQ sync_struct\n"])
def test_what_is_not_the_banner_is_found_at_the_first_byte_that_differs(said: bytes) -> None:
    with pytest.raises(ProtocolError, match="expected b'ARTIQ pc_rpc"):
        give(ServerSession(["lda"]), said)


def test_a_tls_handshake_is_recognised() -> None:
    with pytest.raises(ProtocolError, match=r"TLS handshake\?"):
        give(ServerSession([]), b"\x16\x03\x01\x02\x00")


def test_the_greeting_is_plain_json_with_sorted_targets() -> None:
    assert give(ServerSession(["b", "a"], "µ"), BANNER) == [
        BannerReceived(
            b'{"targets":["a","b"],"description":"\\u00b5","features":["pyon_v2","frames"]}\n'
        )
    ]


def test_frames_are_offered_unless_the_session_is_told_not_to() -> None:
    assert give(ServerSession(["lda"], frames=False), BANNER) == [
        BannerReceived(b'{"targets":["lda"],"description":null,"features":["pyon_v2"]}\n')
    ]
    with pytest.raises(ProtocolError, match="no feature `frames`; the server has: `pyon_v2`"):
        select(FRAMES, frames=False)


@pytest.mark.parametrize(
    "selection", [b"nosuch", b"", b"lda ", b"lda pyon_v3", b"lda  pyon_v2", b"\xff", b" lda"]
)
def test_unknown_targets_and_features_are_refused(selection: bytes) -> None:
    with pytest.raises(ProtocolError):
        select(selection)


def test_frames_are_refused_without_the_newer_dialect() -> None:
    with pytest.raises(ProtocolError, match="`frames` needs `pyon_v2`"):
        select(b"lda frames")


@pytest.mark.parametrize(
    ("end", "reason"),
    [(b"", "the target name has more than 65536 bytes"), (b"\n", "80000 bytes is too long")],
)
def test_a_selection_is_a_short_line(end: bytes, reason: str) -> None:
    session = ServerSession(["lda"], max_message=70_000)
    give(session, BANNER + b"x" * 40_000)
    with pytest.raises(ProtocolError, match=reason):
        give(session, b"x" * 40_000 + end)


def test_a_target_that_cannot_be_made_is_told_in_place_of_the_names() -> None:
    session = ServerSession(["lda"])
    give(session, BANNER + FRAMES + b"\n")
    [piece] = session.refuse(ValueError("away"))
    [(number, text, _)] = reader().feed(bytes(piece))
    assert number == 0
    assert str(unpack_exception(pyon.decode(text)["exception"])) == "away"


@pytest.mark.parametrize("selection", [b"lda", b"lda pyon_v2"])
def test_without_frames_nothing_is_told_that_would_be_taken_for_names(selection: bytes) -> None:
    session = ServerSession(["lda"])
    give(session, BANNER + selection + b"\n")
    assert session.refuse(ValueError("away")) == []


@pytest.mark.parametrize("name", ["", "a b", " a", "a\n", "\t"])
def test_a_target_name_is_a_word(name: str) -> None:
    check_target_names(["fine", "µ"])
    with pytest.raises(ValueError, match="without white space"):
        check_target_names([name])


@pytest.mark.parametrize("name", ["a\x1b[2J", "motor\u00ad", "lda\u200d", "x" * 1001])
def test_a_target_name_is_one_that_clients_select(name: str) -> None:
    check_target_names(["x" * 1000])
    with pytest.raises(ValueError, match="at most 1000 characters, all of which can be p"):
        check_target_names([name])


# --- requests and replies in lines -------------------------------------------------------------


class Strange(Exception):
    pass


def test_the_dialect_is_the_one_that_was_selected() -> None:
    assert v1().accept({"f"}) == [b'{"f"}\n']
    assert lines().accept({"f"}) == [b'{"__jsonclass__":["set",[["f"]]]}\n']
    assert selected_session(b"lda pyon_v2 pyon_v2", 1).reply(1, (1,)) == [
        b'{"status":"ok","ret":{"__jsonclass__":["tuple",[[1]]]}}\n'
    ]
    assert v1(1).reply(1, (1,)) == [b'{"status": "ok", "ret": (1, )}\n']


def test_long_bytes_are_in_the_text_of_a_line() -> None:
    [text] = lines(1).reply(1, LONG)
    assert bytes(text).startswith(b'{"status":"ok","ret":{"__jsonclass__":["bytes",["////')


def test_requests_are_taken() -> None:
    request = b'{"action":"call","name":"f","args":[1],"kwargs":{"a":2}}'
    assert lines().receive_request(line(request)) == CallRequest("f", [1], {"a": 2})
    assert lines().receive_request(line(LISTING)) == ListRequest()
    old = b"{'action': 'call', 'name': 'f', 'args': (1,), 'kwargs': {}}"
    assert v1().receive_request(line(old)) == CallRequest("f", (1,), {})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"{bad", "not PYON v2"),
        (b"\xff\xfe\xff", "not"),
        (b"[]", "a request is a dictionary"),
        (b'{"action":5}', "an action is a string, got 5"),
        (
            b'{"action":"stop"}',
            r"unknown action 'stop'; .*: 'call', 'get_rpc_method_list', 'ping', 'status'$",
        ),
        (b'{"action":"next","n":1}', "unknown action 'next'"),  # there is one call at a time
        (b'{"action":"cancel"}', "unknown action 'cancel'"),
        (b'{"action":"call","args":[],"kwargs":{}}', "`name`"),
        (b'{"action":"call","name":"f","args":5,"kwargs":{}}', "`args`"),
        (b'{"action":"call","name":"f","args":[],"kwargs":[]}', "`kwargs`"),
        (
            b'{"action":"call","name":"f","args":[],"kwargs":{"__jsonclass__":["dict",[[[5,1]]]]}}',
            "`kwargs`",
        ),
    ],
)
def test_what_is_wrong_with_a_request_is_said(text: bytes, reason: str) -> None:
    session = lines()
    with pytest.raises(ValueError, match=reason) as caught:
        session.receive_request(line(text))
    assert not session.busy
    assert str(raised_by(session.fail(1, caught.value))).startswith(str(caught.value))


def test_a_request_needs_an_action() -> None:
    with pytest.raises(KeyError, match="action"):
        lines().receive_request(line(b"{}"))


def test_the_length_of_a_request_that_is_too_long_is_said() -> None:
    with pytest.raises(LineTooLong, match="line of 7 bytes is too long: the limit is 5"):
        lines().receive_request(line(LineTooLong(7, 5)))


def test_exceptions_have_arguments_where_they_can_be_sent() -> None:
    assert raised_by(lines(1).fail(1, KeyError("k"))).args == ("k",)
    error = raised_by(lines(1).fail(1, Strange(object())))
    assert isinstance(error, GenericRemoteException)
    assert "Strange" in str(error)


def test_arguments_that_the_older_dialect_does_not_have_are_left_out() -> None:
    pyon.register([Strange], name="strange", encode=lambda _: (), decode=Strange)
    try:
        exc = ValueError(Strange("a"))
        exc.__cause__ = ExceptionGroup("g", [ValueError(Strange("b"))])
        error = raised_by(v1(1).fail(1, exc), pyon_v1)
        assert str(error) == "a"
        assert isinstance(error.__cause__, ExceptionGroup)
        assert str(error.__cause__.exceptions[0]) == "b"
    finally:
        pyon.deregister([Strange], "strange")


def test_the_session_knows_what_it_can_send() -> None:
    assert lines().encodable([1])
    assert not lines().encodable(object())


def test_lines_are_answered_one_after_another() -> None:
    session = lines(1)
    assert session.busy
    session.reply(1, None)
    assert not session.busy
    session.receive_request(line(LISTING, 2))
    assert session.busy
    session.fail(2, ValueError())
    assert not session.busy


def test_no_generator_can_be_served_in_lines() -> None:
    session = lines(1)
    with pytest.raises(TypeError, match="only be sent to clients that select `frames`") as caught:
        session.stream(1)
    assert session.busy
    session.fail(1, caught.value)
    assert not session.busy


# --- requests and replies in frames ------------------------------------------------------------


def test_requests_are_taken_with_their_numbers() -> None:
    session = frames()
    messages = session.incoming.feed(
        b'#3 61\n{"action":"call","name":"f","args":[1,2],"kwargs":{"a":null}}'
        b'#4 32\n{"action":"get_rpc_method_list"}'
        b'#3 24\n{"action":"next","n":10}'
        b'#3 19\n{"action":"cancel"}'
    )
    assert [message[0] for message in messages] == [3, 4, 3, 3]
    assert [session.receive_request(message) for message in messages] == [
        CallRequest("f", [1, 2], {"a": None}),
        ListRequest(),
        NextRequest(10),
        CancelRequest(),
    ]


def test_buffers_are_taken() -> None:
    session = frames()
    [message] = session.incoming.feed(
        b'#7 112 2\n{"action":"call","name":"f","args":[{"__jsonclass__":["bytes",'
        b'[{"__jsonclass__":["buffer",[0]]}]]}],"kwargs":{}}\n\xff'
    )
    assert session.receive_request(message) == CallRequest("f", [b"\n\xff"], {})


@pytest.mark.parametrize(
    "n", [b"0", b"-1", b"true", b"1.0", b'"1"', b"null", b"[1]", b"1000000001", b"1e3"]
)
def test_a_number_of_items_that_makes_no_sense_is_refused(n: bytes) -> None:
    with pytest.raises(ValueError, match="`next` needs `n`, how many items, got"):
        frames().receive_request(line(b'{"action":"next","n":%b}' % n))


def test_to_go_on_by_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="`next` needs `n`, how many items, got None"):
        frames().receive_request(line(b'{"action":"next"}'))


def test_the_actions_of_frames_are_named() -> None:
    actions = r"'call', 'get_rpc_method_list', 'ping', 'status', 'next', 'cancel'$"
    with pytest.raises(ValueError, match=actions):
        frames().receive_request(line(b'{"action":"stop"}'))


def test_the_status_may_be_asked_for_unless_it_is_switched_off() -> None:
    assert lines().receive_request(line(b'{"action":"status"}')) == StatusRequest()
    assert v1().receive_request(line(b"{'action': 'status'}")) == StatusRequest()
    session = selected_session(FRAMES, status=False)
    with pytest.raises(ValueError, match=r"unknown action 'status'; .* 'ping', 'next', 'cancel'$"):
        session.receive_request(line(b'{"action":"status"}'))


def test_a_ping_is_answered_by_its_number() -> None:
    session = frames()
    assert session.receive_request(line(b'{"action":"ping"}', 3)) == PingRequest()
    assert session.under_way(3)
    assert session.reply(3, None) == [b'#3 26\n{"status":"ok","ret":null}']
    assert not session.under_way(3)


@pytest.mark.parametrize("action", [b"ping", b"status"])
def test_what_is_answered_needs_a_number_that_is_free(action: bytes) -> None:
    request = b'{"action":"%b"}' % action
    with pytest.raises(ProtocolError, match="1 or more"):
        frames().receive_request(line(request, 0))
    with pytest.raises(ProtocolError, match="call number 1 is under way already"):
        frames(1).receive_request(line(request, 1))


def test_replies_have_the_numbers_of_their_requests() -> None:
    assert frames(3).reply(3, (1,)) == [
        b'#3 55\n{"status":"ok","ret":{"__jsonclass__":["tuple",[[1]]]}}'
    ]
    text = b'{"status":"ok","ret":{"__jsonclass__":["bytes",[{"__jsonclass__":["buffer",[0]]}]]}}'
    assert frames(3).reply(3, LONG) == [b"#3 84 3000\n" + text, LONG]


def test_items_are_given_and_counted() -> None:
    session = frames(3)
    assert session.stream(3) == [b"#3 19\n" + STREAM]
    assert session.credit == {3: 0}
    session.receive_request(line(next_of(2), 3))
    session.receive_request(line(next_of(1), 3))
    session.receive_request(line(next_of(9), 4))  # of one that has ended, perhaps
    assert session.credit == {3: 3}
    assert session.item(3, 1) == [b'#3 25\n{"status":"item","ret":1}']
    text = (
        b'{"status":"item","ret":{"__jsonclass__":["bytes",[{"__jsonclass__":["buffer",[0]]}]]}}'
    )
    assert session.item(3, LONG) == [b"#3 86 3000\n" + text, LONG]
    assert session.credit == {3: 1}
    assert session.end_stream(3) == [b'#3 26\n{"status":"ok","ret":null}']
    assert session.credit == {}


def test_what_cannot_be_sent_is_said_and_can_be_answered() -> None:
    session = frames(3, 4)
    with pytest.raises(TypeError, match="object"):
        session.reply(3, object())
    session.stream(4)
    session.receive_request(line(next_of(1), 4))
    with pytest.raises(TypeError, match="object"):
        session.item(4, object())
    assert session.under_way(3)
    assert session.credit == {4: 1}
    session.fail(3, TypeError())
    session.fail(4, TypeError())
    assert not session.under_way(3)
    assert not session.under_way(4)


def test_exceptions_are_answers() -> None:
    [piece] = frames(3).fail(3, ValueError("bad"))
    assert piece == (
        b'#3 130\n{"status":"failed","exception":{"class":"ValueError","args":{"__jsonclass__":'
        b'["tuple",[["bad"]]]},"message":"bad","traceback":[]}}'
    )


def test_an_error_of_memory_says_where() -> None:
    for error in (MemoryError(), MemoryError("too large")):
        found = raised_by(lines(1).fail(1, error))
        assert isinstance(found, MemoryError)
        assert str(found) == (str(error) or "not enough memory on the server")


@pytest.mark.parametrize("request_text", [CALL, LISTING])
def test_a_number_is_that_of_one_call_at_a_time(request_text: bytes) -> None:
    session = frames(3, 4)
    session.stream(4)
    for number in (3, 4):
        with pytest.raises(ProtocolError, match=f"call number {number} is under way already"):
            session.receive_request(line(request_text, number))
    session.reply(3, None)
    session.end_stream(4)
    for number in (3, 4):
        session.receive_request(line(request_text, number))


@pytest.mark.parametrize("request_text", [CALL, LISTING])
def test_the_number_of_a_call_is_not_0(request_text: bytes) -> None:
    with pytest.raises(ProtocolError, match="the number of a call is 1 or more, got 0"):
        frames().receive_request(line(request_text, 0))


@pytest.mark.parametrize("bad", [b"{", b"{}", b'{"action":"next","n":0}', LineTooLong(9, 5)])
def test_what_is_no_request_has_no_number_that_is_under_way(bad: bytes | LineTooLong) -> None:
    session = frames(3, 4)
    session.stream(4)
    for number in (3, 4):
        with pytest.raises(ProtocolError, match=f"a second request with the number {number}: "):
            session.receive_request(line(bad, number))
    with pytest.raises((ValueError, KeyError)) as caught:
        session.receive_request(line(bad, 5))
    assert not isinstance(caught.value, ProtocolError)
    assert session.fail(5, caught.value)[0].startswith(b"#5 ")  # type: ignore[union-attr]
    assert not session.under_way(5)


def test_so_many_calls_can_be_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_session, "MAX_CALLS", 3)
    session = frames(1, 2)
    assert not session.busy
    session.receive_request(line(LISTING, 3))
    assert session.busy
    session.stream(2)  # it has been answered, if not to the end
    assert not session.busy


def test_so_many_bytes_of_calls_can_be_under_way() -> None:
    session = selected_session(FRAMES, max_message=200)
    size = len(CALL)
    for number in range(1, 400 // size + 1):
        assert not session.busy
        session.receive_request((number, CALL, []))
    session.receive_request((1000, CALL, [memoryview(bytes(100))]))
    assert session.busy
    session.reply(1000, None)
    assert not session.busy


def test_generators_count_until_they_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_session, "MAX_GENERATORS", 2)
    session = frames(1, 2, 3)
    session.stream(1)
    session.stream(2)
    session.fail(1, ValueError())  # it may take long to clean up
    with pytest.raises(RuntimeError, match="2 generators of this client are under way already"):
        session.stream(3)
    session.stream_closed()
    assert session.stream(3) == [b"#3 19\n" + STREAM]


# --- any conversation --------------------------------------------------------------------------


def reader() -> MessageReader:
    found = MessageReader()
    found.expect_frames()
    return found


NUMBERS = st.integers(0, 4)
BAD = st.sampled_from([b"", b"[]", b"{}", b'{"action":"next","n":-1}', b'{"action":"nosuch"}'])


class Conversations(RuleBasedStateMachine):
    """Requests and answers in any order, beside what each number means by then."""

    def __init__(self) -> None:
        super().__init__()
        self.session = selected_session(FRAMES + b" properties", properties=True)
        self.reader = reader()
        self.calls: set[int] = set()
        self.credit: dict[int, int] = {}

    def receive(self, number: int, text: bytes) -> Any:
        """Have a request arrive, as bytes."""
        [message] = self.session.incoming.feed(b"#%d %d\n%b" % (number, len(text), text))
        return self.session.receive_request(message)

    def sent(self, pieces: list[Any]) -> tuple[int, Any]:
        """Read what is sent as a client does; return its number and status."""
        [(number, text, buffers)] = self.reader.feed(b"".join(pieces))
        return number, pyon.decode(text, buffers=buffers)["status"]

    @rule(number=NUMBERS, text=st.sampled_from([CALL, LISTING, GET, SET, PING, STATUS]))
    def asks(self, number: int, text: bytes) -> None:
        if not number or number in self.calls or number in self.credit:
            with pytest.raises(ProtocolError):
                self.receive(number, text)
        else:
            self.receive(number, text)
            self.calls.add(number)

    @rule(number=NUMBERS, text=BAD)
    def says_nonsense(self, number: int, text: bytes) -> None:
        if number in self.calls or number in self.credit:
            with pytest.raises(ProtocolError):
                self.receive(number, text)
        else:
            with pytest.raises((ValueError, KeyError)) as caught:
                self.receive(number, text)
            assert self.sent(self.session.fail(number, caught.value)) == (number, "failed")

    @rule(number=NUMBERS, count=st.integers(1, 3))
    def asks_for_items(self, number: int, count: int) -> None:
        assert self.receive(number, next_of(count)) == NextRequest(count)
        if number in self.credit:
            self.credit[number] += count

    @rule(number=NUMBERS)
    def cancels(self, number: int) -> None:
        assert self.receive(number, CANCEL) == CancelRequest()  # the shell ends it, or does not

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), how=st.sampled_from(["reply", "fail", "stream", "too strange"]))
    def is_answered(self, data: st.DataObject, how: str) -> None:
        number = data.draw(st.sampled_from(sorted(self.calls)))
        if how == "reply":
            assert self.sent(self.session.reply(number, [number, LONG])) == (number, "ok")
        elif how == "fail":
            assert self.sent(self.session.fail(number, OSError())) == (number, "failed")
        elif how == "stream":
            assert self.sent(self.session.stream(number)) == (number, "stream")
            self.credit[number] = 0
        else:
            with pytest.raises(TypeError):
                self.session.reply(number, object())
            return
        self.calls.remove(number)

    @precondition(lambda self: any(self.credit.values()))
    @rule(data=st.data(), value=st.sampled_from([None, LONG]))
    def is_given_an_item(self, data: st.DataObject, value: Any) -> None:
        asked = sorted(number for number, count in self.credit.items() if count)
        number = data.draw(st.sampled_from(asked))
        assert self.sent(self.session.item(number, value)) == (number, "item")
        self.credit[number] -= 1

    @precondition(lambda self: self.credit)
    @rule(data=st.data(), fails=st.booleans())
    def comes_to_the_end(self, data: st.DataObject, fails: bool) -> None:
        number = data.draw(st.sampled_from(sorted(self.credit)))
        if fails:
            assert self.sent(self.session.fail(number, OSError())) == (number, "failed")
        else:
            assert self.sent(self.session.end_stream(number)) == (number, "ok")
        del self.credit[number]
        self.session.stream_closed()

    @invariant()
    def what_is_under_way_is_known(self) -> None:
        for number in range(5):
            expected = number in self.calls or number in self.credit
            assert self.session.under_way(number) == expected
        assert self.session.credit == self.credit
        assert not self.session.busy  # there are few
        assert (self.session._size == 0) == (not self.calls)


TestConversations = Conversations.TestCase
