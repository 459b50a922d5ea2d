"""The examples of frames in the documentation of the protocol: their lengths are right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.one_python

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "protocol.md"


def test_the_lengths_on_the_page_are_those_of_the_texts() -> None:
    page = PAGE.read_text(encoding="utf-8").replace("\n   ", "")  # what goes on in the next line
    found = re.findall(
        r"^[CS]: #\d+ (\d+)[\d ]* \+ text: (.*?)(?: \+ the .*)?$", page, re.MULTILINE
    )
    assert len(found) >= 9
    for length, text in found:
        assert int(length) == len(text), text
