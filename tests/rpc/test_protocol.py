"""RPC conversations as bytes and lines."""

import pytest

from sipyco_rpc.packed_exceptions import GenericRemoteException
from sipyco_rpc.protocol import (
    AutoTarget,
    CallRequest,
    ClientSession,
    IncompatibleServer,
    ListRequest,
    ProtocolError,
    ServerSession,
    check_target_names,
)

GREETING = b'{"targets":["lda"],"description":null,"features":["pyon_v2"]}'
OLD_GREETING = b'{"targets": ["lda"], "description": "old"}'
TWO_TARGETS = b'{"targets":["a","b"],"description":null,"features":["pyon_v2"]}'


def client(greeting: bytes = GREETING, methods: bytes | None = None) -> ClientSession:
    session = ClientSession()
    assert session.hello() == b"ARTIQ pc_rpc\n"
    session.receive_identification(greeting)
    session.select(AutoTarget)
    if methods is not None:
        session.receive_methods(methods)
    return session


def server(selection: bytes = b"lda pyon_v2") -> ServerSession:
    session = ServerSession(["lda"])
    assert session.receive_selection(selection) == "lda"
    return session


class TestClient:
    def test_selects_the_only_target_and_the_newer_dialect(self) -> None:
        session = ClientSession()
        session.receive_identification(GREETING)
        assert session.select(AutoTarget) == b"lda pyon_v2\n"
        assert session.selected_target == "lda"

    def test_selects_nothing_that_was_not_offered(self) -> None:
        session = ClientSession()
        session.receive_identification(OLD_GREETING)
        assert session.select("lda") == b"lda\n"
        assert session.call("f", (1,), {}) == (
            b'{"action": "call", "name": "f", "args": (1, ), "kwargs": {}}\n'
        )

    def test_reads_the_greeting_of_the_first_servers(self) -> None:
        session = ClientSession()
        session.receive_identification(b"{'targets': ['lda'], 'description': None}")
        assert session.target_names == ["lda"]
        assert session.description is None

    @pytest.mark.parametrize(
        "line",
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
        ],
    )
    def test_refuses_other_greetings(self, line: bytes) -> None:
        with pytest.raises(IncompatibleServer, match="not an RPC server"):
            ClientSession().receive_identification(line)

    def test_says_which_targets_there_are(self) -> None:
        session = ClientSession()
        session.receive_identification(TWO_TARGETS)
        with pytest.raises(ValueError, match=r"^Server has multiple targets: a b$"):
            session.select(AutoTarget)
        with pytest.raises(IncompatibleServer, match=r"no target `c`.*: a b$"):
            session.select("c")
        assert session.select("b") == b"b pyon_v2\n"
        with pytest.raises(ValueError, match="target `b` has been selected already"):
            session.select("a")

    def test_refuses_a_server_without_targets(self) -> None:
        session = ClientSession()
        session.receive_identification(b'{"targets":[],"description":null}')
        with pytest.raises(IncompatibleServer, match="no targets"):
            session.select(AutoTarget)

    def test_learns_the_methods(self) -> None:
        session = client(methods=b'{"__jsonclass__":["set",[["f","g"]]]}')
        assert session.methods == {"f", "g"}

    def test_takes_an_empty_dictionary_of_the_older_dialect_for_no_methods(self) -> None:
        assert client(OLD_GREETING, b"{}").methods == frozenset()

    @pytest.mark.parametrize("line", [b"", b"[1]", b'{"a":1}', b'{"__jsonclass__":["set",[[1]]]}'])
    def test_refuses_methods_that_are_no_names(self, line: bytes) -> None:
        with pytest.raises(IncompatibleServer, match="names of the methods of `lda`"):
            client(methods=line)

    def test_calls(self) -> None:
        assert client().call("f", (1, 2), {"c": None}) == (
            b'{"action":"call","name":"f","args":{"__jsonclass__":["tuple",[[1,2]]]},'
            b'"kwargs":{"c":null}}\n'
        )
        assert client().list_methods() == b'{"action":"get_rpc_method_list"}\n'

    def test_returns_the_value_of_a_reply(self) -> None:
        assert client().receive_reply(b'{"status":"ok","ret":[1]}') == [1]

    def test_raises_the_exception_of_a_reply(self) -> None:
        reply = (
            b'{"status":"failed","exception":'
            b'{"class":"ValueError","message":"bad","traceback":["there\\n"]}}'
        )
        with pytest.raises(ValueError, match=r"^bad\n") as caught:
            client().receive_reply(reply)
        assert str(caught.value) == "bad"
        assert caught.value.parent_traceback == ["there\n"]  # type: ignore[attr-defined]

    @pytest.mark.parametrize(
        "line", [b"", b"[]", b"{}", b'{"status":"ok"}', b'{"status":"failed","exception":1}']
    )
    def test_refuses_what_is_no_reply(self, line: bytes) -> None:
        with pytest.raises(IncompatibleServer, match=r"expected a reply in PYON v2"):
            client().receive_reply(line)

    def test_says_which_type_of_a_reply_it_does_not_know(self) -> None:
        with pytest.raises(TypeError, match="nosuch"):
            client().receive_reply(b'{"status":"ok","ret":{"__jsonclass__":["nosuch",[]]}}')


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
            b'{"targets":["a","b"],"description":"\\u00b5","features":["pyon_v2"]}\n'
        )

    @pytest.mark.parametrize(
        "line", [b"nosuch", b"", b"lda ", b"lda pyon_v3", b"lda  pyon_v2", b"\xff", b" lda"]
    )
    def test_refuses_unknown_targets_and_features(self, line: bytes) -> None:
        with pytest.raises(ProtocolError):
            ServerSession(["lda"]).receive_selection(line)

    def test_speaks_the_dialect_that_was_selected(self) -> None:
        assert server(b"lda").methods({"f"}) == b'{"f"}\n'
        assert server().methods({"f"}) == b'{"__jsonclass__":["set",[["f"]]]}\n'
        assert server(b"lda pyon_v2 pyon_v2").result((1,)) == (
            b'{"status":"ok","ret":{"__jsonclass__":["tuple",[[1]]]}}\n'
        )
        assert server(b"lda").result((1,)) == b'{"status": "ok", "ret": (1, )}\n'

    def test_takes_requests(self) -> None:
        line = b'{"action":"call","name":"f","args":[1],"kwargs":{"a":2}}'
        assert server().receive_request(line) == CallRequest("f", (1,), {"a": 2})
        assert server().receive_request(b'{"action":"get_rpc_method_list"}') == ListRequest()
        old = b"{'action': 'call', 'name': 'f', 'args': (1,), 'kwargs': {}}"
        assert server(b"lda").receive_request(old) == CallRequest("f", (1,), {})

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            (b"{bad", "not PYON v2"),
            (b"\xff\xfe\xff", "not"),
            (b"[]", "a request is a dictionary"),
            (b'{"action":"stop"}', "unknown action 'stop'"),
            (b'{"action":"call","args":[],"kwargs":{}}', "`name`"),
            (b'{"action":"call","name":"f","args":5,"kwargs":{}}', "`args`"),
            (b'{"action":"call","name":"f","args":[],"kwargs":[]}', "`kwargs`"),
        ],
    )
    def test_says_what_is_wrong_with_a_request(self, line: bytes, reason: str) -> None:
        with pytest.raises(ValueError, match=reason):
            server().receive_request(line)

    def test_reports_exceptions_with_arguments_where_they_can_be_sent(self) -> None:
        with pytest.raises(KeyError) as caught:
            client().receive_reply(server().failure(KeyError("k"))[:-1])
        assert caught.value.args == ("k",)
        with pytest.raises(GenericRemoteException, match="Strange"):
            client().receive_reply(server().failure(Strange(object()))[:-1])

    def test_knows_what_it_can_send(self) -> None:
        assert server().encodable([1])
        assert not server().encodable(object())


class Strange(Exception):
    pass


@pytest.mark.parametrize("name", ["", "a b", " a", "a\n", "\t"])
def test_a_target_name_is_a_word(name: str) -> None:
    check_target_names(["fine", "µ"])
    with pytest.raises(ValueError, match="without white space"):
        check_target_names([name])
