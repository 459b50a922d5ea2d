"""PYON: Python values as text and back, in two dialects."""

__version__ = "2.0.0"
