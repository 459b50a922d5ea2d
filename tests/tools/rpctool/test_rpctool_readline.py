"""The prompt of the command line tool sets up whichever `readline` there is."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from sipyco_tools._rpctool import editing


@pytest.mark.parametrize(
    ("doc", "backend", "bound"),
    [
        ("GNU readline support", None, "tab: complete"),
        ("libedit readline support", None, "bind ^I rl_complete"),
        (None, None, "tab: complete"),
        ("as of Python 3.13", "readline", "tab: complete"),
        ("as of Python 3.13", "editline", "bind ^I rl_complete"),
        ("not libedit", "readline", "tab: complete"),
    ],
)
def test_the_tab_key_completes(
    doc: str | None,
    backend: str | None,
    bound: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module: Any = ModuleType("readline", doc)
    if backend is not None:
        module.backend = backend
    commands: list[str] = []
    module.set_completer = module.set_completer_delims = lambda x: None
    module.read_history_file = lambda path: None
    module.parse_and_bind = commands.append
    monkeypatch.setitem(sys.modules, "readline", module)
    assert editing.set_up_readline({"echo": None}) is module
    assert commands == [bound]
