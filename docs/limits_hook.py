"""Write the tables of limits into their page, from the modules that have the limits.

Each distribution has one such module, `limits` or `_limits`. A limit is a constant with its unit
and its reason behind it, and what is limited and what happens beyond it below it:

    MAX_CALLS: Final = 1000  # calls; more would only wait for each other
    \"\"\"Calls of one client that are under way. Those that come after them wait.\"\"\"

Constants without a text below them are no limits. The modules are read and not loaded.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

PACKAGES: Final = Path(__file__).parents[1] / "packages"

CHANGEABLE: Final = "# --- what a program may change ---"
PROTECTING: Final = "# --- what only protects ---"
# The comments that divide a module into its two parts, and the marks of their tables in the page.
PARTS: Final = {
    CHANGEABLE: "<!-- limits that a program may change -->",
    PROTECTING: "<!-- limits that only protect -->",
}

_KI, _MI, _GI = 1024, 1024**2, 1024**3


class Limit(NamedTuple):
    """A row of a table."""

    subject: str
    value: str
    beyond: str
    reason: str


def number_of(node: ast.expr, known: dict[str, float]) -> Any:
    """Return the value of a number as it is written, of products and powers of constants."""
    match node:
        case ast.Constant(int() | float() as value):
            return value
        case ast.Name(name):
            return known[name]
        case ast.BinOp(left, ast.Mult(), right):
            return number_of(left, known) * number_of(right, known)
        case ast.BinOp(left, ast.Pow(), right):
            return number_of(left, known) ** number_of(right, known)
    raise ValueError(f"line {node.lineno}: `{ast.unparse(node)}` is not the number of a limit")


def shown(value: float, unit: str) -> str:
    """Return a value as people say it: 64 MiB, 5 ms, 10,000 lines."""
    if unit == "seconds":
        return f"{value * 1000:g} ms" if value < 1 else f"{value:,.10g} s"
    for size, prefix in ((_GI, "Gi"), (_MI, "Mi"), (_KI, "Ki")):
        if unit in ("bytes", "characters") and value >= size and value % size == 0:
            return f"{value // size} {prefix}{'B' if unit == 'bytes' else ' characters'}"
    return f"{value:,} {unit}"


def limits_of(source: str) -> Iterator[tuple[str, Limit]]:
    """Give the limits of a module, each with the comment that its part begins with."""
    lines = source.splitlines()
    body = ast.parse(source).body
    known: dict[str, float] = {}
    for node, after in zip(body, [*body[1:], None], strict=True):
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)):
            continue
        assert node.value is not None
        name = node.target.id
        known[name] = number_of(node.value, known)
        match after:
            case ast.Expr(ast.Constant(str() as text)):
                pass
            case _:
                continue
        comment = re.search(r"  # (\w[^;]*); (.+)$", lines[node.lineno - 1])
        if comment is None:
            raise ValueError(f"{name} needs its unit and its reason behind it: `# unit; reason`")
        unit, reason = comment.groups()
        subject, _, beyond = " ".join(text.split()).partition(". ")
        if not beyond:
            raise ValueError(f"the text below {name} does not say what happens beyond the limit")
        part = next((line for line in reversed(lines[: node.lineno]) if line in PARTS), None)
        if part is None:
            raise ValueError(f"{name} is in no part of the module: {', '.join(PARTS)}")
        yield part, Limit(subject, shown(known[name], unit), beyond.removesuffix("."), reason)


def table(limits: list[Limit]) -> str:
    """Return a table of limits in Markdown."""
    rows = ["| limit | value | what happens beyond it | why |", "| --- | --- | --- | --- |"]
    return "\n".join([*rows, *(f"| {' | '.join(limit)} |" for limit in limits)])


def title_of(source: str) -> str:
    """Return what the limits of a module are of, from its docstring: "Limits of …; …"."""
    text = (ast.get_docstring(ast.parse(source)) or "").partition(";")[0]
    return text.removeprefix("Limits of ").capitalize()


def on_page_markdown(markdown: str, **kwargs: Any) -> str:
    """Replace the marks; mkdocs calls this for each page."""
    if not any(mark in markdown for mark in PARTS.values()):
        return markdown
    changeable: list[Limit] = []
    sections: list[str] = []
    for distribution in ("pyon", "rpc", "sync", "tools"):
        [path] = PACKAGES.glob(f"sipyco-{distribution}/src/*/*limits.py")
        source = path.read_text()
        found = list(limits_of(source))
        changeable += [limit for part, limit in found if part == CHANGEABLE]
        protecting = [limit for part, limit in found if part == PROTECTING]
        if protecting:
            sections.append(f"### {title_of(source)}\n\n{table(protecting)}")
    markdown = markdown.replace(PARTS[CHANGEABLE], table(changeable))
    return markdown.replace(PARTS[PROTECTING], "\n\n".join(sections))
