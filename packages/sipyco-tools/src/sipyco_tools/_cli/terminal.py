"""Tables and values, with lines and colours where a terminal and the library `rich` have them.

It is an extra (`pip install 'sipyco-tools[rich]'`): without it, and where nobody looks, text is
plain.
"""

from __future__ import annotations

import io
import re
import shutil
import sys
from collections.abc import Sequence
from typing import Any, Final

from sipyco_tools._cli.colour import is_coloured, is_terminal, paint
from sipyco_tools._cli.output import show

_NUMBER: Final = re.compile(r"-?|-?\d[\d.e+-]*( ?\w{1,4})?")  # perhaps with a unit


def _console() -> Any:
    """Give the console of `rich` whose output is kept, or None for plain text."""
    if not is_coloured(sys.stdout):
        return None
    try:
        from rich.console import Console
    except ImportError:
        return None
    # It is written by `show`, which knows what may go wrong.
    width = shutil.get_terminal_size().columns
    return Console(file=io.StringIO(), force_terminal=True, width=width, legacy_windows=False)


def show_code(text: str) -> None:
    """Write a value as Python writes it."""
    console = _console()
    if console is None:
        show(text)
        return
    from rich.highlighter import ReprHighlighter
    from rich.text import Text

    # Lines stay what they are: whoever copies them gets what was printed.
    console.print(ReprHighlighter()(Text(text)), soft_wrap=True)
    show(console.file.getvalue(), end="")


def show_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str = "") -> None:
    """Write a table; columns of numbers are aligned to the right.

    Args:
        columns: their headings.
        rows: the cells of each row, which are shown as `str` has them; None is empty.
        title: above it.
    """
    texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
    right = [
        any(cells) and all(map(_NUMBER.fullmatch, cells)) for cells in zip(*texts, strict=True)
    ]
    widths = [max(map(len, column)) for column in zip(columns, *texts, strict=True)]
    if (
        is_terminal(sys.stdout)
        and sum(widths) + 3 * len(widths) > shutil.get_terminal_size().columns
    ):
        _show_listed(columns, texts, title)
        return
    console = _console()
    if console is None:
        _show_plain(columns, texts, right, title)
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for heading, to_the_right in zip(columns, right, strict=True):
        table.add_column(heading, justify="right" if to_the_right else "left", overflow="fold")
    for row in texts:
        table.add_row(*map(Text, row))  # what a peer says is no markup
    console.print(table)
    show(console.file.getvalue(), end="")


def _show_listed(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> None:
    """Write each row as a line that the terminal breaks, where a table would be too wide."""
    if title:
        show(paint(title, "bold") if is_coloured(sys.stdout) else title)
    for row in rows:
        cells = zip(columns, row, strict=True)
        show("  " + ", ".join(f"{heading} {cell}" for heading, cell in cells if cell))


def _show_plain(
    columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool], title: str
) -> None:
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    if title:
        show(title)
    for row in (columns, *rows):
        cells = [
            cell.rjust(width) if to_the_right else cell.ljust(width)
            for cell, width, to_the_right in zip(row, widths, right, strict=True)
        ]
        show("  " + "  ".join(cells).rstrip())
