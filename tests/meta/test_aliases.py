"""The historical names are the modules themselves."""

from __future__ import annotations

import importlib
import pickle
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

PAIRS = {
    "pyon": "sipyco_pyon.pyon",
    "pyon_v1": "sipyco_pyon.pyon_v1",
    "pc_rpc": "sipyco_rpc.pc_rpc",
    "fire_and_forget": "sipyco_rpc.fire_and_forget",
    "packed_exceptions": "sipyco_rpc.wire.exceptions",
    "keepalive": "sipyco_rpc.net.keepalive",
    "arguments": "sipyco_rpc.arguments",
    "sync_struct": "sipyco_sync.sync_struct",
    "broadcast": "sipyco_sync.broadcast",
    "remote_exec": "sipyco_sync.remote_exec",
    "pipe_ipc": "sipyco_tools.pipe_ipc",
    "common_args": "sipyco_tools.common_args",
    "asyncio_tools": "sipyco_tools.asyncio_tools",
    "tools": "sipyco_tools.asyncio_tools",
    "logging_tools": "sipyco_tools.logging_tools",
    "logs": "sipyco_tools.logging_tools",
    "sipyco_certs": "sipyco_tools.sipyco_certs",
    "sipyco_logs": "sipyco_tools.sipyco_logs",
    "sipyco_logserver": "sipyco_tools.sipyco_logserver",
    "sipyco_rpctool": "sipyco_tools.sipyco_rpctool",
}


@pytest.mark.parametrize(("name", "module"), PAIRS.items())
def test_a_name_is_the_module(name: str, module: str) -> None:
    import sipyco

    real = importlib.import_module(module)
    assert importlib.import_module(f"sipyco.{name}") is real
    assert getattr(sipyco, name) is real
    assert name in dir(sipyco)


def test_a_name_may_be_the_first_that_is_loaded() -> None:
    # Remote execution takes its historical name in `sys.modules` where nothing has it yet.
    code = "import sipyco.remote_exec as a, sipyco_sync.remote_exec as b; print(a is b)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_private_names_and_one_registry() -> None:
    import sipyco_pyon.pyon
    from sipyco import pc_rpc, pyon

    assert "float64" in pyon._numpy_scalar
    assert callable(pc_rpc._socket_readline)
    pyon.register([type(Path())], name="Path", encode=lambda p: [str(p)], decode=Path)
    try:
        assert sipyco_pyon.pyon.decode(sipyco_pyon.encode(Path("a"))) == Path("a")
    finally:
        pyon.deregister([type(Path())], "Path")
    with mock.patch("sipyco.pc_rpc.Client", "patched"):
        import sipyco_rpc.pc_rpc

        assert sipyco_rpc.pc_rpc.Client == "patched"


def test_public_names_can_be_pickled() -> None:
    from sipyco.pc_rpc import AutoTarget, Client
    from sipyco.pyon import encode

    for value in (AutoTarget, Client, encode):
        assert pickle.loads(pickle.dumps(value)) is value


def test_tests_of_drivers_find_their_names() -> None:
    import sipyco_rpc.testing as testing
    from sipyco.test.generic_rpc import GenericRPCCase
    from sipyco.test.ssl_certs import create_ssl_certs, create_ssl_config

    assert GenericRPCCase is testing.GenericRPCCase
    assert create_ssl_certs is testing.create_ssl_certs
    assert create_ssl_config is testing.create_ssl_config


def test_nothing_is_loaded_before_it_is_used() -> None:
    code = "import sipyco, sys; print([m for m in sys.modules if m.startswith('sipyco')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['sipyco']\n"
    code = "import sipyco; print(sipyco.pyon.__name__, sipyco.logs.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "sipyco_pyon.pyon sipyco_tools.logging_tools\n"
    import sipyco

    with pytest.raises(AttributeError, match="nosuch"):
        sipyco.nosuch


def test_what_a_module_lacks_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import sipyco.broadcast

    monkeypatch.delattr(sipyco, "broadcast")
    monkeypatch.delitem(sys.modules, "sipyco.broadcast", raising=False)
    monkeypatch.setitem(sys.modules, "sipyco_sync", None)
    with pytest.raises(ModuleNotFoundError, match="sipyco_sync"):
        sipyco.broadcast


def test_they_run_as_programs(tmp_path: Path) -> None:
    path = tmp_path / "a.pyon"
    path.write_text("(1, )\n")
    convert = [sys.executable, "-W", "error", "-m", "sipyco.pyon", str(path)]
    subprocess.run(convert, check=True, capture_output=True)
    assert '"tuple"' in path.read_text()
    done = subprocess.run(convert, capture_output=True, text=True)
    assert "FileExistsError" in done.stderr
    for name, word in (
        ("sipyco_rpctool", "list-targets"),
        ("sipyco_certs", "--check"),
        ("sipyco_logs", "--since"),
        ("sipyco_logserver", "--max-size"),
    ):
        tool = [sys.executable, "-W", "error", "-m", f"sipyco.{name}", "--help"]
        assert word in subprocess.run(tool, capture_output=True, text=True, check=True).stdout


PROGRAM = """\
import sipyco
from sipyco import pyon
from sipyco.pc_rpc import Client, Server, simple_server_loop
from sipyco.sync_struct import Notifier, Subscriber

reveal_type(pyon.encode(1))
reveal_type(Client("h", 1).get_rpc_id())
reveal_type(Notifier([])["a"])
reveal_type(sipyco.packed_exceptions.current_exc_packed())
simple_server_loop(5)
"""


@pytest.mark.parametrize(
    ("checker", "options"),
    [("mypy", ["--cache-dir", "cache"]), ("basedpyright", ["--pythonpath", sys.executable])],
)
def test_type_checkers_see_through(checker: str, options: list[str], tmp_path: Path) -> None:
    pytest.importorskip(checker)
    (tmp_path / "program.py").write_text(PROGRAM)
    # basedpyright is pyright in a form that pip can install; as pyright it judges.
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "standard"}')
    done = subprocess.run(
        [sys.executable, "-m", checker, *options, "program.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    encoded, identification, part, packed, error, *_ = [
        line
        for line in done.stdout.splitlines()
        if "reveal" in line.lower() or "type of" in line.lower() or "error" in line
    ]
    assert "str" in encoded
    assert "tuple[" in identification.lower()
    assert "Notifier" in part
    assert "dict[str" in packed
    assert "Too few arguments" in error or "Missing" in error or "missing" in error
