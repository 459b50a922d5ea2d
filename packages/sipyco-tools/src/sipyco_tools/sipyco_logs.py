"""The command `sipyco_logs`: find log records that `sipyco_logserver` has stored."""

from __future__ import annotations

import argparse
import sys
from typing import Final

from sipyco_tools._cli.arguments import add_version_option
from sipyco_tools._cli.output import FAILED, run_command, show, show_error
from sipyco_tools._logstore import options
from sipyco_tools._logstore.place import VARIABLE, default_database
from sipyco_tools._logstore.query import Filter

__all__ = ["get_argparser", "main"]

_PROGRAM: Final = "sipyco_logs"
_LATEST: Final = 100  # records; two screens, and not the whole of last year
_BY_DEFAULT: Final = -1  # no limit was given

_EPILOG: Final = """\
TEXT is looked for in the message, the source and the logger's name: whole words or their
beginnings, in capitals or not. All of them must be there; one in quotes with spaces in it is a
phrase. Nothing in a TEXT has a special meaning; write -- before one that begins with a hyphen.

a TIME is 2026-11-30 (its midnight), 2026-11-30T14:30, 14:30 (the latest one that has been),
2h, 30m, 1d12h (so long ago), today, yesterday (midnight), "yesterday 23:00", or
2026-11-30T13:30Z, by this computer's clock unless it says otherwise.

examples:
  sipyco_logs                                     # the latest
  sipyco_logs -f                                  # and what comes from now on
  sipyco_logs --since 22:00 --level warning       # what went wrong in the night
  sipyco_logs --source laser "lost lock"
  sipyco_logs --since yesterday --until today --json | jq .message

a time with ~ behind it is that at which the record came: its sender did not tell the other.

exit status: 0, also if there is no such record; 1 if the database cannot be read, or output not be
written; 2 for a wrong command line; 130 when Ctrl-C ends it.
"""


def get_argparser() -> argparse.ArgumentParser:
    """Return the parser of the command line; the documentation is made from it, too."""
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="Show log records that sipyco_logserver has stored, the latest last.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_version_option(parser)
    parser.add_argument(
        "text", metavar="TEXT", nargs="*", help="words that the record has, all of them"
    )
    parser.add_argument(
        "--since", metavar="TIME", type=options.time, help="no records from before this time"
    )
    parser.add_argument(
        "--until", metavar="TIME", type=options.time, help="no records from this time on"
    )
    parser.add_argument(
        "--source",
        metavar="NAME",
        action="append",
        default=[],
        help="records of this program; * stands for any characters; may be given several times",
    )
    parser.add_argument(
        "--level",
        metavar="LEVEL",
        type=options.level,
        default=0,
        help="records from this level on: trace, debug, info, warning, error, critical, or a "
        "number",
    )
    parser.add_argument(
        "--logger",
        metavar="NAME",
        action="append",
        default=[],
        help="records of this logger and those below it; may be given several times",
    )
    parser.add_argument(
        "-n",
        "--limit",
        metavar="N",
        type=options.limit,
        default=_BY_DEFAULT,
        help=f"the latest N, or all (default: {_LATEST}; all with --since or --until)",
    )
    parser.add_argument(
        "-f", "--follow", action="store_true", help="go on, and show records as they come"
    )
    parser.add_argument(
        "--arrival",
        action="store_true",
        help="go by the times at which records came here, not by the clocks of their senders",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--json", action="store_true", help="write each record as a JSON object, one a line"
    )
    how.add_argument("--count", action="store_true", help="write only how many records there are")
    parser.add_argument(
        "--database",
        metavar="FILE",
        type=options.path,
        help=f"where they are stored (default: ${VARIABLE}, or the one of this user)",
    )
    return parser


def _check_options(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    if args.follow and (args.count or args.until is not None):
        parser.error("--follow goes with neither --count nor --until")
    if None not in (args.since, args.until) and args.since >= args.until:
        parser.error("--since must be before --until")
    if args.count and args.limit != _BY_DEFAULT:
        parser.error("--count goes without --limit: it counts all")
    if any(not text.strip() for text in args.text):
        parser.error("an empty TEXT is in every record: leave it out")


def _run(args: argparse.Namespace) -> None:
    from sipyco_tools._logstore.reading import LogReader  # SQLite takes its time to load
    from sipyco_tools._logstore.show import Viewer, note

    wanted = Filter(
        since=args.since,
        until=args.until,
        by_arrival=args.arrival,
        sources=tuple(args.source),
        level=args.level,
        loggers=tuple(args.logger),
        words=tuple(args.text),
    )
    reader = LogReader(args.database or default_database())
    try:
        if args.count:
            show(str(reader.count(wanted)))
            return
        by_default = args.limit == _BY_DEFAULT
        limit = args.limit
        if by_default:
            limit = _LATEST if args.since is None and args.until is None else None
        viewer, last_id = Viewer(wanted, args.json), reader.last_id()
        count = viewer.stored(reader, limit, last_id)
        if args.follow:
            viewer.follow(reader, last_id)
        elif count == 0:
            note("no such records")
        elif by_default and count == limit:
            note(f"(the latest {count}; -n all shows all)")
    finally:
        reader.close()


def _main() -> None:
    parser = get_argparser()
    args = parser.parse_args()
    _check_options(parser, args)
    from sipyco_tools._logstore.reading import CannotRead

    try:
        _run(args)
    except CannotRead as exc:
        hint = "" if args.database else "; has sipyco_logserver run here? See --database"
        show_error(f"{_PROGRAM}: {exc}{hint if 'No such file' in str(exc) else ''}")
        sys.exit(FAILED)


def main() -> None:
    """Run the command; it ends with `SystemExit`, unless all went well."""
    run_command(_PROGRAM, _main)


if __name__ == "__main__":
    main()
