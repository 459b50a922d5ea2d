"""The class of lost connections: what it is, how it is copied, and what a peer is told."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from sipyco_rpc import pc_rpc
from sipyco_rpc.support.lost import ConnectionLost, not_sent
from sipyco_rpc.wire.exceptions import pack_exception, unpack_exception


@pytest.mark.parametrize(
    "kind",
    [OSError, EOFError, ConnectionError, ConnectionResetError, ConnectionAbortedError],
)
def test_it_is_caught_by_what_programs_write(kind: type[Exception]) -> None:
    with pytest.raises(kind, match="the server has gone"):
        raise ConnectionLost("the server has gone")


def test_it_is_not_what_took_too_long() -> None:
    assert not issubclass(ConnectionLost, TimeoutError)


def test_it_has_a_public_address_by_which_it_is_pickled() -> None:
    assert pc_rpc.ConnectionLost is ConnectionLost
    assert ConnectionLost.__module__ == "sipyco_rpc.pc_rpc"
    for error in (ConnectionLost("a"), not_sent("b")):
        for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
            assert (type(other), str(other), other.sent) == (
                ConnectionLost,
                str(error),
                error.sent,
            )


def test_only_a_request_of_which_nothing_was_sent_says_so() -> None:
    assert ConnectionLost("a").sent
    assert not not_sent("a").sent


def test_a_peer_of_any_version_is_told_a_class_that_it_knows() -> None:
    packed: dict[str, Any] = pack_exception(ConnectionLost("the server has gone"))
    assert packed == {
        "class": "EOFError",
        "message": "the server has gone",
        "args": ("the server has gone",),
        "traceback": [],
    }
    assert type(unpack_exception(packed)) is EOFError
