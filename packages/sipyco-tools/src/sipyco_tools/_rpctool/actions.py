"""The subcommands of `sipyco_rpctool`: their options. What they do is in modules of their own."""

from __future__ import annotations

import argparse
from typing import Any, Final, Protocol

from sipyco_tools._cli import arguments
from sipyco_tools._rpctool.command_line import CommandLineParser, RecordingParser, add_options

_ARGUMENTS: Final = (
    "Everything after METHOD is an argument of it, evaluated as a Python expression "
    "in which `np` is NumPy. NAME=EXPRESSION gives a keyword argument. Mind the quotes: "
    "the shell takes one pair away, so a string is '\"text\"'."
)
_INTERVAL: Final = 2.0  # seconds between two looks, which a person can follow


class _Adder(Protocol):
    def __call__(
        self, name: str, run: str, summary: str, text: str, epilog: str = "", **defaults: Any
    ) -> argparse.ArgumentParser: ...


def add_actions(parser: CommandLineParser) -> None:
    """Add the subcommands.

    Each sets `run`, the names of a module of this room and a function in it, which is called with
    the parsed arguments; or with a client, which has not selected a target, before them, unless
    `feed` is set.
    """
    parser.set_defaults(run="methods:interactive", feed=False)
    actions = parser.add_subparsers(
        dest="action",
        metavar="ACTION",
        prog=f"{parser.prog} SERVER PORT",
        parser_class=RecordingParser,
        title="actions",
    )

    def add(
        name: str, run: str, summary: str, text: str, epilog: str = "", **defaults: Any
    ) -> argparse.ArgumentParser:
        added = parser.actions[name] = actions.add_parser(
            name,
            help=summary,
            description=text,
            epilog=f"{epilog}\n\nThe options of {parser.prog} may stand here as well.".strip(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        add_options(added, repeated=True)
        added.set_defaults(run=run, **defaults)
        return added

    _add_calls(add)
    _add_inspections(add)
    _add_feeds(add)


def _add_calls(add: _Adder) -> None:
    add(
        "list-targets",
        "methods:list_targets",
        "list the targets",
        "Print the server's targets.",
    )
    add(
        "list-methods",
        "methods:list_methods",
        "list the methods of a target",
        "Print the methods of a target with their signatures and docstrings.",
    )
    call = add(
        "call",
        "methods:call",
        "call a method",
        "Call a method and print what it returns, unless that is None; what a\n"
        "generator gives is printed item by item, as it comes.",
        _filled(_ARGUMENTS) + "\n\nexamples:\n"
        "  sipyco_rpctool ::1 3253 call -t lda set_attenuation 5\n"
        "  sipyco_rpctool ::1 3253 call configure 'label=\"left arm\"' enabled=True",
    )
    call.add_argument("method", metavar="METHOD", help="the method to call")
    _add_arguments(call)
    get = add(
        "get",
        "properties:get",
        "read properties",
        "Print the values of properties, if the server offers any.",
    )
    get.add_argument("names", metavar="NAME", nargs="+", help="of a property")
    assign = add(
        "set",
        "properties:set_",
        "set properties",
        "Give properties their values, one after another.",
        "example:\n  sipyco_rpctool ::1 3253 set voltage=12 'label=\"left arm\"'",
    )
    assign.add_argument(
        "assignments", metavar="NAME=EXPRESSION", nargs="+", help="a property and its new value"
    )
    add(
        "interactive",
        "methods:interactive",
        "evaluate Python at a prompt (default)",
        "Evaluate Python in which the methods of the target, and `np`, are names:\n"
        "expressions, assignments, loops. `help` lists the methods; the tab key\n"
        "completes names and arguments. The end of file (Ctrl-D) leaves.",
    )


def _add_inspections(add: _Adder) -> None:
    status = add(
        "status",
        "status:show_status",
        "show what the server does now",
        "Show what the server tells of itself: since when it runs, the call under way,\n"
        "calls, errors and time of each method, connections, limits. It answers while a\n"
        "method runs in a thread.",
    )
    status.add_argument(
        "--watch",
        nargs="?",
        type=arguments.timeout,
        const=_INTERVAL,
        metavar="SECONDS",
        help=f"show it again and again, every {_INTERVAL:g} seconds or as given",
    )
    ping = add(
        "ping",
        "ping:ping",
        "measure round-trip times",
        "Send requests that the server answers at once, and print how long that took.\n"
        "Ctrl-C ends it with a summary. The status is 1 if nothing was answered.",
    )
    ping.add_argument(
        "-c", "--count", type=arguments.count, metavar="COUNT", help="stop after so many"
    )
    ping.add_argument(
        "-i",
        "--interval",
        type=arguments.timeout,
        default=1.0,
        metavar="SECONDS",
        help="time between two of them (default: 1)",
    )
    bench = add(
        "bench",
        "ping:bench",
        "measure calls per second",
        "Call again and again, each time as the answer has come, and print how many\n"
        "calls that were in a second, how long they took, and the rates of bytes.\n"
        "Without METHOD it is what `ping` sends.",
        _filled(_ARGUMENTS),
    )
    bench.add_argument(
        "-s",
        "--seconds",
        type=arguments.timeout,
        default=2.0,
        metavar="SECONDS",
        help="how long to go on (default: 2)",
    )
    bench.add_argument("method", metavar="METHOD", nargs="?", help="the method to call")
    _add_arguments(bench)
    stubs = add(
        "stubs",
        "stubs:show_stubs",
        "write a class for type checkers and editors",
        "Print a Protocol class with the methods of the target, for type checkers and\neditors.",
        "example:\n"
        "  sipyco_rpctool ::1 3253 stubs > lda_interface.py\n\n"
        "and in the program:\n"
        "  from lda_interface import Lda\n"
        '  lda = as_interface(Client("::1", 3253), Lda)',
    )
    stubs.add_argument(
        "--asyncio", action="store_true", help="for an AsyncioClient: methods are `async def`"
    )
    stubs.add_argument(
        "--name", metavar="CLASS", help="the class's name (default: made of the target's)"
    )


def _add_feeds(add: _Adder) -> None:
    watch = add(
        "watch",
        "feeds:watch",
        "follow a structure that is kept in step",
        "Print a publisher's structure, and then each of its changes as it comes. The\n"
        "server is that of a Publisher. It goes on until the connection ends, or Ctrl-C.",
        feed=True,
    )
    _add_notifier(watch)
    snapshot = add(
        "snapshot",
        "feeds:show_snapshot",
        "print a structure as of now",
        "Print a publisher's structure as of now. The server is that of a Publisher.",
        feed=True,
    )
    _add_notifier(snapshot)
    log = add(
        "log",
        "logs:log",
        "print the log messages that programs send",
        "Be a log server at SERVER and PORT, and print what programs send to it, until\n"
        "Ctrl-C: `::` and `0.0.0.0` are all addresses of this computer.",
        "To keep logs in files there is `sipyco_logserver`.",
        feed=True,
    )
    log.add_argument(
        "--broadcast",
        nargs="?",
        const="log",
        metavar="CHANNEL",
        help="connect to a Broadcaster at SERVER and PORT instead, and print the messages of "
        "one of its channels (default: log)",
    )


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "args", metavar="ARGS", nargs=argparse.REMAINDER, help="arguments, as Python expressions"
    )


def _add_notifier(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("notifier", metavar="NOTIFIER", help="the name of the structure")


def _filled(text: str) -> str:
    import textwrap

    return textwrap.fill(text, 78)
