"""Our server in the place of the reference's, in its recorded conversations."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

import pytest

from support.peers import connected, rpc_server
from support.transcripts import Transcript, comparable, load, raw

program = pytest.importorskip("interop.program", reason="needs NumPy", exc_type=ImportError)

TRANSCRIPTS = [
    transcript
    for transcript in load("r*.jsonl")
    if transcript.about["server_kind"] in ("rpc1", "rpc2")
]

# Requests that the reference answers otherwise, on purpose, and what ours must answer.
STRICTER: dict[bytes, tuple[str, str]] = {
    b'"name":"_private"': ("AttributeError", "_private"),
    b'"name": "_private"': ("AttributeError", "_private"),
    b'"name": "__class__"': ("AttributeError", "__class__"),
    b'"name": "__getattribute__"': ("AttributeError", "__getattribute__"),
    b'"name": "attribute"': ("AttributeError", "attribute"),
    b'"name":"gen"': ("TypeError", "returns a generator"),
    b'"name": "gen"': ("TypeError", "returns a generator"),
    b"{bad": ("ValueError", "PYON"),
    b"{'action'": ("ValueError", "PYON"),
}

UNENCODABLE = ("is not PYON encodable", "is not PYON serializable")


def stricter(request: bytes) -> tuple[str, str] | None:
    return next((answer for part, answer in STRICTER.items() if part in request), None)


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda t: t.name)
def test_answers_what_the_reference_answers(transcript: Transcript) -> None:
    arguments: dict[str, Any] = program.server_arguments(transcript.about["server_kind"])
    with rpc_server(**arguments) as port:
        for events in transcript.connections():
            replay(events, port)


def replay(events: list[dict[str, Any]], port: int) -> None:
    v2 = any("pyon_v2" in str(event.get("line")) for event in events if event["dir"] == "c>s")
    lines, request, goes_on = 0, b"", False
    with connected(port) as peer:
        for event in events:
            if event["dir"] == "c>s":
                if "eof" in event:
                    with contextlib.suppress(OSError):  # the server may have closed already
                        peer.socket.shutdown(socket.SHUT_WR)
                    continue
                request = raw(event)
                try:
                    peer.send(request)
                except ConnectionError:
                    return  # the server has refused what came before
                expected = stricter(request)
                if expected is not None:
                    kind, text = comparable(peer.line(), v2)
                    assert kind == expected[0]
                    assert text.find(expected[1]) >= 0
                    goes_on = True
                elif goes_on and b'"echo"' in request and events[-1].get("dir") == "c>s":
                    # The reference had closed the connection by now.
                    assert comparable(peer.line(), v2) == "1"
            elif "eof" in event:
                if not goes_on:
                    assert at_end(peer.socket)
            elif stricter(request) is None:
                received = peer.line()
                lines += 1
                if lines == 1:
                    greeting, recorded = comparable(received, True), comparable(raw(event), True)
                    recorded["features"] = ["pyon_v2", "frames"]  # those of ours
                    assert greeting == recorded
                else:
                    ours, reference = comparable(received, v2), comparable(raw(event), v2)
                    if isinstance(reference, tuple) and reference[1].endswith(UNENCODABLE):
                        # Behind the words of the reference, ours says where, and what to do.
                        assert ours[1].startswith(f"{reference[1]}: ")
                        ours = (ours[0], reference[1], *ours[2:])
                    assert ours == reference


def at_end(sock: socket.socket) -> bool:
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True  # closed with some of our bytes unread
