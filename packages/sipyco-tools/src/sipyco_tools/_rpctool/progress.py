"""What a person who waits is told: the progress of calls, and that a server does not answer."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sipyco_rpc.pc_rpc import call_progress
from sipyco_tools._cli.output import show_error
from sipyco_tools._cli.progress_bar import ProgressBar

_PATIENCE: Final = 2.0  # seconds before a person takes silence for a fault


@contextmanager
def progress_shown() -> Iterator[ProgressBar]:
    """Show how far the calls in a block have come, those that take a while."""
    bar = ProgressBar()
    try:
        with call_progress(None, bar.update):
            yield bar
    finally:
        bar.clear()


@contextmanager
def waited_for(server: str) -> Iterator[None]:
    """Say on the terminal that a server has been silent for a while, once.

    One that is busy with a method takes connections, and answers none of them until it returns.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    text = (
        f"waiting for {server} to answer; it may be busy with a method "
        "(Ctrl-C ends this, and --timeout SECONDS limits it)"
    )
    timer = threading.Timer(_PATIENCE, show_error, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
