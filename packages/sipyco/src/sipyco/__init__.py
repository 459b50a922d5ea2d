"""Simple Python Communications under its historical names."""

__version__ = "2.0.0"
