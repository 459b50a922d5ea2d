"""The subcommands of `sipyco_rpctool`: each has its options in `add_actions`, and a function."""

from __future__ import annotations

import argparse
import textwrap
from pprint import pformat
from typing import Any

from sipyco_rpc.arguments import formatargspec
from sipyco_rpc.pc_rpc import AutoTarget, Client
from sipyco_tools._cli.output import flush, show
from sipyco_tools._rpctool import shell
from sipyco_tools._rpctool.values import each, json_text, parse_arguments


def add_actions(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands.

    Each sets `run`, a function that is called with a client, which has not selected a target, and
    the parsed arguments.
    """
    parser.set_defaults(run=_interactive, target=None)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    targets = actions.add_parser(
        "list-targets", help="list the targets", description="Print the server's targets."
    )
    targets.set_defaults(run=_list_targets)
    methods = actions.add_parser(
        "list-methods",
        help="list the methods of a target",
        description="Print the methods of a target with their signatures and docstrings.",
    )
    _add_target(methods)
    methods.set_defaults(run=_list_methods)
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
    call.set_defaults(run=_call)
    interactive = actions.add_parser(
        "interactive",
        help="evaluate expressions at a prompt (default)",
        description="Evaluate Python expressions in which the methods of the target, and `np`, "
        "are names. The end of file (Ctrl-D) leaves.",
    )
    _add_target(interactive)
    interactive.set_defaults(run=_interactive)


def _add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-t",
        "--target",
        metavar="TARGET",
        help="the target; needed if the server has several",
    )


def _select(client: Client, args: argparse.Namespace) -> None:
    client.select_rpc_target(args.target or AutoTarget)


def _list_targets(client: Client, args: argparse.Namespace) -> None:
    names, description = client.get_rpc_id()
    if args.json:
        show(json_text({"targets": names, "description": description}))
        return
    show(f"Target(s):   {', '.join(names)}")
    if description is not None:
        show(f"Description: {description}")


def _list_methods(client: Client, args: argparse.Namespace) -> None:
    _select(client, args)
    listing = client.get_rpc_method_list()
    if args.json:
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


def _signature(name: str, argspec: dict[str, Any]) -> str:
    arguments = {"annotations": {}, **argspec}
    arguments["kwonlydefaults"] = arguments.get("kwonlydefaults") or {}
    return name + formatargspec(**arguments)


def _call(client: Client, args: argparse.Namespace) -> None:
    _select(client, args)
    positional, named = parse_arguments(args.args)
    for value in each(getattr(client, args.method)(*positional, **named)):
        if args.json:
            show(json_text({"result": value}))
        elif value is not None:
            show(pformat(value))
        flush()  # the next item may be long in coming


def _interactive(client: Client, args: argparse.Namespace) -> None:
    _select(client, args)
    shell.run(client, client.get_rpc_method_list()["methods"])
