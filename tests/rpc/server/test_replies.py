"""What a client is told of its calls, and what of it only the log can have. No sockets."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from sipyco_rpc._server.error_log import ErrorLog
from sipyco_rpc._server.replies import Replies
from sipyco_rpc.support.log_limiter import LogLimiter
from support.pairs import selected_session


def replies_of(said: list[Any]) -> Replies:
    """Make the replies of a client that has made the call 1."""
    service = SimpleNamespace(
        log_limiter=LogLimiter(), error_log=ErrorLog(None), exits=lambda exc, what: False
    )
    return Replies(
        service,  # type: ignore[arg-type]
        "a client",
        "t",
        selected_session(b"t pyon_v2 frames", 1),
        SimpleNamespace(put=said.append),  # type: ignore[arg-type]
        on_put=lambda: None,
        end=lambda: None,
    )


def test_a_child_that_a_method_has_forked_may_end_and_tells_the_log_of_errors(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    said: list[Any] = []
    replies = replies_of(said)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(SystemExit, match="3"):
        replies.fail(1, SystemExit(3), str)
    assert not said
    replies.fail(1, ValueError("bad"), str)
    assert caplog.messages == ["a method of `t` failed in a process that it has forked"]


def test_when_nothing_can_be_sent_any_more_nothing_is() -> None:
    said: list[Any] = []
    replies = replies_of(said)
    replies.open = False
    replies.fail(1, ValueError("bad"), str)
    assert not said
