"""The check of certificates and keys: until when they are valid, and who can read them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from sipyco_tools._certs.certificates import Description, belong_together, read_bundle


class Finding(NamedTuple):
    """What `check` says about a certificate or a key, on one line."""

    text: str
    good: bool


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
