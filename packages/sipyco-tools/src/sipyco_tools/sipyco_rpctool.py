"""The command `sipyco_rpctool`: call the methods of RPC servers from a shell."""

from __future__ import annotations

import argparse
import sys
import textwrap
import traceback
from pprint import pformat
from typing import Any, Final

from sipyco_rpc.arguments import formatargspec
from sipyco_rpc.pc_rpc import AutoTarget, Client, SimpleSSLConfig
from sipyco_rpc.support.validation import check_host, checked_port, checked_time_limit
from sipyco_tools._cli.output import FAILED, OutputError, complain, flush, run_command, show
from sipyco_tools._rpctool import shell
from sipyco_tools._rpctool.values import (
    UsageError,
    each,
    json_error,
    json_text,
    parse_arguments,
    remote_notes,
)

__all__ = ["get_argparser", "main"]

_PROGRAM: Final = "sipyco_rpctool"

_EPILOG: Final = """\
examples:
  sipyco_rpctool ::1 3253 list-targets
  sipyco_rpctool ::1 3253 list-methods -t lda
  sipyco_rpctool ::1 3253 call -t lda set_attenuation 5
  sipyco_rpctool ::1 3253 call load_sample_values 'np.array([1.0, 2.0], dtype=float)'
  sipyco_rpctool ::1 3253 call configure 'label="left arm"' enabled=True

exit status: 0; 1 for an exception of the method, an error of the connection, or output that cannot
be written; 2 for a wrong command line.
"""


def _seconds(text: str) -> float:
    try:
        try:
            return checked_time_limit(float(text), "a timeout")
        except ValueError:
            return checked_time_limit(text, "a timeout")  # as it was typed
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None


def _port(text: str) -> int:
    try:
        return checked_port(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None


def _host(text: str) -> str:
    try:
        check_host(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None
    return text


def get_argparser() -> argparse.ArgumentParser:
    """Return the parser of the command line; the documentation is made from it, too."""
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="Call the methods of an RPC server: one of them (call), or several at a "
        "prompt (interactive, the default).",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "server", metavar="SERVER", type=_host, help="name or address of the server"
    )
    parser.add_argument("port", metavar="PORT", type=_port, help="TCP port of the server")
    parser.add_argument(
        "--ssl",
        nargs=3,
        metavar=("CERT", "KEY", "PEER"),
        help="use TLS: PEM files with our certificate, its key, and the server's certificate",
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        metavar="SECONDS",
        help="give up when the server does not answer for so long (default: wait)",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="write results and errors as JSON (PYON v2), one line for each, for other programs",
    )
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="show the remote traceback of an exception"
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser(
        "list-targets", help="list the targets", description="Print the server's targets."
    )
    listing = actions.add_parser(
        "list-methods",
        help="list the methods of a target",
        description="Print the methods of a target with their signatures and docstrings.",
    )
    _add_target(listing)
    call = actions.add_parser(
        "call",
        help="call a method",
        description="Call a method and print what it returns, unless that is None; what a "
        "generator gives is printed item by item, as it comes.",
        epilog="Everything after METHOD is an argument of it, evaluated as a Python expression "
        "in which `np` is NumPy. NAME=EXPRESSION gives a keyword argument. Mind the quotes: "
        "the shell takes one pair away, so a string is '\"text\"'.",
    )
    _add_target(call)
    call.add_argument("method", metavar="METHOD", help="the method to call")
    call.add_argument(
        "args", metavar="ARGS", nargs=argparse.REMAINDER, help="arguments, as Python expressions"
    )
    interactive = actions.add_parser(
        "interactive",
        help="evaluate expressions at a prompt (default)",
        description="Evaluate Python expressions in which the methods of the target, and `np`, "
        "are names. The end of file (Ctrl-D) leaves.",
    )
    _add_target(interactive)
    return parser


def _add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-t",
        "--target",
        metavar="TARGET",
        help="the target; needed if the server has several",
    )


def _signature(name: str, argspec: dict[str, Any]) -> str:
    arguments = dict(argspec)
    if arguments.get("kwonlydefaults") is None:
        arguments["kwonlydefaults"] = {}
    arguments.setdefault("annotations", {})
    return name + formatargspec(**arguments)


def _list_targets(client: Client, as_json: bool) -> None:
    names, description = client.get_rpc_id()
    if as_json:
        show(json_text({"targets": names, "description": description}))
        return
    show(f"Target(s):   {', '.join(names)}")
    if description is not None:
        show(f"Description: {description}")


def _list_methods(client: Client, as_json: bool) -> None:
    listing = client.get_rpc_method_list()
    if as_json:
        show(json_text(listing))
        return
    if listing["docstring"] is not None:
        show(listing["docstring"])
        show()
    for name, (argspec, docstring) in sorted(listing["methods"].items()):
        show(_signature(name, argspec))
        if docstring is not None:
            show(textwrap.indent(docstring, "    "))
        show()


def _call(client: Client, method: str, texts: list[str], as_json: bool) -> None:
    args, kwargs = parse_arguments(texts)
    for value in each(getattr(client, method)(*args, **kwargs)):
        if as_json:
            show(json_text({"result": value}))
        elif value is not None:
            show(pformat(value))
        flush()  # the next item may be long in coming


def _run(args: argparse.Namespace) -> None:
    config = SimpleSSLConfig(*args.ssl) if args.ssl else None
    with Client(args.server, args.port, None, args.timeout, config) as client:
        if args.action == "list-targets":
            _list_targets(client, args.json)
            return
        client.select_rpc_target(getattr(args, "target", None) or AutoTarget)
        if args.action == "list-methods":
            _list_methods(client, args.json)
        elif args.action == "call":
            _call(client, args.method, args.args, args.json)
        else:
            shell.run(client, client.get_rpc_method_list()["methods"])


def _report(args: argparse.Namespace, exc: Exception) -> None:
    """Say what went wrong, on one line."""
    if args.json:
        show(json_error(exc))
    text = f"{type(exc).__name__}: {exc}"
    remote = getattr(exc, "parent_traceback", None)
    if remote is not None:
        text = f"remote exception: {text}"
        shown = [*remote, *(f"{note}\n" for note in remote_notes(exc))]
    else:
        shown = traceback.format_exception(exc)
        if isinstance(exc, (OSError, EOFError)) and getattr(exc, "filename", None) is None:
            text = f"connection error: {args.server} port {args.port}: {text}"
    if args.verbose:
        complain("".join(shown).rstrip("\n"))
    complain(f"{_PROGRAM}: {' '.join(text.split())}")


def _main() -> None:
    parser = get_argparser()
    args = parser.parse_args()
    if args.json and args.action in (None, "interactive"):
        parser.error("--json goes with list-targets, list-methods and call, not with a prompt")
    try:
        _run(args)
    except UsageError as exc:
        if args.json:
            show(json_error(exc))
        parser.exit(2, f"{_PROGRAM}: error: {' '.join(str(exc).split())}\n")
    except OutputError:
        raise
    except Exception as exc:  # noqa: BLE001  (whatever the remote method raised)
        _report(args, exc)
        sys.exit(FAILED)


def main() -> None:
    """Run the command; it ends with `SystemExit`, unless all went well."""
    run_command(_PROGRAM, _main)


if __name__ == "__main__":
    main()
