"""Connect, make one call, close: plain and with TLS."""

from __future__ import annotations

import subprocess
from pathlib import Path

from dev.benchmarks.children import ChildError
from dev.benchmarks.harness import Fleet, Settings
from dev.benchmarks.model import Experiment, Opener, Probe, Row
from dev.benchmarks.rows.units import MILLISECONDS
from dev.benchmarks.transports import PEERS, TRANSPORTS

__all__ = ["connecting"]

_COUNT = 100  # connections in one round; each leaves a port that is not free for a minute
_TLS_COUNT = 25

_CLIENT = TRANSPORTS["client"].label
_RAW = TRANSPORTS["raw-asyncio"].label
_CONNECTION = TRANSPORTS["multiprocessing"].label
_RAW_TLS = "raw threads, TLS"
_PEER_LABELS = tuple(TRANSPORTS[name].label for name in PEERS)


def _certificate(folder: Path) -> dict[str, str]:
    """Make a certificate that trusts itself; both sides use it."""
    cert, key = str(folder / "both.pem"), str(folder / "both.key")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-keyout", key, "-nodes"]
    command += ["-pkeyopt", "ec_paramgen_curve:prime256v1", "-out", cert, "-sha256"]
    command += ["-subj", "/", "-addext", "subjectAltName=IP:127.0.0.1"]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as exc:
        raise ChildError(f"no certificate: {exc}") from exc
    return {"local_cert": cert, "local_key": key, "peer_cert": cert}


def _with_tls(fleet: Fleet, settings: Settings) -> dict[str, Opener]:
    certificate: dict[str, str] = {}
    count = settings.count(_TLS_COUNT)

    def paths() -> dict[str, str]:
        if not certificate:
            certificate.update(_certificate(fleet.folder()))
        return certificate

    def probe(module: str, driver: str, *options: object) -> Probe:
        where = f"dev.benchmarks.transports.{module}"
        server = fleet.child(where, "serve", *options, paths(), serve=True, core=settings.core)
        client = fleet.child(where, driver, server.port, paths(), core=settings.core)
        return lambda: float(client.ask("connect", count)) * 1e3

    return {
        _CLIENT: lambda: probe("ours", "BlockingDriver", False),
        _RAW_TLS: lambda: probe("raw_tls", "TlsDriver"),
    }


def connecting(fleet: Fleet, settings: Settings) -> list[Experiment]:
    """Make both rows."""
    count = settings.count(_COUNT)

    def opener(name: str) -> Opener:
        def open_probe() -> Probe:
            driver = fleet.driver(name, settings.core)
            return lambda: float(driver.ask("connect", count)) * 1e3

        return open_probe

    names = ["client", "raw-asyncio", "multiprocessing"]
    if settings.peers:
        names += PEERS
    plain = Row(
        name="connect.plain",
        title="connect, one call, close",
        subject=_CLIENT,
        limit=_CONNECTION,
        others=(_RAW, *_PEER_LABELS),
    )
    tls = Row(
        name="connect.tls",
        title="connect, one call, close, with TLS",
        subject=_CLIENT,
        limit=_RAW_TLS,
    )
    return [
        Experiment(
            "connect.plain",
            MILLISECONDS,
            {TRANSPORTS[name].label: opener(name) for name in names},
            (plain,),
        ),
        Experiment("connect.tls", MILLISECONDS, _with_tls(fleet, settings), (tls,)),
    ]
