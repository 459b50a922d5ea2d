"""Types and options of command lines that several programs have in common."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
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


def add_ssl_option(parser: Any, peer: str) -> None:
    """Add `--ssl CERT KEY PEER` to a parser, or to a group of options, whose class is private."""
    parser.add_argument(
        "--ssl",
        nargs=3,
        metavar=("CERT", "KEY", "PEER"),
        help=f"use TLS: PEM files with our certificate, its key, and {peer}",
    )
