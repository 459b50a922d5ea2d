"""Certificates and their keys: made, described, read. `cryptography` is used nowhere else."""

from __future__ import annotations

import ipaddress
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_CLOCKS: Final = timedelta(days=1)  # that clocks may be behind ours and still accept a certificate
_MAX_COMMON_NAME: Final = 64  # RFC 5280, ub-common-name

# A certificate, with the line of comment before it that says whose it is. OpenSSL reads over what
# is between certificates.
_CERTIFICATE: Final = re.compile(
    rb"(?:^#[^\n]*\n)?(-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----)(?:\r?\n)?",
    re.DOTALL | re.MULTILINE,
)
# Other names that OpenSSL knows certificates by.
_OTHER_FORMS: Final = re.compile(rb"^-----BEGIN (X509|TRUSTED) CERTIFICATE-----", re.MULTILINE)
_KEY: Final = re.compile(rb"^-----BEGIN [A-Z ]*PRIVATE KEY-----", re.MULTILINE)


class Pair(NamedTuple):
    """A certificate and its private key, in PEM."""

    certificate: bytes
    key: bytes


class Description(NamedTuple):
    """What a certificate says."""

    name: str  # of its subject; empty if there is none
    hosts: list[str]  # the addresses and host names that it is valid for
    since: datetime
    until: datetime


def make_pair(name: str, hosts: list[str], days: int) -> Pair:
    """Make a key and a self-signed certificate, which can sign no others.

    Args:
        name: of its subject.
        hosts: addresses and host names of a server, which may be a client of others, too; or
            nothing for a client, which cannot be a server.
        days: how long it is valid.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:_MAX_COMMON_NAME])])
    now = datetime.now(UTC)
    own = x509.SubjectKeyIdentifier.from_public_key(public)
    # A subjectAltName is what strict verifiers expect; that of a client must not name a host.
    alternatives = [_host(host) for host in hosts] or [x509.DirectoryName(subject)]
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if hosts:
        usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS)
        .not_valid_after(now + timedelta(days=days))
        # Whoever trusts it must not thereby trust what its owner signs.
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_only_signatures(), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(own, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    return Pair(
        certificate.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _only_signatures() -> x509.KeyUsage:
    """Return the usage of a key that signs handshakes, which is all that TLS needs."""
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def describe(certificate: bytes) -> Description:
    """Tell what a certificate in PEM says.

    Raises:
        ValueError: it is none.
    """
    parsed = x509.load_pem_x509_certificate(certificate)
    names = parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    hosts: list[str] = []
    try:
        found = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        hosts += [str(address) for address in found.get_values_for_type(x509.IPAddress)]
        hosts += found.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        pass  # older set-ups have such certificates
    return Description(
        str(names[0].value) if names else "",
        hosts,
        parsed.not_valid_before_utc,
        parsed.not_valid_after_utc,
    )


def belong_together(certificate: bytes, key: bytes) -> bool:
    """Tell whether a key is that of a certificate.

    Raises:
        ValueError: one of them cannot be read.
        TypeError: the key is encrypted.
    """
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    private = load_pem_private_key(key, password=None)
    public = x509.load_pem_x509_certificate(certificate).public_key()
    return bool(private.public_key().public_bytes(*form) == public.public_bytes(*form))


class Bundle(NamedTuple):
    """The content of a PEM file, and the certificates in it."""

    content: bytes
    certificates: list[Description]

    @property
    def names(self) -> list[str]:
        """The common names of the certificates."""
        return [each.name for each in self.certificates]

    @property
    def has_key(self) -> bool:
        """Whether there is a private key, too: OpenSSL takes it, whatever the file is called."""
        return _KEY.search(self.content) is not None

    def without(self, names: list[str]) -> bytes:
        """Return the content without some certificates, ready for more of them."""

        def kept(found: re.Match[bytes]) -> bytes:
            return b"" if describe(found[1]).name in names else found[0]

        content = _CERTIFICATE.sub(kept, self.content)
        return content + b"\n" if content and not content.endswith(b"\n") else content


def read_bundle(path: Path) -> Bundle:
    """Read a file of certificates; if there is no file, there are none.

    Raises:
        ValueError: a certificate cannot be read.
        OSError: the file cannot be read.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Bundle(b"", [])
    old = _OTHER_FORMS.search(content)
    if old is not None:
        # TLS would trust it, and here it would be neither listed nor removed.
        raise ValueError(
            f"{path} has a certificate in the form `{old[1].decode()} CERTIFICATE`: write it as "
            "`CERTIFICATE` (openssl x509 -in OLD -out NEW)"
        )
    certificates = []
    for number, found in enumerate(_CERTIFICATE.finditer(content), 1):
        try:
            certificates.append(describe(found[1]))
        except ValueError as exc:
            raise ValueError(f"certificate {number} in {path} cannot be read: {exc}") from exc
    return Bundle(content, certificates)
