"""The client's side of the conversation as bytes: what a server may say, without a connection."""

from __future__ import annotations

from typing import Any, Final

from dev.fuzz.servers import check_error
from sipyco_rpc.wire.client_session import ClientSession
from sipyco_rpc.wire.frames import FrameError
from sipyco_rpc.wire.session import AutoTarget

__all__ = ["one_input"]

_LIMITS: Final = (2**27, 300)  # bytes of a reply
_CALLS: Final = ("reply", "item", "listing")


def one_input(data: bytes) -> None:
    """Take a greeting, the names of methods, then replies. The first byte has the options."""
    if not data:
        return
    session = ClientSession(_LIMITS[data[0] & 1])
    step = data[0] >> 1 & 7 or len(data)
    first_call = data[0] >> 4
    stages: list[Any] = [session.receive_identification, session.receive_methods]
    stream, position = data[1:], 0
    while position < len(stream):
        memory = session.incoming.memory()
        assert len(memory), "there is no room for what comes"
        size = min(step, len(memory), len(stream) - position)
        memory[:size] = stream[position : position + size]
        position += size
        session.incoming.received(size)
        try:
            while (message := session.incoming.next()) is not None:
                if not stages:
                    _reply(session, message, first_call)
                    first_call += 1
                    continue
                stages.pop(0)(message)
                if stages:
                    assert all(isinstance(name, str) for name in session.target_names)
                    session.select(AutoTarget)
                else:
                    assert all(isinstance(name, str) for name in session.methods)
        except FrameError:
            return
        except Exception as exc:  # noqa: BLE001
            check_error(exc)
            return


def _reply(session: ClientSession, message: Any, which: int) -> None:
    try:
        if _CALLS[which % 3] == "reply":
            session.receive_reply(message)
        elif _CALLS[which % 3] == "item":
            goes_on, _ = session.receive_item(message)
            assert type(goes_on) is bool
        else:
            listing = session.receive_listing(message)
            assert isinstance(listing["methods"], dict)
    except Exception as exc:  # noqa: BLE001
        check_error(exc)
