"""Lines become log entries, and what is no entry is refused. No sockets."""

from __future__ import annotations

import logging

import pytest

from sipyco_tools._logging import session as session_module
from sipyco_tools._logging.session import Entry, EntryReader, LogSession, Refused
from support.records import recorded


def test_entries_of_one_and_of_many_lines() -> None:
    reader = EntryReader(forwarded=True)
    assert reader.take("s:INFO:n:m") == Entry("s", logging.INFO, "n", "m")
    assert reader.take("s:WARNING<3>:n:a") is None
    assert reader.take("b:c") is None
    assert reader.take("") == Entry("s", logging.WARNING, "n", "a\nb:c\n")
    assert reader.finish() is None
    assert reader.take("s:just text") == Entry("s", logging.INFO, "print", "just text")


def test_an_entry_may_end_early() -> None:
    reader = EntryReader(forwarded=True)
    reader.take("s:ERROR<3>:n:a")
    reader.take("b")
    assert reader.finish() == Entry("s", logging.ERROR, "n", "a\nb")


def test_entries_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "MAX_LOG_MESSAGE", 10)
    reader = EntryReader(3, forwarded=True)
    with pytest.raises(Refused, match="received 4 lines, where the limit is 3"):
        reader.take("s:ERROR<4>:n:a")
    assert reader.finish() is None
    reader.take("s:ERROR<3>:n:aaaa")
    reader.take("bbbb")
    with pytest.raises(Refused, match="more than 10 characters"):
        reader.take("cccc")
    assert reader.finish() == Entry("s", logging.ERROR, "n", "aaaa\nbbbb")


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_a_session_however_its_bytes_arrive(step: int) -> None:
    said = b"ARTIQ logging\nsrc:WARNING<2>:name:\xc3\xa9\nb\ns:TRACE:n:t\ns:x:y\n"
    session = LogSession(100, 10)
    with recorded() as records:
        for start in range(0, len(said), step):
            session.receive(said[start : start + step])
    assert records == [
        ("name", 30, "é\nb", "src"),
        ("n", 5, "t", "s"),
        ("print", 20, "x:y", "s"),
    ]
    assert session.rest() == ""


@pytest.mark.parametrize(
    ("said", "reason", "line"),
    [
        (b"GET / HTTP", "unknown banner", "GET / HTTP"),
        (b"\x16\x03\x01\x02\x00", "received a TLS handshake, where this server uses no TLS", ""),
        (b"ARTIQ logging\nnocolon\n", "improperly formatted message", "nocolon"),
        (b"ARTIQ logging\ns:INFO:n:\xff\n", "not UTF-8", "s:INFO:n:\\xff"),
        (
            b"ARTIQ logging\ns:" + b"x" * 200 + b"\n",
            "received a line of 202 bytes, where the limit is 100",
            "",
        ),
        (b"ARTIQ logging\ns:INFO<11>:n:m\n", "received 11 lines", "INFO<11>:n:m"),
        (b"ARTIQ logging\n" + b"x" * 90 + b"\n", "improperly formatted", "x" * 90),
    ],
)
def test_what_is_refused(said: bytes, reason: str, line: str) -> None:
    session = LogSession(100, 10)
    with pytest.raises(Refused, match=reason) as caught:
        session.receive(said)
    assert caught.value.line == line


def test_what_is_left_of_an_entry_is_known() -> None:
    session = LogSession(100, 10)
    session.receive(b"ARTIQ logging\ns:ERROR<3>:n:a\nb\nhalf a li")
    assert session.rest() == "s:n:a\nb\nhalf a li"
