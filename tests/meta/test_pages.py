"""What the pages name is there: files of the tree, and what their links lead to."""

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
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", sorted(PAGES), ids=lambda page: str(page.relative_to(ROOT)))
def test_the_files_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    missing = {name for name in IN_THE_TREE.findall(text) if not (ROOT / name).exists()}
    missing |= {link for link in LINK.findall(text) if not (page.parent / link).exists()}
    assert missing == set()
