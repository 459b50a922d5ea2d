"""The fuzzer itself, in a process of its own: libFuzzer, by way of atheris, never returns.

It is started by the command, and not meant to be started otherwise.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from dev.fuzz.targets import TARGETS

__all__ = ["main"]

# What is looked at for coverage.
_PACKAGES: Final = ["sipyco_pyon", "sipyco_rpc", "sipyco_sync", "sipyco_tools"]


def main() -> None:
    """Fuzz a target: the arguments are its name, how this was started, and libFuzzer's own."""
    name, command, *options = sys.argv[1:]
    atheris: Any = import_module("atheris")
    with atheris.instrument_imports(include=_PACKAGES):
        one_input: Callable[[bytes], None] = TARGETS[name].load()
        import_module("sipyco_pyon._numpy")  # the library does so at the first need only
    atheris.Setup([command, *options], one_input)  # libFuzzer may start it once more
    atheris.Fuzz()


if __name__ == "__main__":
    main()
