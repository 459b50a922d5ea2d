"""The actions of `sipyco_rpctool` that are about methods: they are listed, and called."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from sipyco_rpc.arguments import formatargspec
from sipyco_rpc.pc_rpc import AutoTarget, Client
from sipyco_tools._cli.output import flush, show
from sipyco_tools._cli.progress_bar import ProgressBar
from sipyco_tools._rpctool.progress import progress_shown
from sipyco_tools._rpctool.values import each, json_text, parse_arguments, show_value


def select(client: Client, args: argparse.Namespace) -> None:
    """Select the target that the command line names, or the only one.

    Raises:
        ValueError: there are several, and it names none.
        IncompatibleServer: there is none of that name.
    """
    try:
        client.select_rpc_target(args.target or AutoTarget)
    except ValueError as exc:
        raise ValueError(f"{exc}; choose one with -t TARGET") from None


def select_any(client: Client, args: argparse.Namespace) -> None:
    """Select a target for a question about the server as a whole."""
    client.select_rpc_target(args.target or client.get_rpc_id()[0][0])


def list_targets(client: Client, args: argparse.Namespace) -> None:
    """Print the names of the targets."""
    names, description = client.get_rpc_id()
    if args.json:
        show(json_text({"targets": names, "description": description}))
        return
    show(f"Target(s):   {', '.join(names)}")
    if description is not None:
        show(f"Description: {description}")


def list_methods(client: Client, args: argparse.Namespace) -> None:
    """Print the methods of a target."""
    select(client, args)
    listing = client.get_rpc_method_list()
    if args.json:
        show(json_text(listing))
        return
    if listing["docstring"] is not None:
        show(listing["docstring"])
        show()
    for name, (argspec, docstring) in sorted(listing["methods"].items()):
        show(signature_text(name, argspec))
        if docstring is not None:
            show(textwrap.indent(docstring, "    "))
        show()
    for name, found in sorted(listing.get("properties", {}).items()):
        show(f"{name}: property{'' if found['settable'] else ', read only'}")
        if found["docstring"] is not None:
            show(textwrap.indent(found["docstring"], "    "))
        show()


def signature_text(name: str, argspec: Mapping[str, Any]) -> str:
    """Give a method as it was defined: `set_attenuation(self, attenuation: 'float')`."""
    arguments = {"annotations": {}, **argspec}
    arguments["kwonlydefaults"] = arguments.get("kwonlydefaults") or {}
    return name + formatargspec(**arguments)


def call(client: Client, args: argparse.Namespace) -> None:
    """Call a method, and print what it returns."""
    select(client, args)
    positional, named = parse_arguments(args.args)
    with progress_shown() as bar:
        _show_values(each(getattr(client, args.method)(*positional, **named)), args, bar)


def _show_values(values: Iterator[Any], args: argparse.Namespace, bar: ProgressBar) -> None:
    for value in values:
        bar.clear()
        if args.json:
            show(json_text({"result": value}))
        elif value is not None:
            show_value(value)
        flush()  # the next item may be long in coming


def interactive(client: Client, args: argparse.Namespace) -> None:
    """Run the prompt."""
    from sipyco_tools._rpctool import shell

    select(client, args)
    shell.run(client, client.get_rpc_method_list())
