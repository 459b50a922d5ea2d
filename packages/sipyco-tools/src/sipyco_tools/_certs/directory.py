"""A directory of certificates: what is there, and what is to be made. No command line here."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from sipyco_pyon.files import NewFile, write_files
from sipyco_tools._certs.certificates import (
    Description,
    Pair,
    belong_together,
    describe,
    make_pair,
)

__all__: list[str] = []

CLIENTS: Final = "clients.pem"  # the certificates of all clients that the server trusts
SERVER: Final = "server"
_DEFAULT_CLIENT: Final = "client"
_DEFAULT_HOSTS: Final = ["127.0.0.1", "::1", "localhost"]
_PRIVATE: Final = 0o600
_PUBLIC: Final = 0o644
# A certificate, with the line of comment before it that says whose it is. OpenSSL reads over what
# is between certificates.
_CERTIFICATE: Final = re.compile(
    rb"(?:^#[^\n]*\n)?(-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----)(?:\r?\n)?",
    re.DOTALL | re.MULTILINE,
)


# Other names that OpenSSL knows certificates by.
_OTHER_FORMS: Final = re.compile(rb"^-----BEGIN (X509|TRUSTED) CERTIFICATE-----", re.MULTILINE)


_KEY: Final = re.compile(rb"^-----BEGIN [A-Z ]*PRIVATE KEY-----", re.MULTILINE)


class Made(NamedTuple):
    """What `make` has made.

    Attributes:
        server: whether there is a new certificate of the server.
        clients: the names of the clients that have new ones.
    """

    server: bool
    clients: list[str]


class Finding(NamedTuple):
    """What `check` says about a certificate or a key.

    Attributes:
        text: on one line.
        good: whether all is well.
    """

    text: str
    good: bool


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


def make(directory: Path, hosts: list[str], clients: list[str], days: int, force: bool) -> Made:
    """Make what is asked for by name, and what is missing of the rest.

    A server is asked for by `hosts`, clients by their names. In an empty directory a server for
    this host, and one client, are made without being asked for.

    Args:
        directory: it is made, for its owner only, if it is missing.
        hosts: addresses and host names of the server.
        clients: names.
        days: how long new certificates are good.
        force: replace what is there, if it is asked for by name.

    Raises:
        FileExistsError: something that is to be made is there; nothing was done.
        ValueError: a certificate that is there cannot be read; nothing was done.
        OSError: the files cannot be written; none is left.
    """
    with _made_directory(directory), _directory_lock(directory):
        trusted, entries = _read(directory / CLIENTS)
        named = [*([SERVER] if hosts else []), *clients]
        server = bool(hosts) or not (entries or (directory / f"{SERVER}.pem").exists())
        if not clients and not entries:
            clients = [_DEFAULT_CLIENT]
        stems = [*([SERVER] if server else []), *clients]
        replaced = set(named) if force else set()
        _refuse(directory, stems, replaced)
        if not force:
            _refuse_trusted(directory, clients, entries)
        files: list[NewFile] = []
        if server:
            hosts = hosts or _DEFAULT_HOSTS
            pair = make_pair(f"server at {hosts[0]}", hosts, days)
            files += _files_of(directory, SERVER, pair, SERVER in replaced)
        if clients:
            trusted = _without(trusted, entries, clients)
            more, certificates = _client_files(directory, clients, days, replaced)
            files += more
            trusted += certificates
            # The last, so that nobody is trusted whose own files are not there.
            files.append(NewFile(directory / CLIENTS, trusted, _PUBLIC))
        write_files(files)
        return Made(server, clients)


def _files_of(directory: Path, stem: str, pair: Pair, replace: bool) -> Iterator[NewFile]:
    for suffix, data, mode in (("key", pair.key, _PRIVATE), ("pem", pair.certificate, _PUBLIC)):
        path = directory / f"{stem}.{suffix}"
        yield NewFile(path, data, mode, replace=replace and os.path.lexists(path))


def _client_files(
    directory: Path, clients: list[str], days: int, replaced: set[str]
) -> tuple[list[NewFile], bytes]:
    """Make the certificates of clients: their files, and what the server's file has of them."""
    files: list[NewFile] = []
    trusted = b""
    for name in clients:
        pair = make_pair(name, [], days)
        files += _files_of(directory, name, pair, name in replaced)
        until = describe(pair.certificate).until
        trusted += f"# {name}, until {until:%Y-%m-%d}\n".encode() + pair.certificate
    return files, trusted


def _refuse(directory: Path, stems: list[str], replaced: set[str]) -> None:
    """Refuse to replace a file, but for those that are to be replaced."""
    for stem in stems:
        if stem in replaced:
            continue
        for path in (directory / f"{stem}.pem", directory / f"{stem}.key"):
            if os.path.lexists(path):
                option = "--host HOST" if stem == SERVER else f"--client {stem}"
                raise FileExistsError(f"{path} exists already; {option} --force replaces it")


def _refuse_trusted(directory: Path, clients: list[str], entries: list[_Entry]) -> None:
    """Refuse to take the trust from a client whose own files are elsewhere."""
    for entry in entries:
        if entry.description.name in clients:
            raise FileExistsError(
                f"{directory / CLIENTS} has a client `{entry.description.name}` already; "
                f"--client {entry.description.name} --force replaces it"
            )


def remove(directory: Path, name: str) -> None:
    """Take a client out of the file of those that the server trusts.

    Raises:
        ValueError: there is no such client, or no other.
        OSError: the file cannot be read or written; it is untouched.
    """
    path = directory / CLIENTS
    with _directory_lock(directory):
        trusted, entries = _read(path)
        names = [entry.description.name for entry in entries]
        if name not in names:
            raise ValueError(f"no client `{name}` in {path}; it has: {quoted(names)}")
        if set(names) == {name}:
            # TLS refuses a file without certificates: the server could not start with it, and one
            # that runs would go on with the old one.
            raise ValueError(
                f"`{name}` is the last client in {path}, which cannot be empty: "
                "add another first, or stop the server"
            )
        write_files([NewFile(path, _without(trusted, entries, [name]), _PUBLIC)])


def quoted(names: list[str]) -> str:
    """Return names for a sentence."""
    return ", ".join(f"`{name}`" for name in names) or "none"


def _without(content: bytes, entries: list[_Entry], names: list[str]) -> bytes:
    """Return the content of a file without some certificates, ready for more of them."""
    kept, end = b"", 0
    for entry in entries:
        if entry.description.name in names:
            kept += content[end : entry.start]
            end = entry.end
    kept += content[end:]
    return kept + b"\n" if kept and not kept.endswith(b"\n") else kept


def _read(path: Path) -> tuple[bytes, list[_Entry]]:
    """Return the content of a file and the certificates in it; nothing, if there is no file."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return b"", []
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
    return content, entries


@contextmanager
def _made_directory(directory: Path) -> Iterator[None]:
    """Make a directory if it is missing; take it back if what follows fails."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    try:
        directory.mkdir(mode=0o700)
        made = True
    except FileExistsError:
        made = False
    try:
        yield
    except BaseException:
        if made:
            try:
                directory.rmdir()
            except OSError:
                pass  # somebody else has put something there
        raise


@contextmanager
def _directory_lock(directory: Path) -> Iterator[None]:
    """Wait until nobody else is at work here: two could each forget the other's client."""
    if sys.platform == "win32":
        yield  # it has no such lock, and people who take turns
        return
    import fcntl

    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:
            pass  # some network file systems have no locks
        yield
    finally:
        os.close(descriptor)


def check(directory: Path, days: int) -> list[Finding]:
    """Look at all certificates and keys in a directory.

    Args:
        directory: where they are.
        days: for how long certificates should still be good.

    Raises:
        OSError: the directory or a file cannot be read.
        ValueError: there is no certificate.
    """
    findings: list[Finding] = []
    now = datetime.now(UTC)
    for path in sorted(directory.iterdir()):
        if path.suffix != ".pem":
            continue
        try:
            content, entries = _read(path)
        except ValueError as exc:
            findings.append(Finding(str(exc), False))
            continue
        if _KEY.search(content):  # OpenSSL takes a key for what it is, whatever its file is called
            findings += _findings_about_access(path)
        elif not entries:
            findings.append(Finding(f"{path.name}: there is no certificate in it", False))
        findings += [_finding(path, entry.description, now, days) for entry in entries]
    if not findings:
        raise ValueError(f"no certificates in {directory}")
    return [*findings, *_findings_about_keys(sorted(directory.glob("*.key")))]


def _finding(path: Path, found: Description, now: datetime, days: int) -> Finding:
    good = found.since <= now and now + timedelta(days=days) < found.until
    if now < found.since:
        verdict = f"not valid before {found.since:%Y-%m-%d}"
    elif found.until <= now:
        verdict = f"expired on {found.until:%Y-%m-%d}"
    else:
        verdict = f"until {found.until:%Y-%m-%d}, {(found.until - now).days} days"
    hosts = f", for {', '.join(found.hosts)}" if found.hosts else ""
    return Finding(f"{path.name}: {found.name or 'no name'}: {verdict}{hosts}", good)


def _findings_about_access(key: Path) -> Iterator[Finding]:
    if os.name == "posix" and stat.S_IMODE(key.stat().st_mode) & 0o077:
        yield Finding(f"{key.name}: others can read it; chmod 600 {key}", False)


def _findings_about_keys(keys: Iterable[Path]) -> Iterator[Finding]:
    for key in keys:
        yield from _findings_about_access(key)
        certificate = key.with_suffix(".pem")
        if not certificate.exists():
            continue
        try:
            together = belong_together(certificate.read_bytes(), key.read_bytes())
        except (TypeError, ValueError) as exc:
            yield Finding(f"{key.name}: it cannot be read: {exc}", False)
            continue
        if not together:
            yield Finding(f"{key.name}: it does not belong to {certificate.name}", False)
