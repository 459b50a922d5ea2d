"""Loads PEM files for TLS, and says of those that cannot be used which it is, and why."""

from __future__ import annotations

import re

from sipyco_rpc.support.one_line import in_one_line

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    import ssl
    from os import PathLike
    from typing import Final, TypeAlias

    Path: TypeAlias = str | PathLike[str]

__all__ = ["load_pem"]

_CERTIFICATE: Final = re.compile(rb"-----BEGIN (X509 |TRUSTED )?CERTIFICATE-----")
_KEY: Final = re.compile(rb"-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY-----")
_ENCRYPTED: Final = re.compile(rb"BEGIN ENCRYPTED PRIVATE KEY|Proc-Type: 4,ENCRYPTED")

_MOST: Final = 1024 * 1024  # bytes of a file that are looked at


def load_pem(context: ssl.SSLContext, local_cert: Path, local_key: Path, peer_cert: Path) -> None:
    """Load our certificate and its key, and the certificates to trust.

    Raises:
        OSError: a file cannot be read (with its `filename`), or its content (`ssl.SSLError`) not
            be used; the text says which file that is, and what is wrong with it.
    """
    import ssl

    cert = _read(local_cert, "our certificate (local_cert)")
    key = _read(local_key, "our private key (local_key)")
    peers = _read(peer_cert, "the certificates to trust (peer_cert)")
    try:
        context.load_cert_chain(local_cert, local_key, password=_no_password)
    except ssl.SSLError as exc:
        raise _explained(exc, _own_fault(exc, local_cert, cert, local_key, key)) from exc
    try:
        context.load_verify_locations(peer_cert)
    except ssl.SSLError as exc:
        raise _explained(exc, _fault_of(peer_cert, peers, "certificates to trust")) from exc


def _read(path: Path, role: str) -> bytes:
    """Read a file; an error of `ssl` would not say which file is missing."""
    try:
        with open(path, "rb") as file:
            return file.read(_MOST)
    except OSError as exc:
        if exc.errno is None:
            raise
        text = f"{exc.strerror}: {role}"
        raise in_one_line(type(exc)(exc.errno, text, exc.filename)) from None


def _no_password() -> bytes:
    """Give no password: OpenSSL would wait for somebody to type it, who may not be there."""
    return b""


def _own_fault(exc: ssl.SSLError, cert: Path, in_cert: bytes, key: Path, in_key: bytes) -> str:
    """Say what is wrong with our certificate, or its key."""
    if _KEY.search(in_cert) and _CERTIFICATE.search(in_key) and not _KEY.search(in_key):
        return f"certificate and key are swapped: {cert} is a private key, {key} a certificate"
    if not _CERTIFICATE.search(in_cert):
        return _fault_of(cert, in_cert, "our certificate")
    if not _KEY.search(in_key):
        return _fault_of(key, in_key, "our private key")
    if _ENCRYPTED.search(in_key):
        return (
            f"{key} is encrypted, and nobody is there to type its password: `openssl pkey -in "
            f"{key} -out FILE` writes it without; let nobody else read that"
        )
    if exc.reason == "KEY_VALUES_MISMATCH":
        return f"the private key {key} does not belong to the certificate {cert}"
    if exc.reason == "EE_KEY_TOO_SMALL":
        return f"the key of {cert} is too short to be safe"
    return f"{cert} or {key} is damaged"


def _fault_of(path: Path, content: bytes, wanted: str) -> str:
    """Say what a file is, where it should be something else."""
    if not content.strip():
        found = "is empty"
    elif _KEY.search(content) and not _CERTIFICATE.search(content):
        found = "is a private key"
    elif _CERTIFICATE.search(content):
        found = "has a certificate only" if wanted == "our private key" else "is damaged"
    elif content.startswith(b"0\x82"):
        found = "is in binary form (DER); `openssl x509` or `openssl pkey` makes PEM of it"
    else:
        found = "is no PEM file"
    return f"{path} {found}, where {wanted} should be"


def _explained(exc: ssl.SSLError, text: str) -> ssl.SSLError:
    """Give an error of the same class, with the same attributes, and a text that helps."""
    error = type(exc)(exc.errno, f"{text} ({exc})")
    vars(error).update(vars(exc))
    return in_one_line(error)
