"""The options that all actions of `sipyco_rpctool` have, and how it names a server."""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from sipyco_tools._cli import arguments


def add_options(parser: argparse.ArgumentParser, *, repeated: bool = False) -> None:
    """Add the options that all actions have.

    Args:
        parser: that of the command, or of an action.
        repeated: it is the parser of an action: the options are accepted, in place of those of
            the command, and neither listed again nor given defaults.
    """
    options = [
        arguments.add_version_option(parser),
        parser.add_argument(
            "-t", "--target", metavar="TARGET", help="the target; needed if the server has several"
        ),
        arguments.add_ssl_option(parser, "the server's certificate"),
        parser.add_argument(
            "--timeout",
            type=arguments.timeout,
            metavar="SECONDS",
            help="give up when the server does not answer for so long (default: wait)",
        ),
        parser.add_argument(
            "--max-line",
            type=arguments.size,
            metavar="BYTES",
            help="longest message to accept, such as 64M (default: 128M)",
        ),
        parser.add_argument(
            "--json",
            action="store_true",
            help="write results and errors as JSON (PYON v2), one line each, for other programs",
        ),
        parser.add_argument(
            "-v", "--verbose", action="store_true", help="show the traceback of an exception"
        ),
    ]
    if repeated:
        for option in options:
            option.default = option.help = argparse.SUPPRESS


class RecordingParser(argparse.ArgumentParser):
    """A parser that can be asked for its options.

    Attributes:
        values: the names of the options, with the number of words that follow each.
    """

    def __init__(self, **options: Any) -> None:
        self.values: dict[str, int] = {}
        super().__init__(**options)

    def add_argument(self, *names: str, **options: Any) -> argparse.Action:
        action = super().add_argument(*names, **options)
        count = 1 if action.nargs is None else action.nargs
        count = count if isinstance(count, int) else 0  # it may have one or not
        self.values.update(dict.fromkeys(action.option_strings, count))
        return action


class CommandLineParser(RecordingParser):
    """The parser of the whole command: the server may be two words, or one: `[::1]:3253`.

    Attributes:
        actions: the parsers of the actions, by their names.
    """

    def __init__(self, **options: Any) -> None:
        self.actions: dict[str, RecordingParser] = {}
        super().__init__(**options)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        words = list(sys.argv[1:] if args is None else args)
        first = first_positional(words, self.values)
        self._check_server(*[*words[first : first + 2], "", ""][:2])
        words[first : first + 1] = [
            part for word in words[first : first + 1] for part in arguments.split_address(word)
        ]
        return super().parse_known_args(words, namespace)

    def _check_server(self, word: str, following: str) -> None:
        """Refuse what is no server, before what follows is taken for a port."""
        if following.isdecimal() or following.startswith("-"):
            return
        if word in self.actions:
            self.error(f"the server comes before the action: SERVER PORT {word}")
        address, _, port = word.rpartition(":")
        if port.isdecimal() and _is_ipv6(address):
            self.error(f"expected [{address}]:{port} or {address} {port}, got {word}")


def _is_ipv6(text: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6, text)
    except (OSError, ValueError):
        return False
    return True


def first_positional(words: Sequence[str], values: dict[str, int], start: int = 0) -> int:
    """Find the first word that belongs to no option.

    Where there is none, it is what would come next, if the last option has all that belongs to it.

    Args:
        words: of the command line.
        values: how many words belong to each option; to those that are not there, none.
        start: where to begin to look.
    """
    index = start
    while index < len(words):
        word = words[index]
        if word == "--":
            return index + 1
        if not word.startswith("-") or word == "-":
            break
        index += 1 + _values_of(word, values)
    return index


def _values_of(word: str, values: dict[str, int]) -> int:
    if word.startswith("--") and word not in values and "=" not in word:
        # They may be shortened.
        found: Iterable[str] = [option for option in values if option.startswith(word)]
    else:
        found = [word]
    return max((values.get(option, 0) for option in found), default=0)
