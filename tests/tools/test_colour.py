"""Colours: only where a person sees them, and wants them."""

from __future__ import annotations

import io
import os

import pytest

from sipyco_tools._cli.colour import is_coloured, is_terminal, paint


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [
        ({}, True),
        ({"NO_COLOR": ""}, True),  # https://no-color.org: present and not empty
        ({"NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({"TERM": "xterm"}, True),
    ],
)
def test_a_terminal_has_colours_unless_they_are_refused(
    environment: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert is_coloured(Terminal()) is coloured
    assert is_terminal(Terminal())


def test_what_is_no_terminal_has_no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("TERM", raising=False)
    closed = io.StringIO()
    closed.close()
    with open(os.devnull, "w") as null:
        assert [is_coloured(stream) for stream in (None, io.StringIO(), closed, null)] == [
            False
        ] * 4


def test_a_painted_text_ends_its_style() -> None:
    assert paint("failed", "bold red") == "\x1b[1;31mfailed\x1b[0m"
