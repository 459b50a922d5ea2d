"""The page of limits is made from the modules that have the limits."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.one_python

DOCS = Path(__file__).parents[2] / "docs"

MODULE = '''\
"""Limits of calls and the like; the page is made from this module."""

from __future__ import annotations

MIB: Final = 1024 * 1024

# --- what a program may change ---

MAX_LINE: Final = 128 * MIB  # bytes; a whole experiment travels as one line
"""One message (`max_line`). It is dropped, with an error."""

# --- what only protects ---

TIME_SLICE: Final = 0.005  # seconds; nobody sees it
"""Requests of one client. They go on
in the next pass of the loop."""
MAX_CALLS: Final = 1000  # calls; more would only wait
"""Calls under way. The others wait."""
'''


@pytest.fixture
def hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Load the hook, and have it find one module of each distribution that has limits."""
    spec = importlib.util.spec_from_file_location("limits_hook", DOCS / "limits_hook.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for distribution in ("pyon", "rpc", "sync", "tools"):
        folder = tmp_path / f"sipyco-{distribution}/src/sipyco_{distribution}"
        folder.mkdir(parents=True)
        (folder / "_limits.py").write_text(MODULE if distribution == "rpc" else '"""None."""\n')
    monkeypatch.setattr(module, "PACKAGES", tmp_path)
    return module


def test_each_part_has_its_table(hook: Any) -> None:
    page = "\n\n".join(["# Limits", *hook.PARTS.values(), "The end."])
    head = "| limit | value | what happens beyond it | why |\n| --- | --- | --- | --- |\n"
    assert hook.on_page_markdown(page, page=None) == (
        f"# Limits\n\n{head}"
        "| One message (`max_line`) | 128 MiB | It is dropped, with an error |"
        " a whole experiment travels as one line |\n\n"
        f"### Calls and the like\n\n{head}"
        "| Requests of one client | 5 ms | They go on in the next pass of the loop |"
        " nobody sees it |\n"
        "| Calls under way | 1,000 calls | The others wait | more would only wait |\n\n"
        "The end."
    )


def test_other_pages_stay_as_they_are(hook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook, "PACKAGES", None)
    assert hook.on_page_markdown("# Another", page=None) == "# Another"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (64 * 1024, "bytes", "64 KiB"),
        (1000, "bytes", "1,000 bytes"),
        (16 * 2**20, "characters", "16 Mi characters"),
        (0.25, "seconds", "250 ms"),
        (10.0, "seconds", "10 s"),
        (2_000_000, "seconds", "2,000,000 s"),
        (10_000, "lines", "10,000 lines"),
    ],
)
def test_values_are_written_as_people_say_them(
    hook: Any, value: float, unit: str, text: str
) -> None:
    assert hook.shown(value, unit) == text


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("  # bytes; a whole experiment travels as one line", "", "MAX_LINE needs its unit and"),
        (" It is dropped, with an error.", "", "MAX_LINE does not say what happens beyond"),
        ("# --- what a program may change ---\n", "", "MAX_LINE is in no part of the module"),
        ("128 * MIB", "len(MIB)", r"line 9: `len\(MIB\)` is not the number of a limit"),
    ],
)
def test_what_a_limit_lacks_is_said(hook: Any, old: str, new: str, complaint: str) -> None:
    assert old in MODULE
    with pytest.raises(ValueError, match=complaint):
        list(hook.limits_of(MODULE.replace(old, new)))
