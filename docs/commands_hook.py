"""Write the options of the commands into their pages, from the parsers themselves."""

import argparse
import os
from typing import Any

from sipyco_tools import sipyco_certs, sipyco_logs, sipyco_logserver, sipyco_rpctool

PARSERS = {
    "<!-- options of sipyco_certs -->": sipyco_certs.get_argparser,
    "<!-- options of sipyco_logs -->": sipyco_logs.get_argparser,
    "<!-- options of sipyco_logserver -->": sipyco_logserver.get_argparser,
    "<!-- options of sipyco_rpctool -->": sipyco_rpctool.get_argparser,
}


def sections(parser: argparse.ArgumentParser) -> list[str]:
    """Return a section for a parser, and one for each of its sub-commands."""
    text = parser.format_help().rstrip()
    found = [f"### `{parser.prog}`\n\n```text\n{text}\n```\n"]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                found += sections(sub)
    return found


def on_page_markdown(markdown: str, **kwargs: Any) -> str:
    """Replace the marks; mkdocs calls this for each page."""
    os.environ["COLUMNS"] = "80"  # the pages must not depend on the window of who builds them
    for mark, get_argparser in PARSERS.items():
        if mark in markdown:
            markdown = markdown.replace(mark, "\n".join(sections(get_argparser())))
    return markdown
