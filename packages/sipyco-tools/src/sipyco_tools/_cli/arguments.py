"""Types and options of command lines that several programs have in common."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, TypeVar

from sipyco_rpc.support.validation import check_host, checked_port, checked_time_limit

T = TypeVar("T")


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
    """Take the name or address of a host."""
    check_host(text)
    return text


@argument_type
def port(text: str) -> int:
    """Take the port of a server."""
    return checked_port(text)


@argument_type
def listening_port(text: str) -> int:
    """Take a port to listen on."""
    return checked_port(text, listening=True)


@argument_type
def timeout(text: str) -> float:
    """Take a time limit in seconds."""
    try:
        seconds: Any = float(text)
    except ValueError:
        seconds = text  # is refused as it was typed
    return checked_time_limit(seconds, "a timeout")


def add_ssl_option(parser: Any, peer: str) -> None:
    """Add `--ssl CERT KEY PEER`.

    Args:
        parser: of a command line, or a group of its options (whose class is private).
        peer: whose certificates the third file has, for the help.
    """
    parser.add_argument(
        "--ssl",
        nargs=3,
        metavar=("CERT", "KEY", "PEER"),
        help=f"use TLS: PEM files with our certificate, its key, and {peer}",
    )
