"""A PEM file of certificates: what is in it, and its content without some of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

from sipyco_tools._certs.certificates import Description, describe

__all__: list[str] = []

# A certificate, with the line of comment before it that says whose it is. OpenSSL reads over what
# is between certificates.
_CERTIFICATE: Final = re.compile(
    rb"(?:^#[^\n]*\n)?(-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----)(?:\r?\n)?",
    re.DOTALL | re.MULTILINE,
)
# Other names that OpenSSL knows certificates by.
_OTHER_FORMS: Final = re.compile(rb"^-----BEGIN (X509|TRUSTED) CERTIFICATE-----", re.MULTILINE)
_KEY: Final = re.compile(rb"^-----BEGIN [A-Z ]*PRIVATE KEY-----", re.MULTILINE)


class _Entry(NamedTuple):
    """A certificate in a file.

    Attributes:
        start: where it begins, or the comment before it.
        end: where the next begins.
        description: what it says.
    """

    start: int
    end: int
    description: Description


class Bundle(NamedTuple):
    """The content of a file, and the certificates in it."""

    content: bytes
    entries: list[_Entry]

    @property
    def names(self) -> list[str]:
        """The common names of the certificates."""
        return [entry.description.name for entry in self.entries]

    @property
    def has_key(self) -> bool:
        """Whether there is a private key, too: OpenSSL takes it, whatever the file is called."""
        return _KEY.search(self.content) is not None

    def without(self, names: list[str]) -> bytes:
        """Return the content without some certificates, ready for more of them."""
        kept, end = b"", 0
        for entry in self.entries:
            if entry.description.name in names:
                kept += self.content[end : entry.start]
                end = entry.end
        kept += self.content[end:]
        return kept + b"\n" if kept and not kept.endswith(b"\n") else kept


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
    entries = []
    for number, found in enumerate(_CERTIFICATE.finditer(content), 1):
        try:
            description = describe(found[1])
        except ValueError as exc:
            raise ValueError(f"certificate {number} in {path} cannot be read: {exc}") from exc
        entries.append(_Entry(found.start(), found.end(), description))
    return Bundle(content, entries)
