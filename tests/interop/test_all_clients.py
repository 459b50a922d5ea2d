"""The recorded conversations once more: every kind of client, in both dialects.

`test_client_role` plays the conversations with the kind of client that was recorded. Here each
of our clients makes the calls, and the conversations of clients that knew PYON v1 only are
played by a server that offers nothing else.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from sipyco_rpc.pc_rpc import AsyncioClient, BestEffortClient, Client
from support.peers import HOST, Peer, scripted_server
from support.transcripts import Transcript, load, masked, raw

program = pytest.importorskip("interop.program", reason="needs NumPy", exc_type=ImportError)

# `numpy.float64` keeps its type in v2, on purpose; in v1 the reference keeps it as well.
KEPT_TYPES = {b"[[0.1]]": b'[[{"__jsonclass__":["npscalar",["<f8","mpmZmZmZuT8="]]}]]'}

# What ours makes of a reply in which the reference's client fails or trusts too much, by the
# text that was recorded: the class, and the text.
BETTER = {
    # The class wants more than a message, so it is the nearest base class that does not.
    "function takes exactly 5 arguments (1 given)": (
        "UnicodeError",
        "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
    ),
    "BaseExceptionGroup.__new__() takes exactly 2 arguments (1 given)": (
        "Exception",
        "g (1 sub-exception)",
    ),
    # The recorded text is that of a `KeyError` made from the text of a `KeyError`.
    "\"'k'\"": ("KeyError", "'k'"),
}

OURS_ALONE = (
    "Client.__init__() missing 2 required",  # see `LOCAL_CALL`
    "is not PYON",  # of an argument: the dialect's own words
)

Outcome = tuple[str, str]


def without_features(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Make the greeting that of a server which knows PYON v1 only."""
    plain = []
    for event in events:
        if '"features"' in event.get("line", ""):
            greeting = json.loads(event["line"])
            del greeting["features"]
            event = {**event, "line": json.dumps(greeting)}
        plain.append(event)
    return plain


def conversation(events: list[dict[str, Any]]) -> Callable[[Peer], None]:
    """Play the recorded server, and check every byte of the client."""

    def play(peer: Peer) -> None:
        for event in events:
            if event["dir"] == "s>c" and "eof" not in event:
                peer.send(raw(event))
            elif event["dir"] == "c>s" and "eof" not in event:
                expected = raw(event)
                for theirs, ours in KEPT_TYPES.items():
                    expected = expected.replace(theirs, ours)
                assert peer.line() == expected
            elif event["dir"] == "c>s":
                assert peer.line() == b""
            else:
                return

    return play


def outcome(function: Callable[[], Any]) -> Outcome:
    try:
        return "ok", repr(function())
    except Exception as exc:
        return type(exc).__name__, str(exc)


async def async_outcome(function: Callable[[], Any]) -> Outcome:
    try:
        value = function()
        if asyncio.iscoroutine(value):
            value = await value
        return "ok", repr(value)
    except Exception as exc:
        return type(exc).__name__, str(exc)


def blocking(port: int) -> list[Outcome]:
    with Client(HOST, port, "test") as client:
        found = [outcome(call) for call in program.echo_calls(client)]
        return [*found, outcome(client.get_selected_target), outcome(client.get_rpc_id)]


def best_effort(port: int) -> list[Outcome]:
    with BestEffortClient(HOST, port, "test", 20) as client:
        found = [outcome(call) for call in program.echo_calls(client)]
        return [*found, outcome(client.get_selected_target), outcome(client.get_rpc_id)]


# `client.__init__()`, which never reaches the server. Without parameters that could be missing it
# would make the AsyncioClient a new one, so that one leaves it out.
LOCAL_CALL = next(
    number
    for number, result in enumerate(load("rpc_calls_s1.10_c1.10.jsonl")[0].client_result)
    if "Client.__init__()" in result.get("str", "")
)


def asyncio_client(port: int) -> list[Outcome]:
    async def main() -> list[Outcome]:
        async with AsyncioClient() as client:
            await client.connect_rpc(HOST, port, "test")
            found: list[Outcome] = []
            for number, call in enumerate(program.echo_calls(client)):
                if number == LOCAL_CALL:
                    found.append(("TypeError", ""))
                else:
                    found.append(await async_outcome(call))
            return [*found, outcome(client.get_selected_target), outcome(client.get_rpc_id)]

    return asyncio.run(main())


def check(ours: Outcome, recorded: dict[str, Any]) -> None:
    """Compare what a call gave with what the reference's client saw."""
    kind, text = ours
    if "ok" in recorded:
        # The reference loses an OrderedDict in v2; its own servers, so nothing is left to differ.
        assert (kind, masked(text)) == ("ok", masked(recorded["ok"]))
        return
    expected = recorded["exc"].rsplit(".", 1)[-1]
    said = recorded["str"]
    if said in BETTER:
        assert (kind, text) == BETTER[said]
    elif expected == "GeneratorExit":
        assert kind == "GenericRemoteException"  # not raised on a peer's word
        assert text.startswith("GeneratorExit")
    elif expected == "AttributeError":
        assert kind == expected
        assert text  # the reference says nothing
    elif any(part in said for part in OURS_ALONE):
        assert kind == expected
    else:
        assert (kind, masked(text)) == (expected, masked(said))


CALLS = load("rpc_calls_*.jsonl")
CLIENTS = {"Client": blocking, "BestEffortClient": best_effort, "AsyncioClient": asyncio_client}


@pytest.mark.parametrize("transcript", CALLS, ids=lambda t: t.name)
@pytest.mark.parametrize("kind", CLIENTS)
def test_every_client_makes_the_recorded_calls(kind: str, transcript: Transcript) -> None:
    events = transcript.connections()[0]
    if "1.9" in transcript.about["client"]:
        events = without_features(events)
    with scripted_server(conversation(events)) as port:
        found = CLIENTS[kind](port)
    recorded = transcript.client_result
    assert len(recorded) == len(found) + 1  # the last is the address, which is the machine's
    for number, (ours, theirs) in enumerate(zip(found, recorded, strict=False)):
        try:
            check(ours, theirs)
        except AssertionError as exc:
            raise AssertionError(f"call {number}: {ours} in place of {theirs}") from exc


# The small conversations in which the client spoke v1 to a server that also knew v2.
OLD_CLIENTS = [t for t in load("rpc_*_c1.9.jsonl") if "besteffort" not in t.name]


def scenario_results(name: str, port: int) -> list[Outcome]:
    if name == "rpc_calls":
        return blocking(port)
    if name == "rpc_autotarget_multi":
        return [outcome(lambda: Client(HOST, port))]
    if name == "rpc_no_target":
        with Client(HOST, port, None) as client:
            found = [outcome(client.get_rpc_id), outcome(client.get_selected_target)]
            found.append(outcome(lambda: client.ping))
            client.select_rpc_target("fact")
            return [*found, outcome(client.ping)]
    with Client(HOST, port) as client:
        return [outcome(getattr(client, name.removeprefix("rpc_").replace("sysexit", "exit")))]


@pytest.mark.parametrize("transcript", OLD_CLIENTS, ids=lambda t: t.name)
def test_conversations_in_the_older_dialect(transcript: Transcript) -> None:
    events = without_features(transcript.connections()[0])
    name = transcript.about["scenario"].rsplit("_s1", 1)[0]
    with scripted_server(conversation(events)) as port:
        found = scenario_results(name, port)
    assert found
    for ours, theirs in zip(found, transcript.client_result, strict=False):
        if theirs.get("exc") == "builtins.EOFError":
            assert ours[0] == "ConnectionLost"  # which is an EOFError
        else:
            check(ours, theirs)


@pytest.mark.parametrize("transcript", load("rpc_besteffort_*.jsonl"), ids=lambda t: t.name)
def test_best_effort_in_the_older_dialect(transcript: Transcript) -> None:
    # The reference takes an argument that cannot be sent for a broken connection; ours raises.
    events = [e for e in without_features(transcript.connections()[0]) if "eof" not in e]
    events.append({"dir": "c>s", "eof": True})
    with scripted_server(conversation(events)) as port:
        with BestEffortClient(HOST, port, "test", 20) as client:
            assert client.echo(1) == 1
            with pytest.raises(ValueError, match=r"^bad value\n"):
                client.raise_value()
            with pytest.raises(TypeError, match="not PYON"):
                client.echo(object())
