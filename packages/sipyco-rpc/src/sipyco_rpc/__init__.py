"""Remote procedure calls over TCP, optionally TLS."""

__version__ = "2.0.0"
