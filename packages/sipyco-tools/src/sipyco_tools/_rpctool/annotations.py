"""Annotations of a listing, which are text of a peer, as code that type checkers understand."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Final

_BUILTIN: Final = {
    *("bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list"),
    *("object", "range", "set", "slice", "str", "tuple", "type"),
}
_TYPING: Final = {"Any", "Literal", "Optional", "Union"}
_ABC: Final = {
    *("AsyncGenerator", "AsyncIterable", "AsyncIterator", "Collection", "Container"),
    *("Generator", "Iterable", "Iterator", "Mapping", "MutableMapping", "MutableSequence"),
    *("Sequence", "Set"),
}
_NUMPY: Final = {
    *("bool_", "complex128", "complex64", "dtype", "float16", "float32", "float64", "generic"),
    *("int16", "int32", "int64", "int8", "ndarray", "uint16", "uint32", "uint64", "uint8"),
}
_OLD: Final = {"Dict": "dict", "FrozenSet": "frozenset", "List": "list", "Tuple": "tuple"}
_GENERIC: Final = {
    *("dict", "frozenset", "list", "set", "tuple", "type", "Literal", "Optional", "Union"),
    *_ABC,
}
_ITERATORS: Final = {"AsyncGenerator", "AsyncIterable", "AsyncIterator", "Generator", "Iterator"}
_MODULES: Final = {"collections.abc", "np", "numpy", "t", "typing"}


def imports_of(classes: Iterable[ast.stmt]) -> list[ast.stmt]:
    """Give the imports of the names in code that was made of annotations."""
    names = {node.id for code in classes for node in ast.walk(code) if isinstance(node, ast.Name)}
    imports: list[ast.stmt] = [
        ast.ImportFrom(module, [ast.alias(name) for name in sorted(names & known)], 0)
        for module, known in (("collections.abc", _ABC), ("typing", {*_TYPING, "Protocol"}))
        if names & known
    ]
    if "np" in names:
        imports.append(ast.Import([ast.alias("numpy", "np")]))
    return imports


class Annotations:
    """Makes code of annotations; what is not known becomes `Any`.

    Nothing else of a peer's text than the names that are known here gets into the code.
    """

    def __init__(self, *, asynchronous: bool) -> None:
        self._iterator = "AsyncIterator" if asynchronous else "Iterator"

    def of_parameter(self, text: object) -> ast.expr:
        """Give the annotation of a parameter; without one, `Any`."""
        return self._parsed(text)

    def of_result(self, text: object) -> ast.expr:
        """Give the annotation of what a client gets: of any generator, an iterator."""
        result = self._parsed(text)
        outer = result.value if isinstance(result, ast.Subscript) else result
        if not (isinstance(outer, ast.Name) and outer.id in _ITERATORS):
            return result
        item: ast.expr = ast.Name("Any")
        if isinstance(result, ast.Subscript):
            item = result.slice
            if isinstance(item, ast.Tuple) and item.elts:
                item = item.elts[0]
        return ast.Subscript(ast.Name(self._iterator), item)

    def _parsed(self, text: object) -> ast.expr:
        if not isinstance(text, str):
            return ast.Name("Any")
        try:
            return self._known(ast.parse(text.strip(), mode="eval").body)
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            return ast.Name("Any")

    def _known(self, node: ast.expr) -> ast.expr:
        if isinstance(node, ast.Constant) and node.value is None:
            return ast.Constant(None)
        if isinstance(node, ast.Constant):
            return self._parsed(node.value)  # a name may be quoted, once more
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return ast.BinOp(self._known(node.left), ast.BitOr(), self._known(node.right))
        if isinstance(node, ast.Subscript):
            return self._subscript(node)
        if isinstance(node, ast.Attribute):
            module = ast.unparse(node.value)
            return self._named(node.attr, module) if module in _MODULES else ast.Name("Any")
        if isinstance(node, ast.Name):
            return self._named(node.id, "")
        return ast.Name("Any")

    def _named(self, name: str, module: str) -> ast.expr:
        numpy = module in ("np", "numpy") or (not module and name == "ndarray")
        if numpy and name in _NUMPY:
            return ast.Attribute(ast.Name("np"), name)
        name = _OLD.get(name, name)
        if name == "None":
            return ast.Constant(None)
        if not numpy and name in _BUILTIN | _TYPING | _ABC:
            return ast.Name(name)
        return ast.Name("Any")

    def _subscript(self, node: ast.Subscript) -> ast.expr:
        outer = self._known(node.value)
        if not (isinstance(outer, ast.Name) and outer.id in _GENERIC):
            return outer  # `ndarray[…]` says nothing that a listing could keep
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if outer.id == "Literal":
            values = [part for part in parts if _is_literal(part)]
            if len(values) < len(parts):
                return ast.Name("Any")
            known: list[ast.expr] = list(values)
        else:
            known = [part if _is_ellipsis(part) else self._known(part) for part in parts]
        return ast.Subscript(outer, ast.Tuple(known) if len(known) != 1 else known[0])


def _is_literal(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, (bool, bytes, int, str))


def _is_ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...
