"""Makes a package for a new driver, from the files in `driver_template`."""

from __future__ import annotations

import keyword
import sys
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import Final

_PACKAGE: Final = "package"  # the directory of the template that gets the driver's name
_UNIT: Final = "service"  # likewise, the unit for systemd


def checked_name(name: str) -> str:
    """Make sure that a name can be that of a package, and hides no module.

    Raises:
        ValueError: it cannot.
    """
    if not name.isidentifier() or keyword.iskeyword(name) or not name.isascii():
        raise ValueError(
            f"the name of a driver is a word of letters, digits and `_` that Python can import, "
            f"got {name!r}"
        )
    if name != name.lower() or name.startswith("_"):
        raise ValueError(f"the name of a driver begins with a lower-case letter, got {name!r}")
    if name in sys.stdlib_module_names or name in ("sipyco", "tests"):
        raise ValueError(f"there is a module `{name}` already, which the driver would hide")
    return name


def create_driver(name: str, directory: Path, port: int) -> list[Path]:
    """Make the package of a driver.

    Args:
        name: of the driver, its package, its command and its target.
        directory: where to; it is made, or has to be empty.
        port: the default of its TCP port.

    Returns:
        The files, relative to the directory.

    Raises:
        ValueError: the name cannot be that of a driver.
        FileExistsError: there is something in the directory.
        OSError: a file cannot be written.
    """
    checked_name(name)
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise FileExistsError(f"the directory is not empty: {directory}")
    words = name.replace("_", " ")
    values = {
        "name": name,
        "class_name": "".join(word.capitalize() for word in name.split("_")),
        "title": words,
        "title_capital": words[0].upper() + words[1:],
        "article": "an" if words[0] in "aeiou" else "a",
        "port": str(port),
    }
    written = []
    for path, source in _template_files(files(__package__) / "driver_template", Path()):
        parts = [name if part == _PACKAGE else part for part in path.parts]
        if path.name == _UNIT:
            parts[-1] = f"{name}.{_UNIT}"
        target = Path(*parts)
        text = Template(source.read_text(encoding="utf-8")).substitute(values)
        (directory / target).parent.mkdir(parents=True, exist_ok=True)
        (directory / target).write_text(text, encoding="utf-8")
        written.append(target)
    return sorted(written)


def _template_files(directory: Traversable, path: Path) -> list[tuple[Path, Traversable]]:
    found: list[tuple[Path, Traversable]] = []
    for entry in directory.iterdir():
        if entry.is_dir():
            found += _template_files(entry, path / entry.name)
        elif entry.name.endswith(".in"):
            found.append((path / entry.name.removesuffix(".in"), entry))
    return found
