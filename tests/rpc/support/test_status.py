"""What a process tells of itself, and of its components."""

from __future__ import annotations

import gc
import os
import sys
from typing import Any

import pytest

from sipyco_rpc.support import status
from sipyco_rpc.support.status import component_status, process_status, register, versions


class Component:
    def __init__(self, name: str) -> None:
        self.name = name

    def status(self) -> dict[str, Any]:
        if not self.name:
            raise RuntimeError("nobody is there")
        return {"name": self.name}


def names_of(kind: str) -> list[Any]:
    return [each.get("name", each.get("error")) for each in component_status()[kind]]


def test_components_are_told_of_while_they_are_there() -> None:
    first, second = Component("first"), Component("second")
    register("log_servers", first)
    register("log_servers", second)
    assert names_of("log_servers") == ["first", "second"]
    del first
    gc.collect()
    assert names_of("log_servers") == ["second"]


def test_one_that_fails_does_not_hide_the_others() -> None:
    failing, other = Component(""), Component("other")
    register("log_forwarders", failing)
    register("log_forwarders", other)
    assert names_of("log_forwarders") == ["RuntimeError: nobody is there", "other"]


def test_a_kind_has_to_be_known() -> None:
    with pytest.raises(ValueError, match=r"publishers, .* got 'lasers'"):
        register("lasers", Component("laser"))


def test_the_process_tells_what_the_system_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    found = process_status()
    assert found["pid"] == os.getpid()
    assert found["threads"] >= 1
    assert found["cpu_seconds"] > 0
    if sys.platform == "linux":
        assert 1024**2 < found["memory_bytes"] < 1024**4
        assert 1024**2 < found["memory_peak_bytes"] < 1024**4
    monkeypatch.setattr(os, "sysconf", None)
    monkeypatch.setitem(sys.modules, "resource", None)  # Windows has none
    monkeypatch.setitem(sys.modules, "getpass", None)
    found = process_status()
    assert [found[key] for key in ("user", "memory_bytes", "memory_peak_bytes")] == 3 * [None]


def test_versions_are_of_what_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "numpy", raising=False)
    assert "numpy" not in versions()
    assert versions()["sipyco_rpc"] == sys.modules["sipyco_rpc"].__version__
    fake = type(status)("numpy")
    fake.__version__ = "2.9"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "numpy", fake)
    assert versions()["numpy"] == "2.9"
