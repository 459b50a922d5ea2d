"""RPC conversations as bytes and messages."""

from typing import Any

import pytest

from sipyco_pyon import pyon
from sipyco_rpc.wire.client_session import GENERATOR, ClientSession
from sipyco_rpc.wire.exceptions import GenericRemoteException
from sipyco_rpc.wire.lines import LineTooLong
from sipyco_rpc.wire.server_session import (
    CallRequest,
    CancelRequest,
    ListRequest,
    NextRequest,
    ServerSession,
    check_target_names,
)
from sipyco_rpc.wire.session import AutoTarget, IncompatibleServer, ProtocolError

GREETING = b'{"targets":["lda"],"description":null,"features":["pyon_v2"]}'
FRAMES_GREETING = b'{"targets":["lda"],"description":null,"features":["pyon_v2","frames"]}'
OLD_GREETING = b'{"targets": ["lda"], "description": "old"}'
TWO_TARGETS = b'{"targets":["a","b"],"description":null,"features":["pyon_v2"]}'

LONG = b"\xff" * 3000  # bytes; too long to stand in a text


def line(text: bytes | LineTooLong) -> tuple[int, bytes | LineTooLong, list[Any]]:
    """Make a message of a line. Sessions leave the numbers to those who wait for replies."""
    return 1, text, []


def client(greeting: bytes = GREETING, methods: bytes | None = None) -> ClientSession:
    session = ClientSession()
    assert session.hello() == (1, [b"ARTIQ pc_rpc\n"])
    session.receive_identification(line(greeting))
    session.select(AutoTarget)
    if methods is not None:
        session.receive_methods(line(methods))
    return session


def server(selection: bytes = b"lda pyon_v2") -> ServerSession:
    session = ServerSession(["lda"])
    assert session.receive_selection(selection) == "lda"
    return session


def framed_client() -> ClientSession:
    return client(FRAMES_GREETING)


def framed_server() -> ServerSession:
    return server(b"lda pyon_v2 frames")


class TestClient:
    def test_selects_the_only_target_and_the_newer_dialect(self) -> None:
        session = ClientSession()
        session.receive_identification(line(GREETING))
        assert session.select(AutoTarget) == (1, [b"lda pyon_v2\n"])
        assert session.selected_target == "lda"

    def test_selects_nothing_that_was_not_offered(self) -> None:
        session = ClientSession()
        session.receive_identification(line(OLD_GREETING))
        assert session.select("lda") == (1, [b"lda\n"])
        assert session.call("f", (1,), {}) == (
            b'{"action": "call", "name": "f", "args": (1, ), "kwargs": {}}\n',
            [],
        )

    def test_reads_the_greeting_of_the_first_servers(self) -> None:
        session = ClientSession()
        session.receive_identification(line(b"{'targets': ['lda'], 'description': None}"))
        assert session.target_names == ["lda"]
        assert session.description is None

    @pytest.mark.parametrize(
        "greeting",
        [
            b"",
            b"SSH-2.0-OpenSSH_9.2",
            b"[]",
            b"\xff",
            b'{"targets": "lda", "description": null}',
            b'{"targets": [1], "description": null}',
            b'{"targets": []}',
            b'{"targets": ["a"], "description": 5}',
            b"__import__('os').getcwd()",
            b"[" * 100_000,
            b"(" * 5000,
            b'{"__jsonclass__":["nparray",[[1],"<i4","AAAAAA=="]]}',
            b'{"__jsonclass__":["npscalar",["<i4","AAAAAA=="]]}',
            b"{'targets': ['lda'], 'description': None" + b" " * 65_536 + b"}",
        ],
    )
    def test_refuses_other_greetings(self, greeting: bytes) -> None:
        with pytest.raises(IncompatibleServer, match="not an RPC server"):
            ClientSession().receive_identification(line(greeting))

    def test_a_target_whose_name_is_no_text_cannot_be_selected(self) -> None:
        session = ClientSession()
        session.receive_identification(line(b'{"targets":["a\\ud800"],"description":null}'))
        with pytest.raises(IncompatibleServer, match=r"no target can have the name 'a\\ud800'$"):
            session.select(AutoTarget)
        assert session.selected_target is None

    def test_says_which_targets_there_are(self) -> None:
        session = ClientSession()
        session.receive_identification(line(TWO_TARGETS))
        with pytest.raises(ValueError, match=r"^Server has multiple targets: a b$"):
            session.select(AutoTarget)
        with pytest.raises(IncompatibleServer, match=r"no target `c`.*: a b$"):
            session.select("c")
        assert session.select("b") == (1, [b"b pyon_v2\n"])
        with pytest.raises(ValueError, match="target `b` has been selected already"):
            session.select("a")

    def test_refuses_a_server_without_targets(self) -> None:
        session = ClientSession()
        session.receive_identification(line(b'{"targets":[],"description":null}'))
        with pytest.raises(IncompatibleServer, match="no targets"):
            session.select(AutoTarget)

    def test_learns_the_methods(self) -> None:
        session = client(methods=b'{"__jsonclass__":["set",[["f","g"]]]}')
        assert session.methods == {"f", "g"}

    def test_takes_an_empty_dictionary_of_the_older_dialect_for_no_methods(self) -> None:
        assert client(OLD_GREETING, b"{}").methods == frozenset()

    @pytest.mark.parametrize(
        "methods", [b"", b"[1]", b'{"a":1}', b'{"__jsonclass__":["set",[[1]]]}']
    )
    def test_refuses_methods_that_are_no_names(self, methods: bytes) -> None:
        with pytest.raises(IncompatibleServer, match="names of the methods of `lda`"):
            client(methods=methods)

    def test_calls(self) -> None:
        assert client().call("f", (1, 2), {"c": None}) == (
            (
                b'{"action":"call","name":"f","args":{"__jsonclass__":["tuple",[[1,2]]]},'
                b'"kwargs":{"c":null}}\n'
            ),
            [],
        )
        assert client().list_methods() == (b'{"action":"get_rpc_method_list"}\n', [])

    def test_counts_its_requests_as_their_replies_come_in_order(self) -> None:
        session = client()
        session.requests_sent = 2  # the banner and the selection
        body = session.call("f", (), {})
        assert session.request(body) == (3, [body[0]])
        session.requests_sent += 1
        assert session.replies_pending == 3
        session.incoming.feed(b"greeting\nmethods\nrep")
        assert session.replies_pending == 1

    def test_returns_the_value_of_a_reply(self) -> None:
        assert client().receive_reply(line(b'{"status":"ok","ret":[1]}')) == [1]

    def test_raises_the_exception_of_a_reply(self) -> None:
        reply = (
            b'{"status":"failed","exception":'
            b'{"class":"ValueError","message":"bad","traceback":["there\\n"]}}'
        )
        with pytest.raises(ValueError, match=r"^bad\n") as caught:
            client().receive_reply(line(reply))
        assert str(caught.value) == "bad"
        assert caught.value.parent_traceback == ["there\n"]  # type: ignore[attr-defined]

    @pytest.mark.parametrize(
        "failure",
        [
            b'"exception":"no such channel"',
            b'"message":"no such channel"',
            b'"exception":{"message":"no such channel"}',
            b'"exception":{"class":"GenericRemoteException","message":"no such channel"}',
        ],
    )
    def test_raises_what_a_small_server_says_of_an_exception(self, failure: bytes) -> None:
        for session in (client(), client(OLD_GREETING)):
            with pytest.raises(GenericRemoteException) as caught:
                session.receive_reply(line(b'{"status":"failed",%b}' % failure))
            assert str(caught.value) == "no such channel"

    @pytest.mark.parametrize(
        "reply",
        [
            b"",
            b"[]",
            b"{}",
            b'{"status":"ok"}',
            b'{"status":"failed"}',
            b'{"status":"failed","exception":null,"message":"text"}',
            b'{"status":"failed","exception":1}',
            b'{"status":"stream"}',  # without frames there are none
            b'{"status":"item","ret":1}',
        ],
    )
    def test_refuses_what_is_no_reply(self, reply: bytes) -> None:
        with pytest.raises(IncompatibleServer, match=r"expected a reply in PYON v2"):
            client().receive_reply(line(reply))

    def test_says_how_long_a_reply_was(self) -> None:
        with pytest.raises(LineTooLong, match="line of 7 bytes is too long: the limit is 5"):
            client().receive_reply(line(LineTooLong(7, 5)))

    def test_says_which_type_of_a_reply_it_does_not_know(self) -> None:
        with pytest.raises(TypeError, match="nosuch"):
            client().receive_reply(line(b'{"status":"ok","ret":{"__jsonclass__":["nosuch",[]]}}'))


class TestServer:
    def test_compares_the_banner_as_it_arrives(self) -> None:
        session = ServerSession(["lda"])
        assert session.check_banner(b"ARTIQ") is False
        assert session.check_banner(b"ARTIQ pc_rpc\nlda") is True
        for received in (b"X", b"ARTIQ x", b"ARTIQ pc_rpc\r\n", b"ARTIQ sync_struct\n"):
            with pytest.raises(ProtocolError, match="expected b'ARTIQ pc_rpc"):
                session.check_banner(received)

    def test_recognises_a_tls_handshake(self) -> None:
        with pytest.raises(ProtocolError, match=r"TLS handshake\?"):
            ServerSession([]).check_banner(b"\x16\x03\x01\x02\x00")

    def test_greets_in_plain_json_with_sorted_targets(self) -> None:
        assert ServerSession(["b", "a"], "µ").identification() == (
            b'{"targets":["a","b"],"description":"\\u00b5","features":["pyon_v2","frames"]}\n'
        )

    def test_offers_frames_unless_it_is_told_not_to(self) -> None:
        assert ServerSession(["lda"], frames=False).identification() == (
            b'{"targets":["lda"],"description":null,"features":["pyon_v2"]}\n'
        )
        with pytest.raises(ProtocolError, match="no feature `frames`; the server has: `pyon_v2`"):
            ServerSession(["lda"], frames=False).receive_selection(b"lda pyon_v2 frames")

    @pytest.mark.parametrize(
        "selection", [b"nosuch", b"", b"lda ", b"lda pyon_v3", b"lda  pyon_v2", b"\xff", b" lda"]
    )
    def test_refuses_unknown_targets_and_features(self, selection: bytes) -> None:
        with pytest.raises(ProtocolError):
            ServerSession(["lda"]).receive_selection(selection)

    def test_refuses_frames_without_the_newer_dialect(self) -> None:
        with pytest.raises(ProtocolError, match="`frames` needs `pyon_v2`"):
            ServerSession(["lda"]).receive_selection(b"lda frames")

    def test_speaks_the_dialect_that_was_selected(self) -> None:
        assert server(b"lda").methods({"f"}) == (b'{"f"}\n', [])
        assert server().methods({"f"}) == (b'{"__jsonclass__":["set",[["f"]]]}\n', [])
        assert server(b"lda pyon_v2 pyon_v2").result((1,)) == (
            b'{"status":"ok","ret":{"__jsonclass__":["tuple",[[1]]]}}\n',
            [],
        )
        assert server(b"lda").result((1,)) == (b'{"status": "ok", "ret": (1, )}\n', [])

    def test_sends_long_bytes_in_the_text_of_a_line(self) -> None:
        text, buffers = server().result(LONG)
        assert text.startswith(b'{"status":"ok","ret":{"__jsonclass__":["bytes",["////')
        assert not buffers
        assert server().pack(1, (text, buffers)) == [text]

    def test_takes_requests(self) -> None:
        request = b'{"action":"call","name":"f","args":[1],"kwargs":{"a":2}}'
        assert server().receive_request(line(request)) == CallRequest("f", [1], {"a": 2})
        listing = b'{"action":"get_rpc_method_list"}'
        assert server().receive_request(line(listing)) == ListRequest()
        old = b"{'action': 'call', 'name': 'f', 'args': (1,), 'kwargs': {}}"
        assert server(b"lda").receive_request(line(old)) == CallRequest("f", (1,), {})

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            (b"{bad", "not PYON v2"),
            (b"\xff\xfe\xff", "not"),
            (b"[]", "a request is a dictionary"),
            (b'{"action":"stop"}', r"unknown action 'stop'; .*: 'call', 'get_rpc_method_list'$"),
            (b'{"action":"next","n":1}', "unknown action 'next'"),  # there is one call at a time
            (b'{"action":"cancel"}', "unknown action 'cancel'"),
            (b'{"action":"call","args":[],"kwargs":{}}', "`name`"),
            (b'{"action":"call","name":"f","args":5,"kwargs":{}}', "`args`"),
            (b'{"action":"call","name":"f","args":[],"kwargs":[]}', "`kwargs`"),
        ],
    )
    def test_says_what_is_wrong_with_a_request(self, text: bytes, reason: str) -> None:
        with pytest.raises(ValueError, match=reason):
            server().receive_request(line(text))

    def test_a_requestneeds_an_action(self) -> None:
        with pytest.raises(KeyError, match="action"):
            server().receive_request(line(b"{}"))

    def test_says_how_long_a_requestwas(self) -> None:
        with pytest.raises(LineTooLong, match="line of 7 bytes is too long: the limit is 5"):
            server().receive_request(line(LineTooLong(7, 5)))

    def test_reports_exceptions_with_arguments_where_they_can_be_sent(self) -> None:
        with pytest.raises(KeyError) as caught:
            client().receive_reply(line(server().failure(KeyError("k"))[0]))
        assert caught.value.args == ("k",)
        with pytest.raises(GenericRemoteException, match="Strange"):
            client().receive_reply(line(server().failure(Strange(object()))[0]))

    def test_leaves_out_arguments_that_the_older_dialect_does_not_have(self) -> None:
        pyon.register([Strange], name="strange", encode=lambda _: (), decode=Strange)
        try:
            exc = ValueError(Strange("a"))
            exc.__cause__ = ExceptionGroup("g", [ValueError(Strange("b"))])
            with pytest.raises(ValueError, match="a") as caught:
                client(OLD_GREETING).receive_reply(line(server(b"lda").failure(exc)[0]))
            assert isinstance(caught.value.__cause__, ExceptionGroup)
            assert str(caught.value.__cause__.exceptions[0]) == "b"
        finally:
            pyon.deregister([Strange], "strange")

    def test_knows_what_it_can_send(self) -> None:
        assert server().encodable([1])
        assert not server().encodable(object())


class TestClientWithFrames:
    def test_selects_frames_where_they_are_offered(self) -> None:
        session = ClientSession()
        session.receive_identification(line(FRAMES_GREETING))
        assert session.select(AutoTarget) == (0, [b"lda pyon_v2 frames\n"])
        assert session.framed

    @pytest.mark.parametrize(
        ("features", "selection"),
        [
            (b'["pyon_v2"]', b"lda pyon_v2\n"),
            (b'["frames"]', b"lda\n"),  # they need the newer dialect
            (b'["frames","later","pyon_v2",5]', b"lda pyon_v2 frames\n"),
            (b'["Frames","pyon_v2"]', b"lda pyon_v2\n"),
        ],
    )
    def test_selects_what_it_knows_of_what_is_offered(
        self, features: bytes, selection: bytes
    ) -> None:
        session = ClientSession()
        session.receive_identification(
            line(b'{"targets":["lda"],"description":null,"features":%b}' % features)
        )
        _, pieces = session.select(AutoTarget)
        assert pieces == [selection]
        assert session.framed == (b"frames" in selection)

    def test_learns_the_methods_from_the_frame_of_number_0(self) -> None:
        session = framed_client()
        [message] = session.incoming.feed(b'#0 33\n{"__jsonclass__":["set",[["f"]]]}')
        assert message[0] == 0
        session.receive_methods(message)
        assert session.methods == {"f"}

    def test_calls(self) -> None:
        session = framed_client()
        session.requests_sent = 2  # the banner and the selection
        assert session.request(session.call("f", (1, "µ"), {})) == (
            3,
            [b'#3 60\n{"action":"call","name":"f","args":[1,"\\u00b5"],"kwargs":{}}'],
        )
        session.requests_sent += 1
        assert session.request(session.call("f", (), {"c": None})) == (
            4,
            [b'#4 58\n{"action":"call","name":"f","args":[],"kwargs":{"c":null}}'],
        )
        assert session.request(session.list_methods()) == (
            4,
            [b'#4 32\n{"action":"get_rpc_method_list"}'],
        )

    def test_sends_long_bytes_as_they_are(self) -> None:
        session = framed_client()
        number, pieces = session.request(session.call("f", (LONG, b"short"), {}))
        assert number == 1
        text = (
            b'{"action":"call","name":"f","args":[{"__jsonclass__":["bytes",['
            b'{"__jsonclass__":["buffer",[0]]}]]},'
            b'{"__jsonclass__":["bytes",["c2hvcnQ="]]}],"kwargs":{}}'
        )
        assert pieces == [b"#1 153 3000\n" + text, LONG]

    def test_returns_the_value_of_a_reply(self) -> None:
        session = framed_client()
        [message] = session.incoming.feed(
            b'#3 94 1\n{"status":"ok","ret":[{"__jsonclass__":["bytes",'
            b'[{"__jsonclass__":["buffer",[0]]}]]},{"a":5}]}\xff'
        )
        assert session.receive_reply(message) == [b"\xff", {"a": 5}]

    def test_raises_the_exception_of_a_reply(self) -> None:
        reply = (
            b'{"status":"failed","exception":'
            b'{"class":"ValueError","message":"bad","traceback":["there\\n"]}}'
        )
        with pytest.raises(ValueError, match=r"^bad\n"):
            framed_client().receive_reply((3, reply, []))

    @pytest.mark.parametrize(
        ("text", "buffers"),
        [
            (b"", []),
            (b"{}", []),
            (b'{"status":"ok"}', []),
            (b'{"status":"item"}', []),
            (b'{"status":"failed","exception":1}', []),
            (b'{"status":"ok","ret":{"__jsonclass__":["buffer",[0]]}}', []),
            (b'{"status":"ok","ret":{"__jsonclass__":["buffer",[1]]}}', [b"x"]),
            (b'{"status":"ok","ret":{"__jsonclass__":["buffer",[-1]]}}', [b"x"]),
        ],
    )
    def test_refuses_what_is_no_reply(self, text: bytes, buffers: list[bytes]) -> None:
        with pytest.raises(IncompatibleServer, match=r"expected a reply in PYON v2"):
            framed_client().receive_reply((3, text, buffers))

    def test_a_generator_is_answered_by_a_stream(self) -> None:
        assert framed_client().receive_reply((3, b'{"status":"stream"}', [])) is GENERATOR

    def test_asks_for_items_and_takes_them(self) -> None:
        session = framed_client()
        session.open_stream(3)
        assert session.allow_items(3)
        assert session.control_frames == b'#3 23\n{"action":"next","n":2}'
        assert session.receive_item((3, b'{"status":"item","ret":[1]}', [])) == (True, [1])
        assert session.receive_item((3, b'{"status":"item","ret":null}', [])) == (True, None)
        assert session.receive_item((3, b'{"status":"ok","ret":null}', [])) == (False, None)
        failed = b'{"status":"failed","exception":{"class":"KeyError","message":"k"}}'
        goes_on, error = session.receive_item((3, failed, []))
        assert not goes_on
        assert isinstance(error, KeyError)

    def test_an_item_is_no_reply_and_a_stream_no_item(self) -> None:
        with pytest.raises(IncompatibleServer, match="expected a reply, got an item"):
            framed_client().receive_reply((3, b'{"status":"item","ret":1}', []))
        with pytest.raises(IncompatibleServer, match="expected an item"):
            framed_client().receive_item((3, b'{"status":"stream"}', []))

    def test_cancels_calls(self) -> None:
        session = framed_client()
        session.cancel_call(12, reply_pending=True)
        session.collect_cancels()
        assert session.control_frames == b'#12 19\n{"action":"cancel"}'


class TestServerWithFrames:
    def test_gives_the_names_of_methods_the_number_0(self) -> None:
        session = framed_server()
        assert session.pack(0, session.methods({"f"})) == [
            b'#0 33\n{"__jsonclass__":["set",[["f"]]]}'
        ]

    def test_takes_requests(self) -> None:
        session = framed_server()
        [call, listing, more, cancel] = session.incoming.feed(
            b'#3 61\n{"action":"call","name":"f","args":[1,2],"kwargs":{"a":null}}'
            b'#4 32\n{"action":"get_rpc_method_list"}'
            b'#3 24\n{"action":"next","n":10}'
            b'#3 19\n{"action":"cancel"}'
        )
        assert [message[0] for message in (call, listing, more, cancel)] == [3, 4, 3, 3]
        assert session.receive_request(call) == CallRequest("f", [1, 2], {"a": None})
        assert session.receive_request(listing) == ListRequest()
        assert session.receive_request(more) == NextRequest(10)
        assert session.receive_request(cancel) == CancelRequest()

    def test_takes_buffers(self) -> None:
        session = framed_server()
        [message] = session.incoming.feed(
            b'#7 112 2\n{"action":"call","name":"f","args":[{"__jsonclass__":["bytes",'
            b'[{"__jsonclass__":["buffer",[0]]}]]}],"kwargs":{}}\n\xff'
        )
        assert session.receive_request(message) == CallRequest("f", [b"\n\xff"], {})

    @pytest.mark.parametrize(
        "n", [b"0", b"-1", b"true", b"1.0", b'"1"', b"null", b"[1]", b"1000000001", b"1e3"]
    )
    def test_refuses_a_number_of_items_that_makes_no_sense(self, n: bytes) -> None:
        with pytest.raises(ValueError, match="`next` needs `n`, how many items, got"):
            framed_server().receive_request((3, b'{"action":"next","n":%b}' % n, []))

    def test_refuses_to_go_on_by_nothing(self) -> None:
        with pytest.raises(ValueError, match="`next` needs `n`, how many items, got None"):
            framed_server().receive_request((3, b'{"action":"next"}', []))

    def test_says_what_actions_there_are(self) -> None:
        with pytest.raises(ValueError, match=r"'call', 'get_rpc_method_list', 'next', 'cancel'$"):
            framed_server().receive_request((3, b'{"action":"stop"}', []))

    def test_replies(self) -> None:
        session = framed_server()
        assert session.pack(3, session.result((1,))) == [
            b'#3 55\n{"status":"ok","ret":{"__jsonclass__":["tuple",[[1]]]}}'
        ]
        text = (
            b'{"status":"ok","ret":{"__jsonclass__":["bytes",[{"__jsonclass__":["buffer",[0]]}]]}}'
        )
        assert session.pack(3, session.result(LONG)) == [b"#3 84 3000\n" + text, LONG]

    def test_gives_items(self) -> None:
        session = framed_server()
        assert session.pack(3, session.stream()) == [b'#3 19\n{"status":"stream"}']
        assert session.pack(3, session.item(1)) == [b'#3 25\n{"status":"item","ret":1}']
        text = (
            b'{"status":"item","ret":'
            b'{"__jsonclass__":["bytes",[{"__jsonclass__":["buffer",[0]]}]]}}'
        )
        assert session.pack(3, session.item(LONG)) == [b"#3 86 3000\n" + text, LONG]
        assert session.pack(3, session.result(None)) == [b'#3 26\n{"status":"ok","ret":null}']

    def test_says_what_cannot_be_sent(self) -> None:
        for make in (framed_server().result, framed_server().item):
            with pytest.raises(TypeError, match="object"):
                make(object())

    def test_reports_exceptions(self) -> None:
        text, buffers = framed_server().failure(ValueError("bad"))
        assert text == (
            b'{"status":"failed","exception":{"class":"ValueError","args":{"__jsonclass__":'
            b'["tuple",[["bad"]]]},"message":"bad","traceback":[]}}'
        )
        assert not buffers
        with pytest.raises(ValueError, match=r"^bad$"):
            framed_client().receive_reply((3, text, buffers))


class Strange(Exception):
    pass


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
