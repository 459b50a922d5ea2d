"""Modules under their historical names are the modules themselves."""

from __future__ import annotations

import importlib

import pytest


@pytest.mark.parametrize(
    ("name", "module"),
    [("keepalive", "net.keepalive"), ("packed_exceptions", "wire.exceptions")],
)
def test_a_name_is_the_module(name: str, module: str) -> None:
    real = importlib.import_module(f"sipyco_rpc.{module}")
    assert importlib.import_module(f"sipyco_rpc.{name}") is real
