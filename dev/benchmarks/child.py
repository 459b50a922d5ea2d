"""The program of a child: `children` starts it, and tells it what to make. Not for people."""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
from typing import Any

__all__ = ["announce"]


def _say(answer: dict[str, object]) -> None:
    sys.__stdout__.write(json.dumps(answer) + "\n")  # type: ignore[union-attr]
    sys.__stdout__.flush()  # type: ignore[union-attr]


def announce(port: int) -> None:
    """Tell the parent that a server listens, and where; end when the parent does.

    Args:
        port: the port; it was free because the server bound port 0.
    """
    threading.Thread(target=_watch, daemon=True).start()
    _say({"value": port})


def _watch() -> None:
    # Not through `sys.stdin`, whose lock a process that ends would want as well.
    while os.read(0, 4096):
        pass
    os._exit(0)


def _reason(exc: BaseException) -> str:
    return f"{type(exc).__name__}: {exc}".strip().splitlines()[0][:300]


def _obey(thing: Any) -> None:
    _say({"value": None})
    for line in sys.stdin:
        number, action, arguments = json.loads(line)
        try:
            answer: dict[str, object] = {"value": getattr(thing, action)(*arguments)}
        except Exception as exc:  # noqa: BLE001  (what any library raises is an answer)
            answer = {"error": _reason(exc)}
        _say({"number": number, **answer})
    os._exit(0)  # threads and connections of libraries do not decide when we end


def main() -> None:
    """Make what the command line describes, and serve or obey."""
    description = json.loads(sys.argv[1])
    if description["core"] is not None:
        os.sched_setaffinity(0, [description["core"]])  # threads inherit it
    module = importlib.import_module(description["module"])
    # The module of `announce` is to be the one that others import, not `__main__`.
    make = getattr(module, description["name"])
    if description["serve"]:
        make(*description["arguments"])
    else:
        _obey(make(*description["arguments"]))


if __name__ == "__main__":
    try:
        main()
    except Exception as exc:  # noqa: BLE001  (the parent shows it)
        _say({"error": _reason(exc)})
        os._exit(1)
