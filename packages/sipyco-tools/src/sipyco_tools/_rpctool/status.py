"""The action `status` of `sipyco_rpctool`: what a server tells of itself, as tables."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sipyco_rpc.pc_rpc import Client
from sipyco_tools._cli.colour import is_coloured, is_terminal, paint
from sipyco_tools._cli.output import flush, show
from sipyco_tools._cli.terminal import show_table
from sipyco_tools._rpctool.methods import select_any
from sipyco_tools._rpctool.values import json_text

_CLEAR: Final = "\x1b[H\x1b[2J"
_COMPONENTS: Final = ("publishers", "broadcasters", "log_servers", "log_forwarders")
_UNITS: Final = ("KiB", "MiB", "GiB", "TiB", "PiB")
_MOMENTS: Final = ("since", "started", "time")


def show_status(client: Client, args: argparse.Namespace) -> None:
    """Print the status of a server, once or again and again."""
    select_any(client, args)
    while True:
        status = client.get_rpc_status()
        if args.json:
            show(json_text(status))
        else:
            if args.watch is not None and is_terminal(sys.stdout):
                show(_CLEAR, end="")
            _show(f"{args.server} port {args.port}", status)
        flush()
        if args.watch is None:
            return
        if not args.json and not is_terminal(sys.stdout):
            show()
        time.sleep(args.watch)


def _show(where: str, status: Mapping[str, Any]) -> None:
    description = status.get("description")
    heading = paint(where, "bold") if is_coloured(sys.stdout) else where
    show(f"{heading}: {description}" if description else heading)
    process = _mapping(status, "process")
    program = [f"{process.get('program')}, process {process.get('pid')} on {process.get('host')}"]
    if process.get("user") is not None:
        program.append(f"user {process['user']}")
    show(f"program: {', '.join(program)}")
    show(f"up for: {_shown('seconds', status.get('uptime_seconds'))}, {_pairs(status, 'started')}")
    show(f"uses: {_pairs(process, 'cpu_seconds', 'memory_bytes', 'memory_peak_bytes', 'threads')}")
    show(f"traffic: {_pairs(status, 'received_bytes', 'sent_bytes', 'connections_accepted')}")
    addresses = [f"{at.get('host')} port {at.get('port')}" for at in _rows(status, "addresses")]
    show(f"listens on: {', '.join(addresses)}")
    for name in ("limits", "versions"):
        show(f"{name}: {_pairs(_mapping(status, name))}")
    targets = _mapping(status, "targets")
    _show_rows(
        "calls under way",
        (
            {"target": name, **call}
            for name in targets
            for call in _rows(_mapping(targets, name), "under_way")
        ),
    )
    _show_rows(
        "methods",
        (
            {"target": name, "method": method, **_mapping(counts, method)}
            for name in targets
            for counts in [_mapping(_mapping(targets, name), "methods")]
            for method in counts
        ),
    )
    _show_rows("connections", _rows(status, "connections"))
    for kind in _COMPONENTS:
        _show_rows(kind.replace("_", " "), _rows(status, kind))


def _mapping(status: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = status.get(name)  # it is a peer's word
    return found if isinstance(found, dict) else {}


def _rows(status: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found = status.get(name)
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def _pairs(values: Mapping[str, Any], *names: str) -> str:
    return ", ".join(
        f"{_heading(name)} {_shown(name, values.get(name))}" for name in names or values
    )


def _show_rows(title: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Show a table of plain values; lists within them are tables of their own."""
    kept = list(rows)
    if not kept:
        return
    columns = list(dict.fromkeys(name for row in kept for name in row))
    below = [
        name
        for name in columns
        if any(isinstance(row.get(name), list) and _rows(row, name) for row in kept)
    ]
    columns = [name for name in columns if name not in below]
    show()
    show_table(
        [_heading(name) for name in columns],
        [[_shown(name, row.get(name)) for name in columns] for row in kept],
        title,
    )
    for name in below:
        first = columns[0] if columns else None
        _show_rows(
            f"{title}: {_heading(name)}",
            (
                ({} if first is None else {first: row.get(first)}) | inner
                for row in kept
                for inner in _rows(row, name)
            ),
        )


def _heading(name: str) -> str:
    return name.removesuffix("_seconds").removesuffix("_bytes").replace("_", " ")


def _shown(name: str, value: Any) -> str:
    """Write a value for a person, in the unit that its name says."""
    if value is None or value == []:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        if name in _MOMENTS:
            return _moment(value)
        if name.endswith("seconds"):
            return duration(value)
        if name.endswith("bytes"):
            return size(value)
    if isinstance(value, dict):
        return _pairs(value) or "-"
    if isinstance(value, list):
        return ", ".join(_shown(name, item) for item in value)
    return str(value)


def _moment(seconds: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    except (OverflowError, ValueError, OSError):
        return str(seconds)  # no clock shows it


def duration(seconds: float) -> str:
    """Write a time as people say it: `15 µs`, `1.5 s`, `3 h 20 min`."""
    if 0 < seconds < 60:
        for factor, unit in ((1e6, "µs"), (1e3, "ms")):
            if seconds * factor < 1000:
                return f"{seconds * factor:.3g} {unit}"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes = int(seconds) // 60
    hours, days = minutes // 60, minutes // 1440
    if days:
        return f"{days} d {hours % 24} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min {int(seconds) % 60} s"


def size(count: float) -> str:
    """Write a number of bytes as people say it: `512 B`, `1.5 MiB`."""
    if count < 1024:
        return f"{count:.3g} B" if isinstance(count, float) else f"{count} B"
    for unit in _UNITS:
        count /= 1024
        if count < 1000 or unit == _UNITS[-1]:
            break
    return f"{count:.3g} {unit}"
