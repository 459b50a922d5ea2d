"""The command `sipyco_rpctool`: call the methods of RPC servers from a shell."""

from __future__ import annotations

import argparse
import sys
import traceback
from typing import Final

from sipyco_pyon import pyon
from sipyco_rpc.pc_rpc import Client, SimpleSSLConfig
from sipyco_tools._cli import arguments
from sipyco_tools._cli.output import FAILED, OutputError, run_command, show, show_error
from sipyco_tools._rpctool.actions import add_actions
from sipyco_tools._rpctool.values import UsageError, json_error, remote_notes

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
        "server", metavar="SERVER", type=arguments.host, help="name or address of the server"
    )
    parser.add_argument("port", metavar="PORT", type=arguments.port, help="TCP port of the server")
    arguments.add_ssl_option(parser, "the server's certificate")
    parser.add_argument(
        "--timeout",
        type=arguments.timeout,
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
    add_actions(parser)
    return parser


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
        show_error("".join(shown).rstrip("\n"))
    show_error(f"{_PROGRAM}: {' '.join(text.split())}")


def _main() -> None:
    parser = get_argparser()
    args = parser.parse_args()
    if args.json and args.action in (None, "interactive"):
        parser.error("--json goes with list-targets, list-methods and call, not with a prompt")
    try:
        pyon.register_standard_types()  # whatever a server has
        config = SimpleSSLConfig(*args.ssl) if args.ssl else None
        with Client(args.server, args.port, None, args.timeout, config) as client:
            args.run(client, args)
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
