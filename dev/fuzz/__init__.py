"""Fuzzing of everything that takes bytes from a peer: see `python -m dev.fuzz --help`.

It is no part of any distribution.
"""
