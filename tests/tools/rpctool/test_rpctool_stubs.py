"""`stubs`: what type checkers make of it, and that no word of a server becomes code."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sipyco_tools._rpctool.stubs import class_name, source_of
from support.peers import DEADLINE, HOST, rpc_server

if TYPE_CHECKING:  # annotations are texts, of which the client may know more or less
    from collections.abc import Iterator

    from drivers import Unknown  # type: ignore[import-not-found]

COMMAND = [sys.executable, "-m", "sipyco_tools.sipyco_rpctool", HOST]


class Psu:
    '''A power supply.

    Of the "lab", with \\ and """ and µ.
    '''

    def set_voltage(self, voltage: float, *, unit: str = "V", mode: Unknown | None = None) -> None:
        """Set it.

        In steps.
        """

    def plain(self, x, y=1, *args, **kwargs):  # type: ignore[no-untyped-def]
        pass

    def readings(self, count: int = 3) -> Iterator[float]:
        yield 1.0


def stubs(*arguments: str) -> str:
    with rpc_server({"psu_1": Psu(), "aux": Psu()}) as port:
        done = subprocess.run(
            [*COMMAND, str(port), "stubs", *arguments],
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=DEADLINE,
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        )
    assert done.stderr == ""
    return done.stdout


BLOCKING = """
from sipyco_rpc.pc_rpc import Client, as_interface
from interface import Psu1

psu = as_interface(Client("::1", 3253), Psu1)
psu.set_voltage(5, unit="mV")
for reading in psu.readings(3):
    psu.set_voltage(reading)
reveal_type(psu.plain(1, 2, 3, z=4))
psu.set_voltage("5")
"""

ASYNCIO = """
from sipyco_rpc.pc_rpc import AsyncioClient, as_interface
from interface import Supply

async def main(client: AsyncioClient) -> None:
    psu = as_interface(client, Supply)
    await psu.set_voltage(5, unit="mV")
    async for reading in await psu.readings(3):
        await psu.set_voltage(reading)
    reveal_type(await psu.plain(1))
    await psu.set_voltage("5")
"""


@pytest.mark.one_python
@pytest.mark.parametrize(
    ("checker", "options"),
    [
        ("mypy", ["--strict", "--cache-dir", "cache"]),
        ("basedpyright", ["--pythonpath", sys.executable]),
    ],
)
@pytest.mark.parametrize(
    ("program", "arguments"),
    [(BLOCKING, ("-t", "psu_1")), (ASYNCIO, ("-t", "aux", "--asyncio", "--name", "Supply"))],
    ids=["blocking", "asyncio"],
)
def test_type_checkers_know_the_methods(
    checker: str, options: list[str], program: str, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    pytest.importorskip(checker)
    (tmp_path / "interface.py").write_text(stubs(*arguments), encoding="utf-8")
    (tmp_path / "program.py").write_text(program)
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "standard"}')
    done = subprocess.run(
        [sys.executable, "-m", checker, *options, "program.py", "interface.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    errors = [line for line in done.stdout.splitlines() if " error:" in line]
    assert len(errors) == 1, done.stdout  # the last line, and no other
    assert '"float"' in done.stdout
    assert f"program.py:{len(program.splitlines())}" in errors[0]


def test_docstrings_and_defaults_are_those_of_the_server() -> None:
    source = stubs("-t", "psu_1")
    found: dict[str, Any] = {}
    exec(source, found)
    assert inspect.getdoc(found["Psu1"]) == inspect.getdoc(Psu)
    assert "def plain(self, x: Any, y: Any=1, *args: Any, **kwargs: Any) -> Any:" in source
    assert "unit: str='V', mode: Any | None=...) -> None:" in source
    assert "-> Iterator[float]:" in source
    assert found["__doc__"].startswith(f"`psu_1` of {HOST} port ")
    assert "import numpy" not in source


def listing(**argspec: Any) -> dict[str, Any]:
    return {"docstring": None, "methods": {"f": ({"args": ["self"], **argspec}, None)}}


def source(found: dict[str, Any], **options: Any) -> str:
    return source_of(found, "Lda", "x", **{"asynchronous": False, **options})


@pytest.mark.parametrize(
    ("annotation", "shown"),
    [
        ("int", "int"),
        ("np.ndarray", "np.ndarray"),
        ("ndarray", "np.ndarray"),
        ("numpy.float64", "np.float64"),
        ("list[np.ndarray]", "list[np.ndarray]"),
        ("typing.Optional[int]", "Optional[int]"),
        ("Tuple[int, ...]", "tuple[int, ...]"),
        ("dict[str, list[Unknown]]", "dict[str, list[Any]]"),
        ("Literal['a', 1]", "Literal['a', 1]"),
        ("Literal[f()]", "Any"),
        ("'int | None'", "int | None"),
        ("npt.NDArray[np.float64]", "Any"),
        ("np.os", "Any"),
        ("os.system('x')", "Any"),
        ("int[__import__('os').system('x')]", "int"),
        ("(lambda: 1)()", "Any"),
        ("x := 5", "Any"),
        ("", "Any"),
        ("1 +", "Any"),
        ("(" * 5000, "Any"),
        (5, "Any"),
        ("\ud800", "Any"),
    ],
)
def test_annotations_are_what_is_known(annotation: Any, shown: str) -> None:
    code = source(listing(annotations={"return": annotation}))
    assert f"def f(self) -> {shown}:" in code
    exec(compile(code, "stub", "exec"), {})


def test_what_a_generator_gives_is_an_iterator() -> None:
    for name in ("Generator[int, None, None]", "AsyncIterator[int]", "Iterable[int]"):
        code = source(listing(annotations={"return": name}))
        assert f"-> {'Iterable' if name[:4] == 'Iter' else 'Iterator'}[int]:" in code
        code = source(listing(annotations={"return": name}), asynchronous=True)
        assert "async def f(self) -> " in code
    assert "-> AsyncIterator[Any]:" in source(
        listing(annotations={"return": "Iterator"}), asynchronous=True
    )


@pytest.mark.parametrize(
    "argspec",
    [
        {"args": 5},
        {"args": ["self", "x\n    import os"]},
        {"args": ["self", "class"]},
        {"args": ["self", "x", "x"]},
        {"args": ["x"], "defaults": (1, 2)},
        {"args": ["self"], "varargs": "self"},
        {"args": ["self"], "kwonlyargs": [1]},
        {"args": ["self"], "annotations": 5},
    ],
)
def test_a_signature_that_is_none_is_that_of_any_function(argspec: dict[str, Any]) -> None:
    code = source({"docstring": None, "methods": {"f": (argspec, None), "g": 5}})
    assert "def f(self, *args: Any, **kwargs: Any) -> Any:" in code
    assert "def g(self, *args: Any, **kwargs: Any) -> Any:" in code


def test_no_word_of_a_server_becomes_code() -> None:
    evil = '"""\nimport os\nos.abort()\n"""'
    code = source(
        {
            "docstring": evil,
            "methods": {
                "f": ({"args": ["self", "x"], "defaults": (evil,)}, evil),
                "x(): import os\n": ({"args": []}, None),
                "class": ({"args": []}, None),
            },
            "properties": {"voltage": {"docstring": evil, "settable": True}, "a b": {}, "c": 5},
        }
    )
    tree = ast.parse(code)
    imported = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert [node.module for node in imported if isinstance(node, ast.ImportFrom)] == ["typing"]
    assert len(imported) == 1
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert r"'a b', 'c', 'class', 'x(): import os\n'" in ast.get_docstring(tree).replace(  # type: ignore[union-attr]
        "'class', 'x(): import os\\n', 'a b', 'c'", r"'a b', 'c', 'class', 'x(): import os\n'"
    )


@pytest.mark.parametrize("asynchronous", [False, True])
def test_properties_are_properties(asynchronous: bool) -> None:
    found = listing()
    found["properties"] = {
        "voltage": {"docstring": "In V.", "settable": True},
        "serial": {"docstring": None, "settable": False},
    }
    names: dict[str, Any] = {}
    exec(source(found, asynchronous=asynchronous), names)
    assert names["Lda"].voltage.__doc__ == "In V."
    assert (names["Lda"].voltage.fset is None) is asynchronous
    assert names["Lda"].serial.fset is None
    assert ("Property" in names) is asynchronous


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("lda", "Lda"),
        ("lda_2", "Lda2"),
        ("my-target 3", "MyTarget3"),
        ("2nd", "Target2nd"),
        ("any", "TargetAny"),
        ("---", "Target"),
        ("none", "TargetNone"),
    ],
)
def test_a_class_has_a_name_of_its_target(target: str, name: str) -> None:
    assert class_name(target) == name


def test_a_name_that_is_none_is_a_wrong_command_line() -> None:
    with rpc_server({"psu": Psu()}) as port:
        done = subprocess.run(
            [*COMMAND, str(port), "stubs", "--name", "a b"],
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
    assert (done.returncode, done.stdout) == (2, "")
    assert "a class needs a name that Python takes, got 'a b'" in done.stderr
