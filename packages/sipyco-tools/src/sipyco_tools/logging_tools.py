"""Log records as text, and one way to set logging up in all programs."""

from __future__ import annotations

from sipyco_tools._log_format import (
    TRACE,
    MultilineFormatter,
    SourceFilter,
    log_with_name,
    multiline_log_config,
    parse_log_message,
)

__all__ = [
    "TRACE",
    "MultilineFormatter",
    "SourceFilter",
    "log_with_name",
    "multiline_log_config",
    "parse_log_message",
]
