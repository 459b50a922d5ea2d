"""The progress of remote calls, as a bar on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sipyco_rpc.pc_rpc import call_progress
from sipyco_tools._cli.progress_bar import ProgressBar


@contextmanager
def progress_shown() -> Iterator[ProgressBar]:
    """Show how far the calls in a block have come, those that take a while."""
    bar = ProgressBar()
    try:
        with call_progress(None, bar.update):
            yield bar
    finally:
        bar.clear()
