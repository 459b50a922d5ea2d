"""Build backend of the root, for `pip install .`: it makes an empty distribution that requires
those of this source tree, by paths. `hatch build --all` makes what can be published."""

from __future__ import annotations

import tomllib
import zipfile
from pathlib import Path
from typing import NoReturn

PACKAGES = Path(__file__).resolve().parent / "packages"
NAME = "sipyco_workspace-0"  # it has no releases
WHEEL = "Wheel-Version: 1.0\nGenerator: sipyco\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def _members() -> list[Path]:
    return sorted(path.parent for path in PACKAGES.glob("*/pyproject.toml"))


def _metadata() -> str:
    # pip before 24.1 keeps what it made from a directory whose name looks like NAME-VERSION, and
    # would install that again after the sources have changed. It looks at the last part: the dot.
    urls = {path.name: f"{path.as_uri()}/." for path in _members()}
    lines = [
        "Metadata-Version: 2.1",
        "Name: sipyco-workspace",
        "Version: 0",
        "Summary: All distributions of a source tree of SiPyCo",
        "Classifier: Private :: Do Not Upload",
        "Requires-Python: >=3.11",
    ]
    lines += [f"Requires-Dist: {name} @ {url}" for name, url in urls.items()]
    project = tomllib.loads((PACKAGES / "sipyco/pyproject.toml").read_text("utf-8"))["project"]
    for extra in project["optional-dependencies"]:
        lines.append(f"Provides-Extra: {extra}")
        lines.append(f"Requires-Dist: sipyco[{extra}] @ {urls['sipyco']} ; extra == '{extra}'")
    return "\n".join(lines) + "\n"


def build_wheel(directory: str, settings: object = None, metadata: object = None) -> str:
    """Write the wheel; an installer calls this.

    Args:
        directory: where to.
        settings: of the installer; there are none.
        metadata: none, for they are not made beforehand.

    Returns:
        The name of the file.
    """
    contents = {"METADATA": _metadata(), "WHEEL": WHEEL}
    contents["RECORD"] = "".join(f"{NAME}.dist-info/{name},,\n" for name in [*contents, "RECORD"])
    filename = f"{NAME}-py3-none-any.whl"
    with zipfile.ZipFile(Path(directory, filename), "w") as wheel:
        for name, text in contents.items():
            wheel.writestr(f"{NAME}.dist-info/{name}", text)
    return filename


def build_editable(directory: str, settings: object = None, metadata: object = None) -> NoReturn:
    """Say what to type in place of `pip install -e .`: what is required cannot be editable."""
    # Not as an exception: the installer would show its traceback.
    raise SystemExit(
        "editable, the distributions are installed one by one; type: pip install "
        + " ".join(f"-e packages/{path.name}" for path in _members())
    )


def build_sdist(directory: str, settings: object = None) -> NoReturn:
    """Say how to build what can be published."""
    raise SystemExit("the root is no distribution to publish; type: hatch build --all")
