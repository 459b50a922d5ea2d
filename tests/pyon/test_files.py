"""Files are the old ones or the new ones, and nothing else is left behind."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sipyco_pyon import migrate, pyon, pyon_v1


def test_store_and_load(tmp_path: Path) -> None:
    path = tmp_path / "a.pyon"
    pyon.store_file(path, {"é": (1,)})
    assert path.read_bytes() == (
        b'{\n    "\\u00e9": {\n        "__jsonclass__": [\n            "tuple",\n'
        b"            [\n                [\n                    1\n                ]\n"
        b"            ]\n        ]\n    }\n}"
    )
    assert pyon.load_file(str(path)) == {"é": (1,)}
    pyon_v1.store_file(path, {"b": 1, "a": 2})
    assert path.read_bytes() == b'{\n    "a": 2,\n    "b": 1\n}\n'
    assert pyon_v1.load_file(path) == {"a": 2, "b": 1}


def test_permission_bits_are_kept_or_ordinary(tmp_path: Path) -> None:
    ordinary = tmp_path / "ordinary"
    ordinary.write_text("")
    path = tmp_path / "new"
    pyon.store_file(path, 1)
    assert path.stat().st_mode == ordinary.stat().st_mode
    path.chmod(0o640)
    pyon.store_file(path, 2)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    pyon.store_file(target, 1)
    link.symlink_to(target)
    pyon.store_file(link, 2)
    assert link.is_symlink()
    assert pyon.load_file(target) == 2


def test_what_cannot_be_encoded_touches_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.pyon"
    with pytest.raises(TypeError):
        pyon.store_file(path, object())
    assert os.listdir(tmp_path) == []


def convert(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sipyco_pyon", str(path)]
    return subprocess.run(command, capture_output=True, text=True)


def test_files_are_converted_once(tmp_path: Path) -> None:
    path = tmp_path / "db.pyon"
    path.write_text("{'a': (1, 2)}\n")
    path.chmod(0o600)
    assert convert(path).returncode == 0
    assert pyon.load_file(path) == {"a": (1, 2)}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (tmp_path / "db.pyon_v1").read_text() == "{'a': (1, 2)}\n"
    again = convert(path)
    assert again.returncode == 1
    assert "FileExistsError" in again.stderr
    assert pyon.load_file(path) == {"a": (1, 2)}


def test_a_file_that_is_not_v1_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "db.pyon"
    path.write_text("exit()\n")
    done = convert(path)
    assert done.returncode == 1
    assert "ValueError" in done.stderr
    assert os.listdir(tmp_path) == ["db.pyon"]


def test_each_file_that_cannot_be_converted_is_a_line_and_the_others_are(tmp_path: Path) -> None:
    for name, text in (("a", "exit()\n"), ("\u00b5", "(1, )\n"), ("c", "(2, )\n")):
        (tmp_path / name).write_text(text)
    paths = [tmp_path / name for name in ("a", "\u00b5", "missing", "c")]
    done = subprocess.run(
        [sys.executable, "-m", "sipyco_pyon", *paths],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    lines = done.stderr.decode("ascii").splitlines()
    assert lines[0].startswith(f"{tmp_path}/a: ValueError: ")
    assert lines[1] == rf"{tmp_path}/\xb5: converted; the old file is {tmp_path}/\xb5_v1"
    assert lines[2].startswith(f"{tmp_path}/missing: FileNotFoundError: ")
    assert lines[3].startswith(f"{tmp_path}/c: converted; ")
    assert (len(lines), done.returncode) == (4, 1)
    assert pyon.load_file(tmp_path / "c") == (2,)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_files_are_converted_though_nobody_can_be_told(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text("(1, )\n")
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "sipyco_pyon", str(tmp_path / "a"), str(tmp_path / "b")]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=full)
    assert (done.stdout, done.returncode) == (b"", 0)
    assert pyon.load_file(tmp_path / "b") == (1,)


NO_LINKS = pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])


def without_links(*args: object) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


@NO_LINKS
def test_a_conversion_that_fails_changes_nothing(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "db.pyon"
    path.write_text("(1, )")
    if not links:
        monkeypatch.setattr(os, "link", without_links)

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left on device"):
            migrate.migrate(path)
    assert os.listdir(tmp_path) == ["db.pyon"]
    assert path.read_text() == "(1, )"
    assert migrate.migrate(path) == f"{path}_v1"
    assert pyon.load_file(path) == (1,)
    assert (tmp_path / "db.pyon_v1").read_text() == "(1, )"


@NO_LINKS
def test_a_conversion_that_is_interrupted_late_is_undone(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "db.pyon"
    path.write_text("(1, )")
    if not links:
        monkeypatch.setattr(os, "link", without_links)

    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    store_file = pyon.store_file
    monkeypatch.setattr(pyon, "store_file", lambda *a: interrupt(store_file(*a)))
    with pytest.raises(KeyboardInterrupt):
        migrate.migrate(path)
    assert os.listdir(tmp_path) == ["db.pyon"]
    assert path.read_text() == "(1, )"


KILLED = """
import os, signal, sys
from sipyco_pyon import migrate

os.replace = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
migrate.migrate(sys.argv[1])
"""


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGKILL")
def test_a_conversion_that_was_killed_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "db.pyon"
    path.write_text("(1, )")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], timeout=30)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_text() == "(1, )"  # programs still find their file
    assert convert(path).returncode == 0
    assert pyon.load_file(path) == (1,)
    assert (tmp_path / "db.pyon_v1").read_text() == "(1, )"


@pytest.mark.skipif(os.name != "posix", reason="on Windows links need privileges")
def test_a_file_behind_a_symbolic_link_is_converted(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    target, path = tmp_path / "data" / "db", tmp_path / "db.pyon"
    target.write_text("(1, )")
    path.symlink_to("data/db")
    assert migrate.migrate(path) == f"{path}_v1"
    assert path.is_symlink()
    assert pyon.load_file(target) == (1,)
    assert (tmp_path / "db.pyon_v1").read_text() == "(1, )"
