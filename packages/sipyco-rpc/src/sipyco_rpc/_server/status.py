"""What a server tells of its connections, in plain values. No conversation here."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from sipyco_rpc.wire.server_handshake import State

if TYPE_CHECKING:
    import asyncio

    from sipyco_rpc._server.dispatcher import CallDispatcher
    from sipyco_rpc._server.request_queue import RequestQueue
    from sipyco_rpc.net.admission import ConnectionSlot
    from sipyco_rpc.net.sender import Sender
    from sipyco_rpc.wire.server_session import ServerSession


_STATES: Final = {
    State.BANNER: "waiting for the banner",
    State.SELECTION: "waiting for the selection of a target",
    State.REQUESTS: "established",
}


class ConnectionReport:
    """What there is to tell of one connection.

    Args:
        client: its address.
        session: the conversation.

    Attributes:
        received: how many bytes.
    """

    def __init__(self, client: str, session: ServerSession) -> None:
        self.received = 0
        self._client = client
        self._since = time.time()
        self._session = session
        self._transport: asyncio.Transport | None = None
        self._sender: Sender | None = None
        self._calls: CallDispatcher | None = None
        self._queue: RequestQueue | None = None

    def made(self, transport: asyncio.Transport, sender: Sender) -> None:
        """The connection is there, with TLS if there is any."""
        self._transport, self._sender = transport, sender

    def established(self, calls: CallDispatcher, queue: RequestQueue) -> None:
        """The client has selected its target."""
        self._calls, self._queue = calls, queue

    def ended(self) -> None:
        """Forget what the connection needs no more; how much was sent is still known."""
        self._transport = self._calls = self._queue = None

    @property
    def sent(self) -> int:
        """How many bytes."""
        return 0 if self._sender is None else self._sender.written

    def status(self) -> dict[str, Any]:
        """Return it as plain values."""
        session, sender = self._session, self._sender
        if self._transport is None or sender is None:
            state = "closed" if sender is not None else "TLS handshake"
        elif self._transport.is_closing():
            state = "closing"
        else:
            state = _STATES[session.handshake.state]
        return {
            "client": self._client,
            "since": self._since,
            "state": state,
            "target": None if self._calls is None else self._calls.target_name,
            "dialect": session.dialect,
            "frames": session.framed,
            "tls": None if self._transport is None else _tls_status(self._transport),
            "requests": 0 if self._calls is None else self._calls.requests,
            "requests_waiting": 0 if self._queue is None else len(self._queue.waiting),
            "received_bytes": self.received,
            "sent_bytes": self.sent,
            "backlog_bytes": 0 if sender is None or state == "closed" else sender.backlog,
        }


class ConnectionReports:
    """The reports of a server's connections, and sums over those that have been."""

    def __init__(self) -> None:
        self._started = time.time()
        self._clock = time.monotonic()
        self._reports: dict[ConnectionSlot | None, ConnectionReport] = {}
        self._accepted = 0
        self._received = self._sent = 0  # of those that have ended

    def add(self, slot: ConnectionSlot, report: ConnectionReport) -> None:
        """Tell of one more connection."""
        self._reports[slot] = report
        self._accepted += 1

    def remove(self, slot: ConnectionSlot | None) -> None:
        """A connection has ended, or came to nothing."""
        report = self._reports.pop(slot, None)
        if report is not None:
            self._received += report.received
            self._sent += report.sent

    def status(self) -> dict[str, Any]:
        """Return them as plain values."""
        reports = list(self._reports.values())
        return {
            "time": time.time(),
            "started": self._started,
            "uptime_seconds": time.monotonic() - self._clock,
            "received_bytes": self._received + sum(report.received for report in reports),
            "sent_bytes": self._sent + sum(report.sent for report in reports),
            "connections_accepted": self._accepted,
            "connections": [report.status() for report in reports],
        }


def _tls_status(transport: asyncio.Transport) -> dict[str, Any] | None:
    """Tell of the TLS of a connection, and whose certificate the client has shown."""
    if transport.get_extra_info("sslcontext") is None:
        return None
    secured: Any = transport.get_extra_info("ssl_object")
    certificate = transport.get_extra_info("peercert") or {}
    names = [f"{key}={value}" for parts in certificate.get("subject", ()) for key, value in parts]
    return {
        "version": secured.version(),
        "cipher": (secured.cipher() or [None])[0],
        "subject": ", ".join(names),
        "names": [f"{kind}:{name}" for kind, name in certificate.get("subjectAltName", ())],
        "valid_until": certificate.get("notAfter"),
    }
