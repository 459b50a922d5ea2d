"""Logging of several programs: one text format, and a log server that all send records to."""

from __future__ import annotations

from sipyco_tools._logging.forwarder import LogForwarder
from sipyco_tools._logging.parser import LogParser
from sipyco_tools._logging.program import forward_logs
from sipyco_tools._logging.records import (
    TRACE,
    MultilineFormatter,
    SourceFilter,
    log_with_name,
    multiline_log_config,
    parse_log_message,
)
from sipyco_tools._logging.records import _fwd_logger as _fwd_logger  # programs use it
from sipyco_tools._logging.server import Server
from sipyco_tools._logstore.handler import SQLiteHandler

__all__ = [
    "TRACE",
    "LogForwarder",
    "LogParser",
    "MultilineFormatter",
    "SQLiteHandler",
    "Server",
    "SourceFilter",
    "forward_logs",
    "log_with_name",
    "multiline_log_config",
    "parse_log_message",
]

# The address that pickles hold: it lasts when a file moves.
for _name in set(__all__) - {"TRACE"}:
    globals()[_name].__module__ = __name__
