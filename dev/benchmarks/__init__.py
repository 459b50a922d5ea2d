"""Figures of speed, each beside its limit and its peers from the same run.

`python -m dev.benchmarks --help` tells how to use it. Nothing here is a test: a figure decides
nothing but what `--strict` is asked to decide.
"""
