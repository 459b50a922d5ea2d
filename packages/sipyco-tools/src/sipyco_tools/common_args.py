"""Command line options that network service programs have in common."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterable
from typing import Final, TypeAlias

from sipyco_rpc.net.tls import SimpleSSLConfig
from sipyco_rpc.support.one_line import tell_in_one_line
from sipyco_rpc.support.validation import checked_port
from sipyco_tools._cli.arguments import LOG_PORT, Address, add_ssl_option, listening_port
from sipyco_tools._cli.arguments import log_server as log_server_address
from sipyco_tools._logging.records import multiline_log_config

__all__ = [
    "bind_address_from_args",
    "init_logger_from_args",
    "simple_network_args",
    "verbosity_args",
]

Ports: TypeAlias = "int | Iterable[tuple[str, str, int]]"

_LOCALHOST: Final = ("127.0.0.1", "::1")


def verbosity_args(parser: argparse.ArgumentParser, log_server: bool = False) -> None:
    """Add `-v/--verbose` and `-q/--quiet`, each of which may be repeated.

    Args:
        parser: where to add them.
        log_server: whether to add `--log-server HOST[:PORT]` and `--log-server-ssl CERT KEY PEER`
            as well, with which `init_logger_from_args` sends the log to a log server.
    """
    group = parser.add_argument_group("logging")
    group.add_argument(
        "-v",
        "--verbose",
        default=0,
        action="count",
        help="log more: -v for INFO, -vv for DEBUG; WARNING is the default",
    )
    group.add_argument(
        "-q",
        "--quiet",
        default=0,
        action="count",
        help="log less: -q for ERROR, -qq for CRITICAL",
    )
    if log_server:
        group.add_argument(
            "--log-server",
            type=log_server_address,
            metavar="HOST[:PORT]",
            help="send the log to this log server, too, from INFO on, or from DEBUG on with -vv "
            f"(default of PORT: {LOG_PORT})",
        )
        add_ssl_option(
            group, "the log server's certificate", "--log-server-ssl", " for --log-server"
        )


def init_logger_from_args(args: argparse.Namespace) -> None:
    """Set up logging to standard error at the level that `verbosity_args` gives.

    With its `--log-server`, what is logged is sent there, too, from INFO on at least; see
    `logging_tools.forward_logs`. Calling it twice changes the level, and does not double the
    output.

    Raises:
        OSError: a certificate of `--log-server-ssl` cannot be used.
        SystemExit: that was given without `--log-server`.
    """
    tell_in_one_line()
    level = logging.WARNING + args.quiet * 10 - args.verbose * 10
    multiline_log_config(level)
    server, paths = getattr(args, "log_server", None), getattr(args, "log_server_ssl", None)
    if isinstance(server, Address):  # and not what an option of the program's own has given
        from sipyco_tools._logging.program import forward_logs, set_levels  # it loads asyncio

        forward_logs(
            *server,
            level=min(level, logging.INFO),
            ssl_config=SimpleSSLConfig(*paths) if paths else None,
        )
        set_levels(level)
    elif server is None and paths:
        raise SystemExit("--log-server-ssl is for --log-server, which is missing")


def simple_network_args(
    parser: argparse.ArgumentParser,
    default_port: Ports,
    ssl: bool = False,
    port_file: bool = False,
) -> None:
    """Add the options that say where to listen.

    They are `--bind` (may be repeated), `--no-localhost-bind`, and `-p/--port`, or `--port-NAME`
    for each of several ports.

    Args:
        parser: where to add them.
        default_port: the default of `--port`, or a list of tuples `(name, purpose, default)`.
        ssl: whether to add `--ssl CERT KEY PEER` as well.
        port_file: whether to add `--port-file PATH` as well, for `simple_server_loop(…,
            port_file=args.port_file)`; for one port only.

    Raises:
        ValueError: a default cannot be a port; or there are several, and `port_file` is set.
    """
    tell_in_one_line()
    group = parser.add_argument_group("network server")
    group.add_argument(
        "--bind",
        default=[],
        action="append",
        metavar="ADDRESS",
        help="also listen on this address (may be repeated); `*` listens on all",
    )
    group.add_argument(
        "--no-localhost-bind",
        default=False,
        action="store_true",
        help="do not listen on localhost (127.0.0.1 and ::1)",
    )
    if isinstance(default_port, int):
        group.add_argument(
            "-p",
            "--port",
            default=checked_port(default_port, listening=True),
            type=listening_port,
            help="TCP port to listen on; 0 for any that is free (default: %(default)d)",
        )
    elif port_file:
        raise ValueError("`port_file` is for programs with one port")
    else:
        for name, purpose, default in default_port:
            group.add_argument(
                f"--port-{name}",
                default=checked_port(default, listening=True),
                type=listening_port,
                metavar="PORT",
                help=f"TCP port for {purpose} connections (default: %(default)d)",
            )
    if port_file:
        group.add_argument(
            "--port-file",
            metavar="PATH",
            help="write the number of the port to this file when it can be used, and remove the "
            "file in the end",
        )
    if ssl:
        add_ssl_option(group, "the certificates of those who may connect")


def bind_address_from_args(args: argparse.Namespace) -> list[str] | None:
    """Return the addresses to listen on, for the `host` of a server.

    Returns:
        None for all addresses (`--bind '*'`); otherwise localhost's, unless refused, then each
        `--bind`. A host without IPv6 leaves `::1` out, with a warning, when it listens.
    """
    if "*" in args.bind:
        return None
    localhost = () if args.no_localhost_bind else _LOCALHOST
    return [*localhost, *args.bind]
