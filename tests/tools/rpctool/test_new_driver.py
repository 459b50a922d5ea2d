"""A new driver's package: it is made of a name, and its own tests pass at once."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sipyco_tools import sipyco_rpctool
from sipyco_tools._rpctool.new_driver import create_driver

pytestmark = pytest.mark.one_python


def test_the_files_are_named_after_the_driver(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "lda"
    files = create_driver("lda", directory, 3253)
    assert [path.as_posix() for path in files] == [
        "README.md",
        "lda.service",
        "pyproject.toml",
        "src/lda/__init__.py",
        "src/lda/__main__.py",
        "src/lda/device.py",
        "src/lda/driver.py",
        "src/lda/py.typed",
        "tests/conftest.py",
        "tests/test_driver.py",
        "tests/test_service.py",
    ]
    assert all((directory / path).is_file() for path in files)


def test_name_and_port_are_in_them(tmp_path: Path) -> None:
    create_driver("ion_pump", tmp_path, 3300)
    texts = {path.name: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert "class IonPump:" in texts["driver.py"]
    assert '"""Driver and network service of an ion pump."""' in texts["__init__.py"]
    assert "simple_network_args(parser, 3300, ssl=True, port_file=True)" in texts["__main__.py"]
    assert "ExecStart=/usr/local/bin/ion_pump " in texts["ion_pump.service"]
    assert not [name for name, text in texts.items() if "$" in text]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "digits and `_`, got ''$"),
        ("two words", "got 'two words'; did you mean 'two_words'"),
        ("dye-laser", "got 'dye-laser'; did you mean 'dye_laser'"),
        ("../lda", "got '../lda'; did you mean 'lda'"),
        ("class", "got 'class'$"),
        ("größe", "of lower-case letters"),
        ("Lda", "got 'Lda'; did you mean 'lda'"),
        ("_lda", "got '_lda'; did you mean 'lda'"),
        ("lda\n", "did you mean 'lda'"),
        ("json", "there is a module `json` already"),
        ("sipyco", "there is a module `sipyco` already"),
        ("sipyco_rpc", "there is a module `sipyco_rpc` already"),
        ("numpy", "there is a module `numpy` already"),
        ("tests", "there is a module `tests` already"),
    ],
)
def test_a_name_that_could_not_be_imported_is_refused(
    name: str, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=reason):
        create_driver(name, tmp_path / "new", 3253)
    assert not (tmp_path / "new").exists()


def test_a_directory_with_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(FileExistsError, match="not empty"):
        create_driver("lda", tmp_path, 3253)
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


def new(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr("sys.argv", ["sipyco_rpctool", "new", *words])
    sipyco_rpctool.main()


def test_the_command_makes_it_and_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    new(monkeypatch, "lda", str(tmp_path / "my lda"), "--port", "3300")
    printed = capsys.readouterr().out
    assert f"{tmp_path}/my lda/src/lda/driver.py\n" in printed
    assert f"  cd '{tmp_path}/my lda'\n" in printed
    assert "sipyco_rpctool localhost 3300 list-methods" in printed
    assert (tmp_path / "my lda" / "src" / "lda" / "driver.py").is_file()


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["lda"], 2, "the following arguments are required: DIRECTORY"),
        (
            ["Lda", "new"],
            2,
            "argument NAME: the name of a driver is a word that Python can import",
        ),
        (["lda", "full"], 1, "sipyco_rpctool new: the directory is not empty: full"),
        (["lda", "full/notes"], 1, "sipyco_rpctool new: "),
        (["3253"], 1, "connection error: new port 3253"),  # a host of that name
    ],
)
def test_what_cannot_be_made_is_one_line(
    words: list[str],
    status: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes").write_text("mine")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("socket.getaddrinfo", no_such_host)
    with pytest.raises(SystemExit) as ended:
        new(monkeypatch, *words)
    assert ended.value.code == status
    assert said in capsys.readouterr().err.splitlines()[-1]


def no_such_host(*arguments: object, **options: object) -> None:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@pytest.mark.slow
def test_its_own_tests_pass_and_its_types_are_sound(tmp_path: Path) -> None:
    create_driver("ion_pump", tmp_path, 3253)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["MYPYPATH"] = "src"  # nothing is installed
    for command in (
        ["pytest", "-q", "-p", "no:cacheprovider", "-W", "error"],
        ["mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "-p", "ion_pump"],
    ):
        run = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert run.returncode == 0, run.stdout + run.stderr
