"""Values typed by a user, and values shown: expressions, JSON. No connections here."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pprint import pformat
from typing import Any

from sipyco_pyon import pyon
from sipyco_tools._cli.terminal import show_code


class UsageError(Exception):
    """An argument that cannot be used; the text says how to write it."""


def evaluate(expression: str, names: dict[str, Any]) -> Any:
    """Evaluate a Python expression that the user of this program typed.

    It may name `np`, which is imported when it is used, and the names: a plain dictionary, for a
    function in an expression (`lambda`, a generator expression) finds names nowhere else.
    """
    tree = ast.parse(expression, "<argument>", "eval")
    provide_numpy(tree, names)
    return eval(compile(tree, "<argument>", "eval"), names)  # noqa: S307


def provide_numpy(tree: ast.AST, names: dict[str, Any]) -> None:
    """Add `np` to the names, where code uses it and there is nothing else of that name.

    Raises:
        UsageError: NumPy is not installed.
    """
    if "np" not in names and any(
        isinstance(node, ast.Name) and node.id == "np" for node in ast.walk(tree)
    ):
        try:
            import numpy
        except ImportError:
            raise UsageError(
                "`np` needs NumPy; install it with: pip install 'sipyco-tools[numpy]'"
            ) from None
        names["np"] = numpy


def _value(text: str, expression: str) -> Any:
    try:
        return evaluate(expression, {})
    except UsageError:
        raise
    except Exception as exc:
        if text.startswith("--"):  # two signs before a number are an expression
            raise UsageError(f"option {text.partition('=')[0]} must stand before METHOD") from exc
        raise UsageError(
            f"argument {text!r} is not a Python expression ({type(exc).__name__}: {exc}); "
            f"""a string needs quotes that the shell leaves alone, such as: '"{expression}"'"""
        ) from exc


def parse_arguments(texts: list[str]) -> tuple[list[Any], dict[str, Any]]:
    """Evaluate the arguments of a call: expressions, or `name=expression` for those with names.

    Raises:
        UsageError: an argument is not an expression, or given twice.
    """
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for text in texts:
        name, equals, expression = text.partition("=")
        # Words such as `class` may be names of arguments as well, if not in Python's calls.
        if not equals or not name.isidentifier() or expression.startswith("="):
            args.append(_value(text, text))
        elif name in kwargs:
            raise UsageError(f"argument {name!r} is given twice")
        else:
            kwargs[name] = _value(text, expression)
    return args, kwargs


def each(result: Any) -> Iterator[Any]:
    """Give what a method returned; or what a generator gives, item by item as it comes."""
    if isinstance(result, Iterator):  # no value that can be sent is one
        yield from result
    else:
        yield result


def remote_notes(exc: BaseException) -> list[str]:
    """Give the notes of a remote exception, without the one that repeats its traceback."""
    notes: list[str] = getattr(exc, "__notes__", [])
    return notes[:-1] if notes and notes[-1].startswith("Remote traceback:") else notes


def advice(exc: BaseException) -> str:
    """Give what else there is to say of an exception, for the end of its line.

    That is the signature of a method that was given wrong arguments, the name that may have been
    meant, or what to look at.
    """
    if isinstance(exc, ConnectionRefusedError) and not hasattr(exc, "parent_traceback"):
        return " (is the server running, and is this its port?)"
    text = "".join(f"; {note}" for note in remote_notes(exc) if note.startswith("signature: "))
    if isinstance(exc, AttributeError) and exc.obj is not None:
        text += meant(exc.name or "", dir(exc.obj)) or "; `list-methods` lists them"
    return text


def meant(name: str, names: Iterable[str]) -> str:
    """Give the end of a line about a name that is not there, if another one looks like it."""
    found = get_close_matches(name, [each for each in names if not each.startswith("_")], 1)
    return f"; did you mean `{found[0]}`?" if found else ""


def show_value(value: Any) -> None:
    """Write all of a value, as `pprint` does."""
    show_code(pformat(value))


def json_text(document: Mapping[str, Any]) -> str:
    """Write a document for other programs: PYON v2, which is JSON, on one line."""
    return pyon.encode(document, default=repr)


def json_error(exc: BaseException) -> str:
    """Write an error for other programs."""
    return json.dumps({"error": {"class": type(exc).__name__, "message": str(exc)}})
