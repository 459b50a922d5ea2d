"""The command `sipyco_logserver`: receive the log records of many programs, and store them."""

from __future__ import annotations

import argparse
import logging
import sys
from typing import TYPE_CHECKING, Final

from sipyco_tools._cli.arguments import LOG_PORT, add_version_option, count, listening_port
from sipyco_tools._cli.colour import is_terminal
from sipyco_tools._cli.output import FAILED, run_command, show_error
from sipyco_tools._limits import LOG_DATABASE_SIZE
from sipyco_tools._logging.text import TRACE
from sipyco_tools._logstore import options
from sipyco_tools._logstore.place import VARIABLE, default_database, make_directory
from sipyco_tools.common_args import bind_address_from_args, simple_network_args

if TYPE_CHECKING:
    from sipyco_tools._logstore.database import LogDatabase
    from sipyco_tools._logstore.files import LogFile

__all__ = ["get_argparser", "main"]

_PROGRAM: Final = "sipyco_logserver"
_KEPT: Final = 30  # files: a month, if there is one for each day
_SIZE: Final = LOG_DATABASE_SIZE // 1024**3

_EPILOG: Final = """\
Records are stored in a database, which sipyco_logs searches; in a file, with --file; and are shown
on a terminal. A SIZE is 500M or 2G, an AGE 30d, 12h or 8w. What comes is stored at all levels: the
programs that send it decide what they send. Standard output has records and nothing else; what
this program says of itself is on standard error.

examples:
  sipyco_logserver                                  # for programs on this computer
  sipyco_logserver --bind '*' --ssl server.pem server.key clients.pem
  sipyco_logserver --database /data/logs.db --max-size 20G --max-age 52w
  sipyco_logserver --no-database --file /var/log/lab.log --rotate day --keep 90

then, in a program:  forward_logs("this-computer"), and in a shell:  sipyco_logs -f

If the disk is full, or cannot be written otherwise, that is said once; the latest records wait,
and those that have to go are counted and told of when it works again. Ctrl-C and SIGTERM stop it,
with all that has come written.

exit status: 0; 1 if it cannot start, or records were lost; 2 for a wrong command line.
"""


def get_argparser() -> argparse.ArgumentParser:
    """Return the parser of the command line; the documentation is made from it, too."""
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="Receive the log records of any number of programs, and store them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_version_option(parser)
    database = parser.add_argument_group("database")
    where = database.add_mutually_exclusive_group()
    where.add_argument(
        "--database",
        metavar="FILE",
        type=options.path,
        help=f"where records are stored (default: ${VARIABLE}, or one of this user)",
    )
    where.add_argument("--no-database", action="store_true", help="do not store them so")
    database.add_argument(
        "--max-size",
        metavar="SIZE",
        type=options.database_size,
        default=LOG_DATABASE_SIZE,
        help=f"delete the oldest when the database becomes larger (default: {_SIZE}G)",
    )
    database.add_argument(
        "--max-age",
        metavar="AGE",
        type=options.age,
        help="delete what is older (default: nothing, for its age)",
    )
    file = parser.add_argument_group("log file")
    file.add_argument("--file", metavar="FILE", type=options.path, help="write them as text, too")
    file.add_argument(
        "--rotate",
        metavar="WHEN",
        type=options.rotation,
        default=None,
        help="begin a new file each day (`day`, the default), or at a SIZE",
    )
    file.add_argument(
        "--keep",
        metavar="N",
        type=count,
        default=_KEPT,
        help="how many old files to keep (default: %(default)d)",
    )
    terminal = parser.add_argument_group("output")
    printing = terminal.add_mutually_exclusive_group()
    printing.add_argument(
        "--print",
        metavar="LEVEL",
        nargs="?",
        const=TRACE,
        type=options.level,
        help="print records from this level on; default: all, on a terminal or where nothing is "
        "stored",
    )
    printing.add_argument("--no-print", action="store_true", help="print no records")
    terminal.add_argument(
        "-v", "--verbose", action="count", default=0, help="say more of what this program does"
    )
    terminal.add_argument(
        "-q", "--quiet", action="count", default=0, help="say only what goes wrong"
    )
    simple_network_args(parser, LOG_PORT, ssl=True, port_file=True)
    parser.add_argument(
        "--max-connections",
        metavar="N",
        type=count,
        help="most programs at a time (default: 512, or half of what the system allows)",
    )
    parser.add_argument(
        "--status-port",
        metavar="PORT",
        type=listening_port,
        help="answer `sipyco_rpctool ::1 PORT status` there, on this computer only",
    )
    return parser


def _stores(args: argparse.Namespace) -> list[LogDatabase | LogFile]:
    stores: list[LogDatabase | LogFile] = []
    if not args.no_database:
        from sipyco_tools._logstore.database import LogDatabase

        path = args.database or default_database()
        if args.database is None:
            make_directory(path)
        stores.append(LogDatabase(path, args.max_size, args.max_age))
    if args.file is not None:
        from sipyco_tools._logstore.files import LogFile

        stores.append(LogFile(args.file, args.rotate, args.keep))
    return stores


def _printed(args: argparse.Namespace, stored: bool) -> int | None:
    """Return the least level of records that are printed, or None."""
    if args.no_print:
        return None
    level: int | None = args.print
    if level is None and (is_terminal(sys.stdout) or not stored):
        return 0
    return level


def _main() -> None:
    parser = get_argparser()
    args = parser.parse_args()
    from sipyco_rpc.net.tls import SimpleSSLConfig
    from sipyco_tools._logstore.serving import CannotStart, Plan, open_stores, run

    try:
        stores = _stores(args)
        open_stores(stores)
        lost = run(
            Plan(
                bind=bind_address_from_args(args),
                port=args.port,
                ssl_config=SimpleSSLConfig(*args.ssl) if args.ssl else None,
                max_connections=args.max_connections,
                stores=stores,
                printed=_printed(args, bool(stores)),
                own_level=logging.INFO + 10 * args.quiet - 10 * args.verbose,
                status_port=args.status_port,
                port_file=args.port_file,
            )
        )
    except (CannotStart, OSError) as exc:
        show_error(f"{_PROGRAM}: {exc}")
        sys.exit(FAILED)
    if lost:
        sys.exit(FAILED)


def main() -> None:
    """Run the command; it ends with `SystemExit`, unless all went well."""
    run_command(_PROGRAM, _main)


if __name__ == "__main__":
    main()
