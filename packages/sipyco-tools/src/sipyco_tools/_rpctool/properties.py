"""The actions of `sipyco_rpctool` that are about properties: `get` and `set`."""

from __future__ import annotations

import argparse

from sipyco_rpc.pc_rpc import Client
from sipyco_tools._cli.output import show
from sipyco_tools._rpctool.methods import select
from sipyco_tools._rpctool.progress import progress_shown
from sipyco_tools._rpctool.values import UsageError, json_text, parse_arguments, show_value


def get(client: Client, args: argparse.Namespace) -> None:
    """Print the values of properties; of several, each with its name."""
    select(client, args)
    _check(client, args.names)
    for name in args.names:
        with progress_shown():
            value = getattr(client, name)
        if args.json:
            show(json_text({"result": value} if len(args.names) == 1 else {name: value}))
        elif len(args.names) == 1:
            show_value(value)
        else:
            show(f"{name} = {value!r}")


def set_(client: Client, args: argparse.Namespace) -> None:
    """Give properties their values, in the order of the command line."""
    positional, named = parse_arguments(args.assignments)
    if positional or not named:
        raise UsageError("expected NAME=EXPRESSION, such as: voltage=12")
    select(client, args)
    _check(client, list(named))
    for name, value in named.items():
        with progress_shown():
            setattr(client, name, value)


def _check(client: Client, names: list[str]) -> None:
    """Refuse what is no property, before anything is read or set.

    Raises:
        AttributeError: there is none of a name; the text lists those that there are.
    """
    found = client.get_rpc_method_list().get("properties") or {}
    for name in names:
        if name not in found:
            offered = ", ".join(sorted(found)) or "none; see `properties` of its `Server`"
            raise AttributeError(
                f"`{client.get_selected_target()}` has no property `{name}`; it offers: {offered}"
            )
