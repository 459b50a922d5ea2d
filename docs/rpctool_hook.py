"""Write the options of `sipyco_rpctool` into its page, from the parser itself."""

import argparse
import os
from typing import Any

from sipyco_tools.sipyco_rpctool import get_argparser

MARK = "<!-- options -->"


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
    """Replace the mark; mkdocs calls this for each page."""
    if MARK not in markdown:
        return markdown
    os.environ["COLUMNS"] = "80"  # the page must not depend on the window of who builds it
    return markdown.replace(MARK, "\n".join(sections(get_argparser())))
