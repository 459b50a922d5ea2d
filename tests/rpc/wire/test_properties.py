"""Requests about properties, both sides, as bytes: who offers, who selects, what is asked."""

from __future__ import annotations

from typing import Any

import pytest

from sipyco_pyon import pyon
from sipyco_rpc.wire.client_session import ClientSession
from sipyco_rpc.wire.exceptions import unpack_exception
from sipyco_rpc.wire.requests import GetPropertyRequest, ListRequest, SetPropertyRequest
from sipyco_rpc.wire.server_session import ServerSession
from sipyco_rpc.wire.session import AutoTarget, IncompatibleServer, ProtocolError
from support.pairs import selected_session, served

GREETING = b'{"targets":["psu"],"description":null,"features":["pyon_v2","properties"]}'
ALL_FEATURES = GREETING.replace(b'"pyon_v2"', b'"pyon_v2","frames"')
NAMES = (
    b'{"methods":{"__jsonclass__":["set",[["f"]]]},'
    b'"properties":{"__jsonclass__":["set",[["voltage"]]]}}'
)
GET = b'{"action":"get_property","name":"voltage"}'
SET = b'{"action":"set_property","name":"voltage","value":12}'


def line(text: bytes, number: int = 1) -> Any:
    return number, text, []


def client(greeting: bytes = GREETING, names: bytes = NAMES) -> ClientSession:
    session = ClientSession()
    session.receive_identification(line(greeting))
    session.select(AutoTarget)
    session.receive_methods(line(names, 0))
    return session


def server(selection: bytes = b"psu pyon_v2 properties", *, offered: bool = True) -> ServerSession:
    return selected_session(selection, properties=offered)


def said_by(session: ServerSession, data: bytes) -> bytes:
    """Return what a server answers in the handshake."""
    said: list[bytes] = []
    list(served(session, data, {"f"}, lambda *pieces: said.extend(map(bytes, pieces))))
    return b"".join(said)


# --- the handshake -----------------------------------------------------------------------------


def test_a_server_offers_the_word_where_properties_are_switched_on_and_only_there() -> None:
    banner = b"ARTIQ pc_rpc\n"
    greeting = b'{"targets":["psu"],"description":null,"features":["pyon_v2","frames"%b]}\n'
    assert said_by(ServerSession(["psu"]), banner) == greeting % b""
    assert said_by(ServerSession(["psu"], properties=True), banner) == greeting % b',"properties"'


@pytest.mark.parametrize(
    ("greeting", "selection"),
    [
        (GREETING, b"psu pyon_v2 properties\n"),
        (ALL_FEATURES, b"psu pyon_v2 frames properties\n"),
        (GREETING.replace(b'"pyon_v2",', b""), b"psu\n"),
    ],
)
def test_a_client_selects_the_word_where_it_is_offered_beside_the_newer_dialect(
    greeting: bytes, selection: bytes
) -> None:
    session = ClientSession()
    session.receive_identification(line(greeting))
    assert session.select(AutoTarget)[1] == [selection]


def test_a_client_that_does_not_know_the_word_sees_what_it_has_always_seen() -> None:
    session = server(b"psu pyon_v2")
    assert session.accept({"f"}, {"voltage"}) == [b'{"__jsonclass__":["set",[["f"]]]}\n']
    with pytest.raises(ValueError, match=r"unknown action 'get_property'; .*, 'status'$"):
        session.receive_request(line(GET))
    old = server(b"psu")
    assert old.accept({"f"}, {"voltage"}) == [b'{"f"}\n']


def test_the_names_of_properties_stand_beside_those_of_methods() -> None:
    assert server().accept(["f"], ["voltage"]) == [NAMES + b"\n"]
    session = client()
    assert session.methods == {"f"}
    assert session.properties == {"voltage"}
    framed = server(b"psu pyon_v2 frames properties")
    assert b"".join(framed.accept(["f"], ["voltage"])) == b"#0 %d\n" % len(NAMES) + NAMES


def test_without_the_word_there_are_no_properties() -> None:
    session = client(GREETING.replace(b',"properties"', b""), b'{"__jsonclass__":["set",[["f"]]]}')
    assert session.properties == frozenset()


def test_a_name_that_is_said_to_be_both_is_a_method() -> None:
    both = NAMES.replace(b"voltage", b"f")
    session = client(names=both)
    assert (session.methods, session.properties) == ({"f"}, frozenset())


def test_a_private_name_is_no_property() -> None:
    session = client(names=NAMES.replace(b'"voltage"', b'"voltage","_RemoteTarget__properties"'))
    assert session.properties == {"voltage"}


@pytest.mark.parametrize(
    "names",
    [
        b'{"__jsonclass__":["set",[["f"]]]}',
        b"{}",
        NAMES.replace(b"voltage", b'x",1,"'),
        NAMES.replace(b'"properties"', b'"others"'),
        b'{"methods":{"__jsonclass__":["set",[["f"]]]},"properties":["voltage"]}',
    ],
)
def test_other_names_are_refused(names: bytes) -> None:
    with pytest.raises(IncompatibleServer, match="names of the methods of `psu`"):
        client(names=names)


def test_a_target_that_cannot_be_made_is_told_with_the_word_as_well() -> None:
    reply = b'{"status":"failed","exception":{"class":"ValueError","message":"no","traceback":[]}}'
    with pytest.raises(ValueError, match="no"):
        client(ALL_FEATURES, reply)


def test_the_word_needs_the_newer_dialect() -> None:
    with pytest.raises(ProtocolError, match="`properties` needs `pyon_v2`"):
        server(b"psu properties")
    with pytest.raises(ProtocolError, match="no feature `properties`"):
        server(offered=False)


# --- requests ----------------------------------------------------------------------------------


def test_the_requests_are_written() -> None:
    assert client().get_property("voltage") == (GET + b"\n", [])
    assert client().set_property("voltage", 12) == (SET + b"\n", [])
    assert client(ALL_FEATURES).set_property("voltage", 12) == (SET, [])


def test_what_is_large_travels_beside_the_text() -> None:
    data = bytes(70_000)
    text, buffers = client(ALL_FEATURES).set_property("voltage", data)
    assert text == (
        b'{"action":"set_property","name":"voltage",'
        b'"value":{"__jsonclass__":["bytes",[{"__jsonclass__":["buffer",[0]]}]]}}'
    )
    session = server(b"psu pyon_v2 frames properties")
    assert session.receive_request((3, text, buffers)) == SetPropertyRequest("voltage", data)


@pytest.mark.parametrize(
    "selection", [b"psu pyon_v2 properties", b"psu pyon_v2 frames properties"]
)
def test_the_requests_are_taken_and_answered_like_calls(selection: bytes) -> None:
    session = server(selection)
    assert session.receive_request(line(GET)) == GetPropertyRequest("voltage")
    assert session.under_way(1)
    assert session.busy is not session.framed
    [reply] = session.reply(1, 12)
    assert bytes(reply).strip().endswith(b'{"status":"ok","ret":12}')
    assert session.receive_request(line(SET, 2)) == SetPropertyRequest("voltage", 12)
    session.fail(2, ValueError())
    assert not session.under_way(2)
    assert not session.busy


def test_a_number_that_is_in_use_is_refused() -> None:
    session = server(b"psu pyon_v2 frames properties")
    session.receive_request(line(GET, 3))
    with pytest.raises(ProtocolError, match="call number 3 is under way already"):
        session.receive_request(line(SET, 3))
    with pytest.raises(ProtocolError, match="the number of a call is 1 or more"):
        session.receive_request(line(GET, 0))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"action":"get_property"}', "`get_property` needs a `name` that is a string, got None"),
        (b'{"action":"get_property","name":[]}', "`get_property` needs a `name`"),
        (b'{"action":"set_property","name":5,"value":1}', "`set_property` needs a `name`"),
        (b'{"action":"set_property","name":"voltage"}', "`set_property` needs a `value`"),
        (
            b'{"action":"stop"}',
            "'call', 'get_rpc_method_list', .*'get_property', 'set_property'$",
        ),
    ],
)
def test_what_is_wrong_with_a_request_is_said(text: bytes, reason: str) -> None:
    session = server()
    with pytest.raises(ValueError, match=reason) as caught:
        session.receive_request(line(text))
    [reply] = session.fail(1, caught.value)
    error = unpack_exception(pyon.decode(bytes(reply).decode())["exception"])
    assert str(error) == str(caught.value)


def test_none_is_a_value() -> None:
    request = b'{"action":"set_property","name":"voltage","value":null}'
    assert server().receive_request(line(request)) == SetPropertyRequest("voltage", None)


def test_other_requests_are_taken_as_before() -> None:
    assert server().receive_request(line(b'{"action":"get_rpc_method_list"}')) == ListRequest()


# --- replies -----------------------------------------------------------------------------------


def test_the_reply_is_a_value_or_what_was_raised() -> None:
    assert client().receive_value(line(b'{"status":"ok","ret":12}')) == 12
    failure = b'{"status":"failed","exception":{"class":"OSError","message":"x","traceback":[]}}'
    with pytest.raises(OSError, match=r"^x$"):
        client().receive_value(line(failure))


def test_a_generator_is_no_answer_to_a_request_for_a_value() -> None:
    session = client(ALL_FEATURES)
    with pytest.raises(IncompatibleServer, match="expected a value, got the beginning of a gen"):
        session.receive_value(line(b'{"status":"stream"}'))
