"""What the errors of TLS mean, and what to do. No sockets, and no TLS, here.

OpenSSL says what a line of its code has found. `reason` of its errors is a name that lasts; the
texts behind it differ from version to version.
"""

from __future__ import annotations

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from typing import Any, Final

__all__ = ["handshake_hint", "refusal"]

# What is found where a record of TLS is expected: text, such as a banner or a request of HTTP.
_NO_TLS: Final = (
    "BAD_RECORD_TYPE",
    "HTTPS_PROXY_REQUEST",
    "HTTP_REQUEST",
    "PACKET_LENGTH_TOO_LONG",
    "RECORD_LAYER_FAILURE",
    "RECORD_TOO_SMALL",
    "UNKNOWN_PROTOCOL",
    "UNSUPPORTED_PROTOCOL_VERSION",
    "WRONG_VERSION_NUMBER",
)

# What the other side sends when it refuses our certificate.
_REFUSALS: Final = (
    "ALERT_ACCESS_DENIED",
    "ALERT_BAD_CERTIFICATE",
    "ALERT_CERTIFICATE_EXPIRED",
    "ALERT_CERTIFICATE_REVOKED",
    "ALERT_CERTIFICATE_UNKNOWN",
    "ALERT_DECRYPT_ERROR",
    "ALERT_UNKNOWN_CA",
    "ALERT_UNSUPPORTED_CERTIFICATE",
)

# Of the verification of a certificate, as OpenSSL numbers them (X509_V_ERR_…).
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
_UNTRUSTED: Final = (2, 18, 19, 20, 21)  # issuers that are not there, self-signed ones among them
_OTHER_NAME: Final = (62, 64)  # a host name, an address


def _reason(exc: BaseException) -> str:
    return getattr(exc, "reason", None) or ""


def handshake_hint(exc: BaseException) -> str:
    """Say to who connects what an error of TLS means, and what to do; empty if that is unknown."""
    reason = _reason(exc)
    if reason == "CERTIFICATE_VERIFY_FAILED":
        return _of_certificate(exc, "the server's certificate", "peer_cert of this client")
    if reason in _NO_TLS:
        return "it answers without TLS: give this client no certificates, or those to the server"
    if reason.endswith(_REFUSALS):
        return "it refuses the certificate of this client: has its peer_cert this one?"
    if reason.endswith("CERTIFICATE_REQUIRED"):
        return "it wants a certificate of this client"
    return ""


def refusal(exc: BaseException) -> str:
    """Say in the log of a server why the TLS handshake with a client failed.

    An exception without a text means that the client closed the connection without a reason.
    """
    text, reason = str(exc), _reason(exc)
    if not text:
        return "it closed the connection (does it trust our certificate?)"
    if reason in _NO_TLS:
        what = "a web browser, or" if reason.startswith("HTTP") else "it is"
        return f"{what} a client without TLS, which this server requires"
    if reason == "CERTIFICATE_VERIFY_FAILED":
        hint = _of_certificate(exc, "its certificate", "peer_cert of this server")
    elif reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        hint = "it has no certificate, and this server lets nobody in without"
    elif reason.endswith(_REFUSALS):
        hint = "it refuses our certificate: has its peer_cert this one?"
    else:
        hint = ""
    return f"{hint} ({text})" if hint else text


def _of_certificate(exc: Any, certificate: str, trusted: str) -> str:
    code = getattr(exc, "verify_code", None)
    if code == _EXPIRED:
        return f"{certificate} has expired: make a new one, such as with sipyco_certs --force"
    if code == _NOT_YET_VALID:
        return f"{certificate} is not valid yet: is the clock of one of the computers wrong?"
    if code in _OTHER_NAME:
        return (
            f"{certificate} is for another host: connect to one that it is for, or make one that "
            "is for this host, such as with sipyco_certs --host"
        )
    if code in _UNTRUSTED:
        return f"{certificate} is not among those of {trusted}: put a copy of it there"
    return ""
