"""Command line and logging tools."""

__version__ = "2.0.0"
