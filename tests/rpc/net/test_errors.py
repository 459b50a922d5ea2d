"""What is said of connections that were not made, were lost, or took too long."""

from __future__ import annotations

import ssl
import time

import pytest

from sipyco_rpc.net import errors

WHERE = "lab port 3253"
CLOSED = f"the other side closed the connection to {WHERE} before a full line"


@pytest.mark.parametrize(
    ("exc", "unread", "kind", "text", "later"),
    [
        (
            None,
            b"",
            EOFError,
            CLOSED,
            f"the connection to {WHERE} was closed by the other side earlier",
        ),
        (
            None,
            b"\x15\x03\x03",
            EOFError,
            f"{CLOSED} (it seems to expect TLS)",
            f"the connection to {WHERE} was closed by the other side earlier",
        ),
        (
            ConnectionResetError(104, "reset"),
            b"\x15",
            EOFError,
            f"the connection to {WHERE} was lost: [Errno 104] reset",
            f"the connection to {WHERE} was lost earlier: [Errno 104] reset",
        ),
        (
            BrokenPipeError(),
            b"",
            EOFError,
            f"the connection to {WHERE} was lost: BrokenPipeError",
            f"the connection to {WHERE} was lost earlier: BrokenPipeError",
        ),
        (
            ssl.SSLError(1, "alert"),
            b"",
            ConnectionResetError,
            f"the other side ended the TLS connection to {WHERE}: alert",
            f"the connection to {WHERE} was lost earlier: alert",
        ),
    ],
)
def test_a_lost_connection_is_told_of_at_once_and_later(
    exc: OSError | None, unread: bytes, kind: type[Exception], text: str, later: str
) -> None:
    lost = errors.lost_error(WHERE, exc, unread)
    assert (type(lost), str(lost)) == (kind, text)
    assert errors.lost_earlier(WHERE, exc) == later


def test_a_connection_that_was_closed_here_says_why() -> None:
    assert errors.closed_by_us(WHERE) == f"the connection to {WHERE} was closed by this program"
    assert errors.closed_by_us(WHERE, "x") == f"the connection to {WHERE} was closed: x"


def test_what_took_too_long_is_told_with_its_seconds() -> None:
    exc = errors.timeout_error("connecting", WHERE, time.monotonic() - 2, " (no answer)")
    assert str(exc) == f"connecting on {WHERE} timed out after 2 s (no answer)"


def test_a_handshake_without_a_reason_is_told_of() -> None:
    silent = errors.handshake_error(ConnectionResetError(), WHERE)
    assert type(silent) is ConnectionResetError
    assert str(silent) == (
        f"{WHERE} closed the connection during the TLS handshake (does it use TLS?)"
    )
    told = errors.handshake_error(ConnectionResetError(104, "reset"), WHERE)
    assert type(told) is ConnectionResetError
    assert str(told).endswith(f"reset: could not connect to {WHERE}")
