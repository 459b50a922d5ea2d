"""The command `sipyco_rpctool`: call the methods of RPC servers from a shell."""

from __future__ import annotations

import argparse
import importlib
import sys
import traceback
from typing import Final

from sipyco_pyon import pyon
from sipyco_rpc.limits import MAX_LINE
from sipyco_rpc.pc_rpc import Client, LineTooLong, SimpleSSLConfig
from sipyco_rpc.support.lost import ADVICE
from sipyco_tools._cli import arguments
from sipyco_tools._cli.output import FAILED, OutputError, run_command, show, show_error
from sipyco_tools._rpctool.actions import add_actions
from sipyco_tools._rpctool.command_line import CommandLineParser, add_options
from sipyco_tools._rpctool.progress import waited_for
from sipyco_tools._rpctool.values import UsageError, advice, json_error, remote_notes

__all__ = ["get_argparser", "main"]

_PROGRAM: Final = "sipyco_rpctool"

# What is done without a server, and the modules of the room that do it.
_WITHOUT_SERVER: Final = {"completion": "completion", "new": "new_driver"}

_EPILOG: Final = """\
Options may stand before the action or after it; `call` takes everything after METHOD as arguments.

examples:
  sipyco_rpctool ::1 3253 list-targets
  sipyco_rpctool [::1]:3253 list-methods -t lda
  sipyco_rpctool ::1 3253 call -t lda set_attenuation 5
  sipyco_rpctool ::1 3253 call load_sample_values 'np.array([1.0, 2.0], dtype=float)'
  sipyco_rpctool ::1 3253 call configure 'label="left arm"' enabled=True
  sipyco_rpctool lab.example:3253 status --watch
  sipyco_rpctool ::1 3250 watch datasets
  sipyco_rpctool ::1 3253 ACTION --help        # the options of an action

a new driver: `sipyco_rpctool new NAME DIRECTORY` makes a package that works, to begin with.

completion by the tab key: `sipyco_rpctool completion bash`, `zsh` or `fish` prints a script for
that shell, and how to use it.

exit status: 0; 1 for an exception of the method, an error of the connection, or output that cannot
be written; 2 for a wrong command line; 130 after Ctrl-C.
"""


def get_argparser() -> CommandLineParser:
    """Return the parser of the command line; the documentation is made from it, too."""
    parser = CommandLineParser(
        prog=_PROGRAM,
        usage="%(prog)s [OPTIONS] SERVER PORT [ACTION] ...",
        description="Ask and use the servers of a laboratory: call methods of an RPC server, one "
        "of them (call) or several at a prompt (interactive, the default); look at what it does; "
        "follow structures and logs.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "server",
        metavar="SERVER",
        type=arguments.host,
        help="name or address of the server; SERVER:PORT and [::1]:PORT name both",
    )
    parser.add_argument("port", metavar="PORT", type=arguments.port, help="TCP port of the server")
    add_options(parser)
    add_actions(parser)
    return parser


def _report(args: argparse.Namespace, exc: Exception) -> None:
    """Say what went wrong, on one line."""
    if args.json:
        show(json_error(exc))
    text = f"{type(exc).__name__}: {exc}".replace(ADVICE, "")
    if isinstance(exc, LineTooLong):
        text = text.replace("`max_line`", "--max-line")
    remote = getattr(exc, "parent_traceback", None)
    if remote is not None:
        text = f"remote exception: {text}"
        shown = [*remote, *(f"{note}\n" for note in remote_notes(exc))]
    else:
        shown = traceback.format_exception(exc)
        if isinstance(exc, (OSError, EOFError)) and getattr(exc, "filename", None) is None:
            text = f"connection error: {args.server} port {args.port}: {text}"
    if args.verbose:
        show_error("".join(shown).rstrip("\n"))
    show_error(f"{_PROGRAM}: {' '.join(text.split())}{advice(exc)}")


def _run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    module, _, function = args.run.partition(":")
    # What an action needs is loaded when it is chosen: `--help` is to be quick.
    action = getattr(importlib.import_module(f"sipyco_tools._rpctool.{module}"), function)
    args.max_line = args.max_line or MAX_LINE
    config = SimpleSSLConfig(*args.ssl) if args.ssl else None
    if args.feed:
        action(args, config)
        return
    with waited_for(f"{args.server} port {args.port}"):
        client = Client(args.server, args.port, None, args.timeout, config, max_line=args.max_line)
    with client:
        action(client, args)


def _main() -> None:
    first, words = (sys.argv[1:2] or [""])[0], sys.argv[2:]
    if first in _WITHOUT_SERVER:
        module = importlib.import_module(f"sipyco_tools._rpctool.{_WITHOUT_SERVER[first]}")
        if module.is_asked_for(words):
            module.run(get_argparser, words)
            return
    parser = get_argparser()
    args = parser.parse_args()
    if args.json and args.action in (None, "interactive"):
        parser.error("--json goes with the other actions, and not with a prompt")
    try:
        pyon.register_standard_types()  # whatever a server has
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
