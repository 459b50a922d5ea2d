"""Who may import whom: distributions, the rooms in them, and modules. How large one may become.

`docs/explanation/architecture.md` has the rooms with what is in them.
"""

from __future__ import annotations

import ast
import importlib
import itertools
import re
import tomllib
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Final

import pytest

from support.source import (
    MODULES,
    PACKAGES,
    distribution_of,
    imported_modules,
    imported_names,
    tree_of,
)

pytestmark = pytest.mark.one_python

ROOT: Final = Path(__file__).parents[2]

MAY_IMPORT: Final = {
    "sipyco_pyon": {"sipyco_pyon"},
    "sipyco_rpc": {"sipyco_pyon", "sipyco_rpc"},
    "sipyco_sync": {"sipyco_pyon", "sipyco_rpc", "sipyco_sync"},
    "sipyco_tools": {"sipyco_pyon", "sipyco_rpc", "sipyco_tools"},
    "sipyco": {"sipyco_pyon", "sipyco_rpc", "sipyco_sync", "sipyco_tools", "sipyco"},
}

# What a module may do without, and says how to install it: an extra of its distribution.
OPTIONAL: Final = {"sipyco_tools._rpctool.feeds": "sipyco_sync"}

# Lowest first. Rooms of one floor do not know each other. Modules that are in no room and not
# named here are the faces: they are above all of it, and may know each other.
FLOORS: Final[Mapping[str, list[set[str]]]] = {
    "sipyco_rpc": [
        {"_compat", "limits"},
        {"support"},
        {"wire", "net"},
        {"_client", "_server"},
    ],
    "sipyco_tools": [
        {"_limits", "_task_object"},
        {"_cli"},
        {"_certs", "_logging", "_pipes"},
        {"_logstore", "_rpctool"},
    ],
}
FACES: Final = "the faces"

MOST_LINES: Final = 300

HEAVY_USERS: Final = {
    "numpy": {"sipyco_pyon._numpy", "sipyco_tools._rpctool.values"},  # there: `np` for arguments
    "cryptography": {"sipyco_tools._certs.certificates"},
    "rich": {"sipyco_tools._cli.terminal"},
}

every_module = pytest.mark.parametrize("module", MODULES)


# --- distributions -----------------------------------------------------------------------------


@every_module
def test_distributions_import_downwards_and_nothing_private(module: str) -> None:
    own = distribution_of(module)
    for name in imported_names(tree_of(module)):
        top, *rest = name.split(".")
        if not top.startswith("sipyco") or top in (own, OPTIONAL.get(module)):
            continue
        assert top in MAY_IMPORT[own], (
            f"{module} imports {name}, but {own} may import {sorted(MAY_IMPORT[own])} only: "
            "what both need belongs into the lower distribution"
        )
        private = [part for part in rest if part.startswith("_") and part != "__version__"]
        assert not private, (
            f"{module} imports {name}, which is private to {top}: use its public modules, or make "
            "a public one of it, with its line in docs/reference/building_blocks.md"
        )


@pytest.mark.parametrize("module", OPTIONAL)
def test_what_is_optional_is_an_extra_and_loaded_when_it_is_used(module: str) -> None:
    own, needed = distribution_of(module), OPTIONAL[module]
    project = tomllib.loads((PACKAGES / own.replace("_", "-") / "pyproject.toml").read_text())
    extras = itertools.chain(*project["project"]["optional-dependencies"].values())
    assert any(extra.startswith(needed.replace("_", "-")) for extra in extras)
    at_once = [node for node in tree_of(module).body if isinstance(node, ast.ImportFrom)]
    assert not [node for node in at_once if (node.module or "").startswith(needed)]


def test_what_other_distributions_use_is_documented() -> None:
    pages = "\n".join(path.read_text() for path in (ROOT / "docs").rglob("*.md"))
    for module in MODULES:
        own = distribution_of(module)
        for used in imported_modules(module) if own != "sipyco" else ():
            assert distribution_of(used) == own or re.search(rf"(^::: |`){used}\b", pages, re.M), (
                f"{module} uses {used}: it is a building block, so it has its lines in "
                "docs/reference/building_blocks.md"
            )


@pytest.mark.parametrize("name", HEAVY_USERS)
def test_what_is_optional_and_heavy_is_imported_in_one_place(name: str) -> None:
    importing = {
        module
        for module in MODULES
        if any(distribution_of(used) == name for used in imported_names(tree_of(module)))
    }
    assert importing == HEAVY_USERS[name]


def test_versions_and_pins_are_in_step() -> None:
    versions = {importlib.import_module(package).__version__ for package in MAY_IMPORT}
    assert len(versions) == 1
    (version,) = versions
    projects = list(PACKAGES.glob("*/pyproject.toml"))
    assert len(projects) == 5
    for path in projects:
        project = tomllib.loads(path.read_text())["project"]
        extras = project.get("optional-dependencies", {})
        for requirement in [*project["dependencies"], *itertools.chain(*extras.values())]:
            if requirement.startswith("sipyco"):
                assert requirement.endswith(f"=={version}"), f"{path}: {requirement}"


# --- rooms -------------------------------------------------------------------------------------


def room_of(module: str) -> str:
    """Return the room of a module; of one that is in none and on no floor, the faces."""
    distribution, _, rest = module.partition(".")
    room = rest.partition(".")[0]
    named = set[str]().union(*FLOORS[distribution])
    return room if room in named or rest != room or is_room(module) else FACES


def is_room(module: str) -> bool:
    return "." in module and MODULES[module].name == "__init__.py"


def floor_of(module: str) -> int:
    room, floors = room_of(module), FLOORS[distribution_of(module)]
    for floor, rooms in enumerate(floors):
        if room in rooms:
            return floor
    assert room == FACES, (
        f"{module} is in a room that is on no floor: add `{room}` to FLOORS in this file, and to "
        "the table of rooms in docs/explanation/architecture.md"
    )
    return len(floors)


@pytest.mark.parametrize(
    "module", [module for module in MODULES if distribution_of(module) in FLOORS]
)
def test_rooms_import_downwards(module: str) -> None:
    own, floor = room_of(module), floor_of(module)
    for name in imported_modules(module):
        if distribution_of(name) != distribution_of(module) or room_of(name) == own:
            continue
        assert floor_of(name) < floor, (
            f"{module} imports {name}, but `{own}` is not above `{room_of(name)}`: move what both "
            "need into a room below, or have it handed in as an argument (FLOORS in this file "
            "says which rooms are below which)"
        )


@pytest.mark.parametrize("room", [module for module in MODULES if is_room(module)])
def test_a_room_loads_nothing_by_itself(room: str) -> None:
    text = MODULES[room].read_text()
    assert not text or room == "sipyco.test", (
        f"{room} is a room: its __init__ is empty, so that each module loads what it needs only"
    )


@pytest.mark.parametrize("distribution", FLOORS)
def test_tests_are_found_by_the_name_of_the_room(distribution: str) -> None:
    rooms = {
        room_of(module).strip("_") for module in MODULES if distribution_of(module) == distribution
    }
    tests = ROOT / "tests" / distribution.removeprefix("sipyco_")
    folders = {path.parent.name for path in tests.glob("*/test_*.py")}
    assert folders <= {*rooms, "system"}, (  # system: tests of more than one room
        f"a folder in {tests} has the name of the room that it tests, without underscores"
    )


# --- modules -----------------------------------------------------------------------------------


@pytest.mark.parametrize("distribution", MAY_IMPORT)
def test_no_modules_import_each_other(distribution: str) -> None:
    own = {module for module in MODULES if distribution_of(module) == distribution}
    imports = TopologicalSorter({module: imported_modules(module) & own for module in own})
    try:
        imports.prepare()
    except CycleError as exc:
        pytest.fail(
            f"a circle of imports: {' <- '.join(exc.args[1])}. Move what both ends need below "
            "them, or have the lower one say what it needs: as a parameter, or as a Protocol of "
            "its own. Imports within functions and under TYPE_CHECKING count as well",
            pytrace=False,
        )


def test_imports_are_found_wherever_they_are() -> None:
    source = """
import a.b, c as d
from e.f import g, h as i
if TYPE_CHECKING:
    from j import k
def function():
    import l
"""
    names = {"a.b", "c", "e.f.g", "e.f.h", "j.k", "l"}
    assert set(imported_names(ast.parse(source))) == names


@every_module
def test_a_module_can_be_read_in_one_sitting(module: str) -> None:
    lines = len(MODULES[module].read_text().splitlines())
    assert lines <= MOST_LINES, (
        f"{module} has {lines} lines, and {MOST_LINES} are the most: take out a part that has a "
        "name of its own, into a module beside it"
    )


# --- names -------------------------------------------------------------------------------------


def public_classes() -> Iterator[tuple[str, type]]:
    for name in MODULES:
        if "._" not in name and not name.endswith("__main__") and not is_room(name):
            module: Any = importlib.import_module(name)
            for public in getattr(module, "__all__", ()):
                value = getattr(module, public)
                if isinstance(value, type) and value.__module__.startswith("sipyco"):
                    yield f"{name}.{public}", value


def test_public_classes_say_a_public_address() -> None:
    """What is in `__module__` is what peers read of an exception, and what pickle looks for."""
    hidden = {value for _, value in public_classes() if "._" in value.__module__}
    assert not hidden, (
        "set the `__module__` of these to the public module from which programs import them"
    )
    for name, value in public_classes():
        module = importlib.import_module(value.__module__)
        assert getattr(module, value.__name__) is value, name
