"""RPC conversations as bytes and messages."""

from typing import Any

import pytest

from sipyco_rpc.wire.client_session import GENERATOR, ClientSession
from sipyco_rpc.wire.exceptions import GenericRemoteException
from sipyco_rpc.wire.lines import LineTooLong
from sipyco_rpc.wire.session import AutoTarget, IncompatibleServer

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


def framed_client() -> ClientSession:
    return client(FRAMES_GREETING)


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

    def test_asks_for_the_status_and_pings(self) -> None:
        session = client()
        assert session.ask_status() == (b'{"action":"status"}\n', [])
        assert session.ping() == (b'{"action":"ping"}\n', [])

    def test_takes_the_status(self) -> None:
        session = client()
        assert session.receive_status(line(b'{"status":"ok","ret":{"a":1}}')) == {"a": 1}

    def test_says_of_a_server_that_tells_no_status_what_it_said(self) -> None:
        failure = b'{"status":"failed","exception":{"class":"ValueError","message":"what?"}}'
        with pytest.raises(IncompatibleServer) as caught:
            client().receive_status(line(failure))
        assert str(caught.value) == (
            "the server does not tell its status: it is of an older version, or its status is "
            "switched off (it said: ValueError: what?)"
        )

    def test_refuses_what_is_no_status(self) -> None:
        with pytest.raises(IncompatibleServer, match="expected a status, got"):
            client().receive_status(line(b'{"status":"ok","ret":5}'))

    def test_takes_any_answer_to_a_ping_for_one(self) -> None:
        client().receive_pong(line(b'{"status":"ok","ret":null}'))
        client().receive_pong(line(b'{"status":"failed","exception":{"message":"what?"}}'))
        with pytest.raises(IncompatibleServer):
            client().receive_pong(line(b"what?"))

    def test_says_how_long_a_reply_was(self) -> None:
        with pytest.raises(LineTooLong, match="line of 7 bytes is too long: the limit is 5"):
            client().receive_reply(line(LineTooLong(7, 5)))

    def test_says_which_type_of_a_reply_it_does_not_know(self) -> None:
        with pytest.raises(TypeError, match="nosuch"):
            client().receive_reply(line(b'{"status":"ok","ret":{"__jsonclass__":["nosuch",[]]}}'))


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
