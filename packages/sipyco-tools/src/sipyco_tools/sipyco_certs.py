"""The command `sipyco_certs`: make certificates for a server and its clients.

It needs the library `cryptography`: `pip install 'sipyco-tools[certs]'`. Servers and clients that
use the certificates do not.
"""

from __future__ import annotations

import argparse
import ipaddress
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sipyco_tools._cli.arguments import add_version_option
from sipyco_tools._cli.output import FAILED, run_command, show, show_error

if TYPE_CHECKING:
    from sipyco_tools._certs.directory import Made

__all__ = ["get_argparser", "main"]

_PROGRAM: Final = "sipyco_certs"
_DAYS: Final = 3650  # ten years: an experiment must not stop because a year is over
_MAX_DAYS: Final = 36500  # the year 10000 is out of reach of certificates, and of this
_WARNING_DAYS: Final = 30  # to plan a replacement

_LABEL: Final = r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
_HOST_NAME: Final = re.compile(rf"(\*\.)?({_LABEL}\.)*(?![0-9]+$){_LABEL}")
_CLIENT_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@+-]{0,63}")
_TAKEN: Final = {"clients", "server"}  # by other files

_EPILOG: Final = """\
What you name is made, and must not be there yet, unless --force is given. What you do not name
and is missing is made, too, in a directory without certificates: a server for this host, and one
client. What is there is kept.

examples:
  sipyco_certs certs --host 192.168.1.100 --host mylab.example --client alice --client bob
  sipyco_certs certs --client carol          # one more client of the same server
  sipyco_certs certs --remove bob            # the server trusts bob no longer
  sipyco_certs certs --check --days 60       # until when is each valid?

exit status: 0; 1 if something is there already or cannot be done, or a check found a problem;
2 for a wrong command line.
"""


def _host(text: str) -> str:
    bracketed = text.startswith("[") and text.endswith("]")
    try:
        address = ipaddress.ip_address(text[1:-1] if bracketed else text)
    except ValueError:
        if len(text) <= 253 and _HOST_NAME.fullmatch(text):  # RFC 1035 has no longer names
            return text.lower()
        raise argparse.ArgumentTypeError(
            f"expected an address or a host name, got {text!r}"
        ) from None
    if "%" in text:
        raise argparse.ArgumentTypeError(f"expected an address without a zone, got {text!r}")
    return str(address)


def _client(text: str) -> str:
    if not _CLIENT_NAME.fullmatch(text) or text.endswith((".pem", ".key")):
        raise argparse.ArgumentTypeError(
            f"expected a name of at most 64 letters, digits and any of ._@+-, got {text!r}"
        )
    if text.lower() in _TAKEN:
        raise argparse.ArgumentTypeError(f"expected another name than {text!r}, a file has it")
    return text


def _directory(text: str) -> Path:
    if not text:  # a variable of a script that is not set: keys do not belong just anywhere
        raise argparse.ArgumentTypeError("expected a directory, got an empty name")
    return Path(text)


def _days(text: str) -> int:
    try:
        days = int(text)
    except ValueError:
        days = 0
    if not 1 <= days <= _MAX_DAYS:
        raise argparse.ArgumentTypeError(f"expected 1 to {_MAX_DAYS} days, got {text!r}")
    return days


def get_argparser() -> argparse.ArgumentParser:
    """Return the parser of the command line; the documentation is made from it, too."""
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="Make certificates and keys for TLS, for a server and its clients.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_version_option(parser)
    parser.add_argument(
        "directory",
        metavar="DIRECTORY",
        type=_directory,
        help="where they are; it is made if it is missing, for its owner only",
    )
    parser.add_argument(
        "--host",
        metavar="HOST",
        action="append",
        default=[],
        type=_host,
        help="address or name by which clients reach the server; may be given several times "
        "(default: 127.0.0.1, ::1 and localhost)",
    )
    parser.add_argument(
        "--client",
        metavar="NAME",
        action="append",
        default=[],
        type=_client,
        help="a client; may be given several times (default: one, named client)",
    )
    parser.add_argument(
        "--days",
        metavar="DAYS",
        type=_days,
        help=f"how long new certificates are valid (default: {_DAYS}); with --check, how long all "
        f"should still be valid (default: {_WARNING_DAYS})",
    )
    parser.add_argument(
        "--force", action="store_true", help="replace what you name with --host and --client"
    )
    others = parser.add_mutually_exclusive_group()
    others.add_argument(
        "--check",
        action="store_true",
        help="make nothing; list the certificates, and fail if one expires soon or a key is not "
        "as it should be",
    )
    others.add_argument(
        "--remove",
        metavar="NAME",
        help="make nothing; take a client out of clients.pem, the file of those that the server "
        "trusts",
    )
    return parser


def _check_options(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    names = [name.lower() for name in args.client]  # as file systems compare that ignore case
    if len(set(names)) < len(names):
        parser.error("each --client needs a name of its own")
    if args.check and (args.host or args.client or args.force):
        parser.error("--check goes with --days only")
    if args.remove is not None and (args.host or args.client or args.force or args.days):
        parser.error("--remove goes with no other option")
    if args.force and not (args.host or args.client):
        parser.error("--force replaces what you name: give --host or --client")


def _report(directory: Path, made: Made, force: bool) -> None:
    """Say what was made, and what goes where."""
    show(f"in {directory.resolve()}:")
    if made.server:
        show("made server.key, server.pem")
    for name in made.clients:
        show(f"made {name}.key, {name}.pem, and put {name} into clients.pem")
    if not made.server and not made.clients:
        show("made nothing: what is needed is there")
    show()
    if made.server:
        show("the server needs server.pem, server.key and clients.pem:")
        show('  local_cert="server.pem", local_key="server.key", peer_cert="clients.pem"')
        show("  --ssl server.pem server.key clients.pem")
        if force:
            show("each client needs the new server.pem")
    elif made.clients:
        show("the server needs the new clients.pem; it uses it from then on, without a restart")
    for name in made.clients:
        show(f"{name} needs {name}.pem, {name}.key and server.pem:")
        show(f'  local_cert="{name}.pem", local_key="{name}.key", peer_cert="server.pem"')
        show(f"  sipyco_rpctool --ssl {name}.pem {name}.key server.pem HOST PORT ...")
    if made.server or made.clients:
        show("each key is for its owner alone; the .pem files are no secret")
        show()


def _run(args: argparse.Namespace) -> bool:
    """Do what was asked for; return whether all is well."""
    from sipyco_tools._certs.directory import CLIENTS, check, make, remove

    directory: Path = args.directory
    if args.remove is not None:
        remove(directory, args.remove)
        show(f"removed {args.remove} from {directory / CLIENTS}")
        show("the server needs the new clients.pem, without a restart; open connections stay so")
        return True
    if not args.check:
        made = make(directory, args.host, args.client, args.days or _DAYS, args.force)
        _report(directory, made, args.force)
    wanted = args.days if args.check and args.days else _WARNING_DAYS
    findings = check(directory, wanted)
    for finding in findings:
        show(f"{'ok ' if finding.good else 'BAD'} {finding.text}")
    return not args.check or all(finding.good for finding in findings)


def _main() -> None:
    parser = get_argparser()
    args = parser.parse_args()
    _check_options(parser, args)
    try:
        if not _run(args):
            sys.exit(FAILED)
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] != "cryptography":
            raise
        show_error(
            f"{_PROGRAM}: it needs the library cryptography: pip install 'sipyco-tools[certs]'"
        )
        sys.exit(FAILED)
    except (OSError, ValueError) as exc:
        show_error(f"{_PROGRAM}: {exc}")
        sys.exit(FAILED)


def main() -> None:
    """Run the command; it ends with `SystemExit`, if anything is wrong."""
    run_command(_PROGRAM, _main)


if __name__ == "__main__":
    main()
