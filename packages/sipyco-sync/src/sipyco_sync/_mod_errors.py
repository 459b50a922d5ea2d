"""Errors of mods that cannot be encoded, in terms of the structure. No sockets here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sipyco_rpc.support.quoting import excerpt, short_repr
from sipyco_sync._mods import Mod

_CONTENT: Final = {"append": "x", "init": "struct", "insert": "x", "setitem": "value"}


def error_of_content(error: Exception, mod: Mod, encode: Callable[..., object]) -> Exception:
    """Give the error of what a mod puts into the structure, named by its place in that.

    Args:
        error: that of encoding the mod.
        mod: what could not be encoded.
        encode: of the dialect; it raises again.
    """
    action, path = mod.get("action"), mod.get("path", [])
    content = _CONTENT.get(action) if isinstance(action, str) else None
    if content is None or content not in mod or not isinstance(path, (list, tuple)):
        return error  # a mod of the program's own making
    container = "the structure" + "".join(map(_step, path))
    names = {
        "struct": container,
        "value": f"{container}{_step(mod.get('key'))}",
        "x": f"(what is added to {container})",
        "key": f"a key of {container}",
    }
    for part in (content, "key"):
        try:
            encode(mod.get(part), name=names[part])
        except type(error) as exc:
            return exc
    return error


def _step(key: object) -> str:
    return f'["{excerpt(key)}"]' if isinstance(key, str) else f"[{short_repr(key)}]"
