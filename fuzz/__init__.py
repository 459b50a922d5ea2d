"""Fuzzing of everything that takes bytes from a peer: see `python -m fuzz --help`.

It is no part of any distribution.
"""
