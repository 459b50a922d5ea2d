"""Makes a package for a new driver, from the files in `driver_template`."""

from __future__ import annotations

import argparse
import keyword
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import Final

from sipyco_tools._cli import arguments
from sipyco_tools._cli.output import FAILED, show, show_error

_PACKAGE: Final = "package"  # the directory of the template that gets the driver's name
_PORT: Final = 3253
_NEEDED: Final = ("numpy", "pytest", "tests")  # by a driver, its tests, or what it is made with
_UNIT: Final = "service"  # likewise, the unit for systemd

_NEXT: Final = """
To begin:
  cd {directory}
  pip install -e '.[test]'
  pytest
  {name} --simulation                               # serves on this computer
  sipyco_rpctool localhost {port} list-methods      # in another terminal"""


def is_asked_for(words: Sequence[str]) -> bool:
    """Tell whether the words after `new` ask for a driver, and are not a port of such a host."""
    return not (words and words[0].isdigit())


def get_argparser(prog: str) -> argparse.ArgumentParser:
    """Return the parser of what follows `new`."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Make the package of a driver that works, with a simulation of its\n"
        "instrument, TLS, tests and a unit for systemd: what it says is yours to change.",
        epilog="example:\n  sipyco_rpctool new supply ~/drivers/supply",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "name",
        metavar="NAME",
        type=arguments.argument_type(checked_name),
        help="of the driver, its package, command and target: a word in lower case",
    )
    parser.add_argument(
        "directory", metavar="DIRECTORY", type=Path, help="where to; it has to be new, or empty"
    )
    parser.add_argument(
        "-p",
        "--port",
        type=arguments.port,
        default=_PORT,
        help="TCP port that the service listens on unless told otherwise (default: %(default)d)",
    )
    return parser


def run(get_parser: Callable[[], argparse.ArgumentParser], words: Sequence[str]) -> None:
    """Make a driver, and say what can be done with it."""
    prog = f"{get_parser().prog} new"
    args = get_argparser(prog).parse_args(words)
    try:
        files = create_driver(args.name, args.directory, args.port)
    except OSError as exc:
        show_error(f"{prog}: {exc}")
        sys.exit(FAILED)
    for path in files:
        show(str(args.directory / path))
    show(_NEXT.format(directory=shlex.quote(str(args.directory)), name=args.name, port=args.port))


def checked_name(name: str) -> str:
    """Make sure that a name can be that of a package, and hides no module.

    Raises:
        ValueError: it cannot.
    """
    if not _is_package_name(name):
        meant = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
        hint = f"; did you mean {meant!r}?" if _is_package_name(meant) else ""
        raise ValueError(
            f"the name of a driver is a word that Python can import, of lower-case letters, "
            f"digits and `_`, got {name!r}{hint}"
        )
    if name in {*sys.stdlib_module_names, *_NEEDED} or name.startswith("sipyco"):
        raise ValueError(f"there is a module `{name}` already, which the driver would hide")
    return name


def _is_package_name(name: str) -> bool:
    return re.fullmatch(r"[a-z][a-z0-9_]*", name) is not None and not keyword.iskeyword(name)


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
