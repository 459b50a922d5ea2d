"""What the pages name is there: files of the tree, what links lead to, classes and modules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.one_python

ROOT = Path(__file__).parents[2]
PAGES = {
    page
    for pages in ("*.md", "packages/*/README.md", "docs/**/*.md")
    for page in ROOT.glob(pages)
    if page.parent.name != "performance"  # parts of the page of that name
}

IN_THE_TREE = re.compile(r"`((?:\.ci|dev|docs|examples|packages|tests)/[\w./-]*)`")
NAMED = re.compile(r"`([\w./]+)`|participant \w+ as (\w+)")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", sorted(PAGES), ids=lambda page: str(page.relative_to(ROOT)))
def test_the_files_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    missing = {name for name in IN_THE_TREE.findall(text) if not (ROOT / name).exists()}
    missing |= {link for link in LINK.findall(text) if not (page.parent / link).exists()}
    assert missing == set()


def test_the_architecture_names_what_there_is() -> None:
    known = {"method", "program"}  # whatever they are called
    for folder in ("dev", "docs", "packages", "tests"):
        for file in (ROOT / folder).rglob("*.py"):
            known |= {file.stem, *file.relative_to(ROOT).parts}
            known |= set(re.findall(r"\w+", file.read_text(encoding="utf-8")))
    page = (ROOT / "docs/explanation/architecture.md").read_text(encoding="utf-8")
    named = {word for found in NAMED.findall(page) for word in re.split(r"\W", "".join(found))}
    assert named - known - {"", "md"} == set()
