"""Our clients in the place of the reference's, in its recorded conversations."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from sipyco_rpc.pc_rpc import AsyncioClient, BestEffortClient, Client
from support.peers import HOST, Peer, scripted_server
from support.transcripts import Transcript, load, masked, raw

program = pytest.importorskip("interop.program", reason="needs NumPy", exc_type=ImportError)

# The client knew PYON v1 only in the others: it selects nothing, which ours has no reason to do.
TRANSCRIPTS = [
    transcript
    for transcript in load("rpc_*.jsonl")
    if "1.10" in transcript.about["client"] and transcript.name.startswith("rpc_")
]

# What ours sends in place of the recorded bytes, on purpose: `numpy.float64` keeps its type.
KEPT_TYPES = {
    b"[[0.1]]": b'[[{"__jsonclass__":["npscalar",["<f8","mpmZmZmZuT8="]]}]]',
}

# What ours makes of a reply, where the reference fails or trusts too much.
BETTER = {
    "function takes exactly 5 arguments (1 given)": "UnicodeDecodeError",
    "BaseExceptionGroup.__new__() takes exactly 2 arguments (1 given)": "ExceptionGroup",
}


def conversation(events: list[dict[str, Any]]) -> Callable[[Peer], None]:
    """Play the recorded server, and check what the client sends."""

    def play(peer: Peer) -> None:
        for event in events:
            if event["dir"] == "s>c":
                if "eof" in event:
                    return
                peer.send(raw(event))
            elif "eof" in event:
                assert peer.line() == b""
            else:
                expected = raw(event)
                for theirs, ours in KEPT_TYPES.items():
                    expected = expected.replace(theirs, ours)
                assert peer.line() == expected

    return play


def outcome(function: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {"ok": repr(function())}
    except Exception as exc:
        return {"exc": type(exc).__name__, "str": str(exc)}


def results(transcript: Transcript, port: int) -> list[dict[str, Any]]:
    """Do what the recorded client program did."""
    scenario = transcript.about["scenario"].rsplit("_s1", 1)[0]
    if scenario == "rpc_calls":
        with Client(HOST, port, "test") as client:
            found = [outcome(call) for call in program.echo_calls(client)]
            found += [outcome(client.get_selected_target), outcome(client.get_rpc_id)]
            return [*found, outcome(client.get_local_host)]
    if scenario == "rpc_autotarget_multi":
        return [outcome(lambda: Client(HOST, port))]
    if scenario == "rpc_unknown_target":
        return [outcome(lambda: Client(HOST, port, "nosuch"))]
    if scenario == "rpc_no_target":
        with Client(HOST, port, None) as client:
            found = [outcome(client.get_rpc_id), outcome(client.get_selected_target)]
            found.append(outcome(lambda: client.ping))
            client.select_rpc_target("fact")
            return [*found, outcome(client.ping)]
    if scenario == "rpc_big":
        with Client(HOST, port) as client:
            return [
                outcome(lambda: len(client.big(3000))),
                outcome(lambda: len(client.echo("y" * 20000))),
            ]
    if scenario == "rpc_asyncio":
        return asyncio.run(asyncio_results(port))
    if scenario == "rpc_besteffort":
        best = BestEffortClient(HOST, port, "test")
        try:
            return [outcome(lambda: best.echo(1)), outcome(best.raise_value)]
        finally:
            best.close_rpc()
    name = {"rpc_list_methods": "get_rpc_method_list", "rpc_terminate": "terminate"}
    with Client(HOST, port) as client:
        return [outcome(getattr(client, name.get(scenario, "exit")))]


async def asyncio_results(port: int) -> list[dict[str, Any]]:
    found = []
    async with AsyncioClient() as client:
        await client.connect_rpc(HOST, port, "test")
        for name, args in (("echo", (1,)), ("raise_value", ()), ("none", ())):
            method = getattr(client, name)
            call = method(*args)
            assert inspect.isawaitable(call)
            try:
                found.append({"ok": repr(await call)})
            except Exception as exc:
                found.append({"exc": type(exc).__name__, "str": str(exc)})
        try:
            await client.unserializable()
        except TypeError as exc:
            found.append({"exc": "TypeError", "str": str(exc)})
    return found


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda t: t.name)
def test_calls_and_sees_what_the_reference_does(transcript: Transcript) -> None:
    first = transcript.connections()[0]
    if "besteffort" in transcript.name:
        # Bad arguments are raised by ours, not taken for a broken connection.
        first = [event for event in first if "eof" not in event]
        first.append({"dir": "c>s", "eof": True})
    with scripted_server(conversation(first)) as port:
        found = results(transcript, port)
    for ours, theirs in zip(found, transcript.client_result, strict=False):
        if "ok" in theirs:
            assert masked(ours["ok"]) == masked(theirs["ok"]), theirs
        elif theirs["str"] in BETTER:
            assert ours["exc"] in (BETTER[theirs["str"]], "UnicodeError", "Exception")
        elif theirs["exc"].endswith("EOFError"):
            assert ours["exc"] == "ConnectionLost"  # which is an EOFError
        elif theirs["exc"] == "builtins.GeneratorExit":
            assert ours["exc"] == "GenericRemoteException"
        elif theirs["exc"] == "builtins.KeyError":
            assert ours == {"exc": "KeyError", "str": "'k'"}
        elif "missing 2 required positional" in theirs["str"]:
            assert ours["exc"] == "AttributeError" or "missing 2" in ours["str"]
        else:
            assert ours["exc"] == theirs["exc"].rsplit(".", 1)[-1], theirs
            if theirs["str"] and "not PYON" not in theirs["str"]:
                assert masked(ours["str"]).endswith(masked(theirs["str"]))
