"""What is said of connections that were not made, were lost, or took too long."""

from __future__ import annotations

import ssl
import time

import pytest

from sipyco_rpc.net import errors
from sipyco_rpc.support.lost import ConnectionLost

WHERE = "lab port 3253"
REFUSED = "(does the server use TLS, or refuse this client? its log says why)"
CLOSED = f"the other side closed the connection to {WHERE} before a full line"


@pytest.mark.parametrize(
    ("exc", "unread", "text", "later"),
    [
        (
            None,
            b"",
            CLOSED,
            f"the connection to {WHERE} was closed by the other side earlier",
        ),
        (
            None,
            b"\x15\x03\x03",
            f"{CLOSED} (it seems to expect TLS)",
            f"the connection to {WHERE} was closed by the other side earlier",
        ),
        (
            ConnectionResetError(104, "reset"),
            b"\x15",
            f"the connection to {WHERE} was lost: [Errno 104] reset",
            f"the connection to {WHERE} was lost earlier: [Errno 104] reset",
        ),
        (
            BrokenPipeError(),
            b"",
            f"the connection to {WHERE} was lost: BrokenPipeError",
            f"the connection to {WHERE} was lost earlier: BrokenPipeError",
        ),
        (
            ssl.SSLError(1, "alert"),
            b"",
            f"the other side ended the TLS connection to {WHERE}: alert",
            f"the connection to {WHERE} was lost earlier: alert",
        ),
    ],
)
def test_a_lost_connection_is_told_of_at_once_and_later(
    exc: OSError | None, unread: bytes, text: str, later: str
) -> None:
    lost = errors.lost_error(WHERE, exc, unread)
    assert (type(lost), str(lost)) == (ConnectionLost, text)
    assert errors.lost_earlier(WHERE, exc) == later


def test_a_connection_that_was_closed_here_says_why() -> None:
    assert errors.closed_by_us(WHERE) == f"the connection to {WHERE} was closed by this program"
    assert errors.closed_by_us(WHERE, "x") == f"the connection to {WHERE} was closed: x"


def test_what_took_too_long_is_told_with_its_seconds() -> None:
    exc = errors.timeout_error("connecting", WHERE, time.monotonic() - 2, " (no answer)")
    assert str(exc) == f"connecting on {WHERE} timed out after 2 s (no answer)"


@pytest.mark.parametrize(
    ("exc", "text"),
    [
        (
            ConnectionResetError(),
            f"{WHERE} closed the connection during the TLS handshake {REFUSED}",
        ),
        (
            ConnectionResetError(104, "reset"),
            f"reset: lost in the TLS handshake with {WHERE} {REFUSED}",
        ),
        (
            ssl.SSLEOFError(8, "EOF occurred"),
            f"EOF occurred: lost in the TLS handshake with {WHERE} {REFUSED}",
        ),
        (
            ssl.SSLZeroReturnError(6, "closed"),
            f"closed: lost in the TLS handshake with {WHERE} {REFUSED}",
        ),
    ],
)
def test_a_connection_that_is_lost_in_the_tls_handshake_is_a_lost_one(
    exc: OSError, text: str
) -> None:
    lost = errors.handshake_error(exc, WHERE)
    assert (type(lost), str(lost)) == (ConnectionLost, text)


def test_an_alert_in_the_tls_handshake_is_a_lost_connection_and_other_errors_of_tls_are_not() -> (
    None
):
    alert = ssl.SSLError(1, "[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca")
    alert.reason = "TLSV1_ALERT_UNKNOWN_CA"
    lost = errors.handshake_error(alert, WHERE)
    assert type(lost) is ConnectionLost
    assert str(lost) == (
        f"the other side ended the TLS connection to {WHERE}: {alert} "
        "(it refuses the certificate of this client: has its peer_cert this one?)"
    )
    refused = ssl.SSLCertVerificationError(1, "self-signed certificate")
    refused.reason, refused.verify_code = "CERTIFICATE_VERIFY_FAILED", 18
    error = errors.handshake_error(refused, WHERE)
    assert type(error) is ssl.SSLCertVerificationError
    assert str(error) == (
        f"self-signed certificate: could not connect to {WHERE} (the server's certificate is not "
        "among those of peer_cert of this client: put a copy of it there)"
    )
    assert (error.errno, vars(error)["reason"], vars(error)["verify_code"]) == (
        1,
        "CERTIFICATE_VERIFY_FAILED",
        18,
    )
    assert error.__notes__ == [f"while connecting to {WHERE}"]
