"""Chaos: a small laboratory of processes that are killed, stopped and cut off, and its accounts.

`python -m dev.soak --help` tells how to use it. Nothing here measures speed.
"""
