"""A directory with the certificates of a server and its clients: made, removed, checked."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from sipyco_pyon.files import NewFile, write_files
from sipyco_tools._certs.certificates import (
    Description,
    belong_together,
    describe,
    make_pair,
    read_bundle,
)

CLIENTS: Final = "clients.pem"  # the certificates of all clients that the server trusts
_SERVER: Final = "server"
_DEFAULT_CLIENT: Final = "client"
_DEFAULT_HOSTS: Final = ["127.0.0.1", "::1", "localhost"]
_PRIVATE: Final = 0o600
_PUBLIC: Final = 0o644


class Made(NamedTuple):
    """Who has a new certificate and key from `make`."""

    server: bool
    clients: list[str]


class Finding(NamedTuple):
    """What `check` says about a certificate or a key, on one line."""

    text: str
    good: bool


def make(directory: Path, hosts: list[str], clients: list[str], days: int, force: bool) -> Made:
    """Make what is asked for by name, and what is missing of the rest.

    A server is asked for by `hosts`, clients by their names. In an empty directory a server for
    this host, and one client, are made without being asked for.

    Args:
        directory: it is made, for its owner only, if it is missing.
        hosts: addresses and host names of the server.
        clients: names.
        days: how long new certificates are valid.
        force: replace what is there, if it is asked for by name.

    Raises:
        FileExistsError: something that is to be made is there; nothing was done.
        ValueError: a certificate that is there cannot be read; nothing was done.
        OSError: the files cannot be written; none is left.
    """
    with _made_directory(directory), _directory_lock(directory):
        return _make(directory, hosts, clients, days, force)


def _make(directory: Path, hosts: list[str], clients: list[str], days: int, force: bool) -> Made:
    trusted = read_bundle(directory / CLIENTS)
    replaced = {*([_SERVER] if hosts else []), *clients} if force else set()
    server = bool(hosts) or not (trusted.certificates or (directory / f"{_SERVER}.pem").exists())
    if not clients and not trusted.certificates:
        clients = [_DEFAULT_CLIENT]
    for stem in [*([_SERVER] if server else []), *clients]:
        if stem not in replaced:
            _refuse(directory, stem, trusted.names)
    files: list[NewFile] = []
    if server:
        hosts = hosts or _DEFAULT_HOSTS
        name = f"server at {hosts[0]}"
        files += _new_pair(directory, _SERVER, name, hosts, days, _SERVER in replaced)
    if clients:
        content = trusted.without(clients)
        for name in clients:
            pair = _new_pair(directory, name, name, [], days, name in replaced)
            files += pair
            certificate = pair[1].data
            until = describe(certificate).until
            content += f"# {name}, until {until:%Y-%m-%d}\n".encode() + certificate
        # The last, so that nobody is trusted whose own files are not there.
        files.append(NewFile(directory / CLIENTS, content, _PUBLIC))
    write_files(files)
    return Made(server, clients)


def _new_pair(
    directory: Path, stem: str, name: str, hosts: list[str], days: int, replace: bool
) -> list[NewFile]:
    """Make a key and a certificate, as the files that they are to be, in this order."""
    pair = make_pair(name, hosts, days)
    return [
        NewFile(path, data, mode, replace=replace and os.path.lexists(path))
        for path, data, mode in (
            (directory / f"{stem}.key", pair.key, _PRIVATE),
            (directory / f"{stem}.pem", pair.certificate, _PUBLIC),
        )
    ]


def _refuse(directory: Path, stem: str, trusted: list[str]) -> None:
    """Refuse to replace files, or the trust in a client whose own files are elsewhere."""
    for path in (directory / f"{stem}.pem", directory / f"{stem}.key"):
        if os.path.lexists(path):
            option = "--host HOST" if stem == _SERVER else f"--client {stem}"
            raise FileExistsError(f"{path} exists already; {option} --force replaces it")
    if stem in trusted and stem != _SERVER:
        raise FileExistsError(
            f"{directory / CLIENTS} has a client `{stem}` already; "
            f"--client {stem} --force replaces it"
        )


def remove(directory: Path, name: str) -> None:
    """Take a client out of the file of those that the server trusts.

    Raises:
        ValueError: there is no such client, or no other.
        OSError: the file cannot be read or written; it is untouched.
    """
    path = directory / CLIENTS
    with _directory_lock(directory):
        trusted = read_bundle(path)
        if name not in trusted.names:
            there = ", ".join(f"`{each}`" for each in trusted.names) or "none"
            raise ValueError(f"no client `{name}` in {path}; it has: {there}")
        if set(trusted.names) == {name}:
            # TLS refuses a file without certificates: the server could not start with it, and one
            # that runs would go on with the old one.
            raise ValueError(
                f"`{name}` is the last client in {path}, which cannot be empty: "
                "add another first, or stop the server"
            )
        write_files([NewFile(path, trusted.without([name]), _PUBLIC)])


def check(directory: Path, days: int) -> list[Finding]:
    """Check all certificates, which should be valid for so many days more, and keys.

    Raises:
        OSError: the directory or a file cannot be read.
        ValueError: there is no certificate.
    """
    findings: list[Finding] = []
    now = datetime.now(UTC)
    paths = sorted(directory.iterdir())
    for path in paths:
        if path.suffix != ".pem":
            continue
        try:
            bundle = read_bundle(path)
        except ValueError as exc:
            findings.append(Finding(str(exc), False))
            continue
        if bundle.has_key:
            findings += _access(path)
        elif not bundle.certificates:
            findings.append(Finding(f"{path.name}: there is no certificate in it", False))
        findings += [_validity(path, found, now, days) for found in bundle.certificates]
    if not findings:
        raise ValueError(f"no certificates in {directory}")
    for path in paths:
        if path.suffix == ".key":
            findings += [*_access(path), *_match(path)]
    return findings


def _validity(path: Path, found: Description, now: datetime, days: int) -> Finding:
    good = found.since <= now and now + timedelta(days=days) < found.until
    if now < found.since:
        verdict = f"not valid before {found.since:%Y-%m-%d}"
    elif found.until <= now:
        verdict = f"expired on {found.until:%Y-%m-%d}"
    else:
        verdict = f"until {found.until:%Y-%m-%d}, {(found.until - now).days} days"
    hosts = f", for {', '.join(found.hosts)}" if found.hosts else ""
    return Finding(f"{path.name}: {found.name or 'no name'}: {verdict}{hosts}", good)


def _access(key: Path) -> Iterator[Finding]:
    if os.name == "posix" and stat.S_IMODE(key.stat().st_mode) & 0o077:
        yield Finding(f"{key.name}: others can read it; chmod 600 {key}", False)


def _match(key: Path) -> Iterator[Finding]:
    certificate = key.with_suffix(".pem")
    if not certificate.exists():
        return
    try:
        if not belong_together(certificate.read_bytes(), key.read_bytes()):
            yield Finding(f"{key.name}: it does not belong to {certificate.name}", False)
    except (TypeError, ValueError) as exc:
        yield Finding(f"{key.name}: it cannot be read: {exc}", False)


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
