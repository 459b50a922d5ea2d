"""Wherever Ctrl-C strikes, what is held is given back: turns, locks, marks, descriptors.

CPython 3.12 to 3.14 leave some of the jumps at the end of a loop out of the exception table, so
that the `finally` around the loop does not run. Such a loop belongs into a function of its own.
"""

from __future__ import annotations

import ast
import dis
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

import pytest

PACKAGES = Path(__file__).parents[2] / "packages"
MODULES = sorted(PACKAGES.glob("*/src/**/*.py"))

# What gives back a turn, a lock, a place in a count, or a mark that something is under way.
GIVES_BACK = (ast.Assign, ast.AugAssign, ast.Call)

# After these CPython looks whether a signal has arrived, and nowhere else.
LOOKS_FOR_SIGNALS = {"CALL", "CALL_FUNCTION_EX", "CALL_KW", "JUMP_BACKWARD", "RESUME"}


def held(tree: ast.AST) -> Iterator[tuple[int, int]]:
    """Give the first and the last line of each block behind which something is given back."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.With, ast.AsyncWith)):
            body = node.body
        elif isinstance(node, ast.Try) and any(
            isinstance(part, GIVES_BACK) for end in node.finalbody for part in ast.walk(end)
        ):
            body = [*node.body, *node.orelse]
            body += [statement for handler in node.handlers for statement in handler.body]
        else:
            continue
        yield body[0].lineno, max(statement.end_lineno or 0 for statement in body)


def codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


def unguarded(source: str, name: str) -> Iterator[str]:
    """Find where an interrupt would leave what is held as it is."""
    blocks = list(held(ast.parse(source)))
    for code in codes(compile(source, name, "exec")):
        entries = dis.Bytecode(code).exception_entries  # type: ignore[attr-defined]
        for instruction in dis.get_instructions(code):
            positions = instruction.positions
            if instruction.opname not in LOOKS_FOR_SIGNALS or positions is None:
                continue
            line = positions.lineno or 0
            # A function or comprehension within a block is guarded where it is called.
            around = any(code.co_firstlineno < first <= line <= last for first, last in blocks)
            if around and not any(
                entry.start <= instruction.offset < entry.end for entry in entries
            ):
                yield f"{name}, line {line}, in {code.co_name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}.{path.stem}")
def test_no_jump_is_outside_of_the_block_that_gives_something_back(path: Path) -> None:
    assert list(unguarded(path.read_text(), path.name)) == []
