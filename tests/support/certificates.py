"""Certificates for tests, made by `openssl` once for each process."""

from __future__ import annotations

import atexit
import functools
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple


class Identity(NamedTuple):
    """The paths of a certificate and its key."""

    cert: str
    key: str


@functools.cache
def _directory() -> tempfile.TemporaryDirectory[str]:
    directory = tempfile.TemporaryDirectory()
    atexit.register(directory.cleanup)  # it would warn that nobody did
    return directory


@functools.cache
def identity(name: str, san: str | None = "IP:127.0.0.1", kind: str = "ec") -> Identity:
    """Make a self-signed certificate.

    Args:
        name: another name gives another certificate.
        san: its subjectAltName, or None for a certificate without one.
        kind: `ec`, which is quick, or `rsa`, as in the documentation.
    """
    folder = Path(_directory().name)
    cert, key = str(folder / f"{name}-{kind}.pem"), str(folder / f"{name}-{kind}.key")
    command = ["openssl", "req", "-x509", "-newkey", kind, "-keyout", key, "-nodes"]
    command += ["-out", cert, "-sha256", "-subj", "/"]
    if kind == "ec":
        command += ["-pkeyopt", "ec_paramgen_curve:prime256v1"]
    if san is not None:
        command += ["--addext", f"subjectAltName={san}"]
    subprocess.run(command, check=True, capture_output=True)
    return Identity(cert, key)


def paths_of(ours: str, theirs: str) -> dict[str, str]:
    """Return the paths with which one identity trusts another, as keyword arguments of TLS."""
    own = identity(ours)
    return {
        "local_cert": own.cert,
        "local_key": own.key,
        "peer_cert": identity(theirs).cert,
    }
