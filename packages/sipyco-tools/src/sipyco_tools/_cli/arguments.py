"""Types and options of command lines that several programs have in common."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

from sipyco_rpc.support.validation import check_host, checked_port, checked_time_limit
from sipyco_tools._cli.output import show

_DISTRIBUTIONS: Final = ("sipyco", "sipyco-pyon", "sipyco-rpc", "sipyco-sync", "sipyco-tools")
_EXTRAS: Final = ("numpy", "rich")

T = TypeVar("T")

LOG_PORT: Final = 1066  # of log servers, as their programs have it by default

_IN_BRACKETS: Final = re.compile(r"\[([^]]*)\](?::(.*))?")
_WITH_PORT: Final = re.compile(r"([^:]*):([^:]*)")  # an IPv6 address has more colons


class Address(NamedTuple):
    """A host and a port."""

    host: str
    port: int


def argument_type(check: Callable[[str], T]) -> Callable[[str], T]:
    """Make a type for `add_argument` of a function whose `ValueError` says what was expected."""

    def convert(text: str) -> T:
        try:
            return check(text)
        except ValueError as exc:  # argparse would leave out its text
            raise argparse.ArgumentTypeError(str(exc)) from None

    return convert


@argument_type
def host(text: str) -> str:
    check_host(text)
    return text


port = argument_type(checked_port)
listening_port = argument_type(partial(checked_port, listening=True))


@argument_type
def timeout(text: str) -> float:
    try:
        seconds: Any = float(text)
    except ValueError:
        seconds = text  # is refused as it was typed
    return checked_time_limit(seconds, "a timeout")


def split_address(text: str) -> list[str]:
    """Give HOST and PORT of `HOST:PORT` or `[::1]:PORT`, or HOST alone; neither is checked."""
    found = _IN_BRACKETS.fullmatch(text) or _WITH_PORT.fullmatch(text)
    return [text] if found is None else [part for part in found.groups() if part is not None]


def address_of(text: str, default_port: int) -> Address:
    """Read `HOST`, `HOST:PORT`, `[::1]:PORT`, or an IPv6 address without a port.

    Raises:
        ValueError: it is none of these.
    """
    host, *port = split_address(text)
    if host.startswith("["):
        raise ValueError(f"expected [ADDRESS]:PORT, got {text!r}")
    check_host(host)
    return Address(host, checked_port(port[0]) if port else default_port)


log_server = argument_type(partial(address_of, default_port=LOG_PORT))


_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.ASCII)


def parsed_size(text: str) -> int:
    """Read a size, such as `65536`, `64K`, `1.5 MiB` or `2G`: units are powers of 1024.

    Returns:
        Bytes.

    Raises:
        ValueError: it is none.
    """
    found = _SIZE.fullmatch(text.strip().lower())
    number = float(found[1]) * 1024 ** " kmgt".index(found[2] or " ") if found else 0.0
    if not 1 <= number < 2**63:
        raise ValueError(f"expected a size such as 65536, 64K or 2G, got {text!r}")
    return int(number)


size = argument_type(parsed_size)


@argument_type
def count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19 and int(text) > 0):
        raise ValueError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


class _Version(argparse.Action):
    """Prints the versions of what is installed, and ends the program."""

    def __call__(self, *args: Any) -> None:
        from importlib.metadata import PackageNotFoundError, version

        for name in (*_DISTRIBUTIONS, *_EXTRAS):
            try:
                show(f"{name} {version(name)}")
            except PackageNotFoundError:
                pass  # one may do without the others
        show(f"Python {sys.version.split()[0]} on {sys.platform}")
        raise SystemExit(0)


def add_version_option(parser: argparse.ArgumentParser) -> argparse.Action:
    """Add `--version`, which tells the versions of all that is installed."""
    return parser.add_argument(
        "--version",
        action=_Version,
        nargs=0,
        help="show the versions of what is installed, and leave",
    )


def add_ssl_option(
    parser: Any, peer: str, option: str = "--ssl", purpose: str = ""
) -> argparse.Action:
    """Add `--ssl CERT KEY PEER` to a parser, or to a group of options, whose class is private."""
    action: argparse.Action = parser.add_argument(
        option,
        nargs=3,
        metavar=("CERT", "KEY", "PEER"),
        help=f"use TLS{purpose}: PEM files with our certificate, its key, and {peer}",
    )
    return action
