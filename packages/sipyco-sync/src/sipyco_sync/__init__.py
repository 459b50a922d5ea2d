"""Structures kept in step between processes."""

__version__ = "2.0.0"
