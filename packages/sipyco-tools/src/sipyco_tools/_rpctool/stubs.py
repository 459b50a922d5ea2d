"""The action `stubs` of `sipyco_rpctool`: a class for type checkers, from a server's listing.

It becomes part of a program: nothing that a server says may be code in it. So it is made of syntax
trees, with names that are names, annotations that are known, and texts that are quoted.
"""

from __future__ import annotations

import argparse
import ast
import keyword
import math
import re
import textwrap
from collections.abc import Mapping
from typing import Any, Final

from sipyco_rpc.pc_rpc import Client
from sipyco_tools._cli.output import show
from sipyco_tools._rpctool.annotations import Annotations, imports_of
from sipyco_tools._rpctool.methods import select
from sipyco_tools._rpctool.values import UsageError

_TAKEN: Final = {"Any", "Literal", "Optional", "Property", "Protocol", "Union"}


def show_stubs(client: Client, args: argparse.Namespace) -> None:
    """Print the class of a target."""
    select(client, args)
    target = str(client.get_selected_target())
    name = class_name(target) if args.name is None else args.name
    if not is_name(name):
        raise UsageError(f"a class needs a name that Python takes, got {name!r}")
    where = f"`{target}` of {args.server} port {args.port}"
    show(source_of(client.get_rpc_method_list(), name, where, asynchronous=args.asyncio), end="")


def class_name(target: str) -> str:
    """Make the name of a class of that of a target: `lda_2` becomes `Lda2`."""
    words = [word for word in re.split(r"[\W_]+", target) if word]
    name = "".join(word[0].upper() + word[1:] for word in words)
    return name if is_name(name) and name not in _TAKEN else f"Target{name}"


def is_name(text: object) -> bool:
    """Tell whether something can be a name in a program."""
    return isinstance(text, str) and text.isidentifier() and not keyword.iskeyword(text)


def source_of(listing: Mapping[str, Any], name: str, where: str, *, asynchronous: bool) -> str:
    """Write the class.

    Args:
        listing: of `get_rpc_method_list`; it is a peer's word.
        name: of the class.
        where: the target is, for the docstring of the module.
        asynchronous: it is for an `AsyncioClient`.
    """
    annotations = Annotations(asynchronous=asynchronous)
    members: list[ast.stmt] = []
    left_out = []
    for method, found in sorted(listing["methods"].items()):
        if is_name(method):
            members.append(_method(method, found, annotations, asynchronous))
        else:
            left_out.append(method)
    properties = listing.get("properties")
    offered = properties if isinstance(properties, dict) else {}
    for attribute, found in sorted(offered.items()):
        if is_name(attribute) and isinstance(found, dict):
            members += _property(attribute, found, asynchronous)
        else:
            left_out.append(attribute)
    body = [*_docstring(listing.get("docstring"), 1), *members]
    protocol: list[ast.expr] = [ast.Name("Protocol")]
    classes = [ast.ClassDef(name, protocol, [], body or [_ellipsis()], [])]
    if offered and asynchronous:
        classes.insert(0, ast.parse(_PROPERTY).body[0])  # type: ignore[arg-type]
    head = f"{where}, as it was found by `sipyco_rpctool`."
    if left_out:
        head += f"\n\nNot here, for want of a name in Python: {', '.join(map(repr, left_out))}."
    module = ast.Module([*_docstring(head, 0), *imports_of(classes), *classes], [])
    return ast.unparse(ast.fix_missing_locations(module)) + "\n"


_PROPERTY: Final = '''
class Property(Protocol):
    """A property: `await` gives its value."""

    def __await__(self) -> Generator[Any, Any, Any]: ...

    async def set(self, value: Any, /) -> None: ...
'''


def _method(
    name: str, found: Any, annotations: Annotations, asynchronous: bool
) -> ast.FunctionDef | ast.AsyncFunctionDef:
    docstring = None
    try:
        argspec, docstring = found
        arguments = _arguments(argspec, annotations)
        result = annotations.of_result((argspec.get("annotations") or {}).get("return"))
    except (AttributeError, KeyError, TypeError, ValueError):
        anything: ast.expr = ast.Name("Any")
        arguments = ast.arguments(
            [],
            [ast.arg("self")],
            ast.arg("args", anything),
            [],
            [],
            ast.arg("kwargs", anything),
            [],
        )
        result = anything
    body = _docstring(docstring, 2) or [_ellipsis()]
    kind: Any = ast.AsyncFunctionDef if asynchronous else ast.FunctionDef
    function: ast.FunctionDef = kind(name, arguments, body, [], result)
    return function


def _arguments(argspec: Mapping[str, Any], annotations: Annotations) -> ast.arguments:
    """Give the parameters of a method.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: they cannot be those of one.
    """
    texts = argspec.get("annotations") or {}
    names = list(argspec["args"])
    defaults = list(argspec.get("defaults") or ())
    if names and names[0] in ("self", "cls") and len(defaults) < len(names):
        del names[0]
    keywords = list(argspec.get("kwonlyargs") or ())
    of_keywords = argspec.get("kwonlydefaults") or {}
    varargs, varkw = argspec.get("varargs"), argspec.get("varkw")
    all_names = [*names, *keywords, *(name for name in (varargs, varkw) if name is not None)]
    if len({"self", *all_names}) <= len(all_names) or len(defaults) > len(names):
        raise ValueError("a name is there twice, or a default is none of a parameter")
    if not all(map(is_name, all_names)):
        raise ValueError("a parameter has no name that Python takes")

    def argument(name: str) -> ast.arg:
        return ast.arg(name, annotations.of_parameter(texts.get(name)))

    with_default = names[len(names) - len(defaults) :]
    return ast.arguments(
        posonlyargs=[],
        args=[ast.arg("self"), *map(argument, names)],
        vararg=None if varargs is None else argument(varargs),
        kwonlyargs=[argument(name) for name in keywords],
        kw_defaults=[
            _default(of_keywords[name], texts.get(name)) if name in of_keywords else None
            for name in keywords
        ],
        kwarg=None if varkw is None else argument(varkw),
        defaults=[
            _default(value, texts.get(name))
            for name, value in zip(with_default, defaults, strict=True)
        ],
    )


def _default(value: Any, annotation: object) -> ast.expr:
    """Give a default as it is, where a type checker agrees; otherwise `...`."""
    plain = value is None or type(value) in (bool, int, str)
    plain = plain or (type(value) is float and math.isfinite(value))
    agrees = annotation in (None, type(value).__name__) and plain
    return ast.Constant(value if agrees else ...)


def _property(name: str, found: Mapping[str, Any], asynchronous: bool) -> list[ast.stmt]:
    anything = ast.Name("Any")
    result: ast.expr = ast.Name("Property") if asynchronous else anything
    own = ast.arguments([], [ast.arg("self")], None, [], [], None, [])
    body = _docstring(found.get("docstring"), 2) or [_ellipsis()]
    getter = ast.FunctionDef(name, own, body, [ast.Name("property")], result)
    if asynchronous or not found.get("settable"):
        return [getter]
    value = ast.arguments(
        [], [ast.arg("self"), ast.arg("value", anything)], None, [], [], None, []
    )
    decorator = ast.Attribute(ast.Name(name), "setter")
    return [getter, ast.FunctionDef(name, value, [_ellipsis()], [decorator], ast.Constant(None))]


def _docstring(text: object, depth: int) -> list[ast.stmt]:
    """Give a docstring as a statement, indented as it is to be; nothing if it is none."""
    if not isinstance(text, str) or not text.strip():
        return []
    indent = "    " * depth
    text = textwrap.indent(text.strip(), indent)[len(indent) :]
    if "\n" in text:
        text += f"\n{indent}"
    return [ast.Expr(ast.Constant(text))]


def _ellipsis() -> ast.stmt:
    return ast.Expr(ast.Constant(...))
