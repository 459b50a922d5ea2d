"""A stored file is whole after kills, on full disks, without permission, and among rivals.

Its content is always one of the values that somebody stored, and what a failure leaves behind is
nothing; what a kill leaves behind is removed later.
"""

from __future__ import annotations

import builtins
import errno
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from sipyco_pyon import files, pyon

DEADLINE = 30.0  # seconds until a test that waits has failed
POSIX = pytest.mark.skipif(os.name != "posix", reason="the means of this test are those of POSIX")
TEMPORARY = re.compile(r"\.sipyco-[0-9a-f]{16}\.tmp")
HOUR = 3600


def run(code: str, *arguments: object, before: tuple[str, ...] = ()) -> str:
    """Run Python code in a process of its own; return what it printed."""
    command = [*before, sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 0, done.stderr
    return done.stdout


def left_behind(directory: Path) -> list[Path]:
    return [path for path in directory.iterdir() if TEMPORARY.fullmatch(path.name)]


# Killed.

STORE_UNTIL_KILLED = """
import os, random, signal, sys, threading
from sipyco_pyon import pyon

directory, kills, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
path = os.path.join(directory, "a.pyon")
moments = random.Random(seed)
values = ["a" * 300_000, "b" * 400_000]
pyon.store_file(path, values[0])
for _ in range(kills):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        pyon.store_file(path, values[1])
        os.write(writing, b"!")
        while True:
            for value in values:
                pyon.store_file(path, value)
    assert os.read(reading, 1) == b"!"
    os.close(reading), os.close(writing)
    threading.Event().wait(moments.uniform(0, 0.01))  # somewhere in a store: any moment is right
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert pyon.load_file(path) in values
    pyon.store_file(path, values[0])
    assert pyon.load_file(path) == values[0]
print("whole")
"""


@POSIX
def test_a_file_is_whole_after_kills_at_random_moments(tmp_path: Path) -> None:
    assert run(STORE_UNTIL_KILLED, tmp_path, 40, 20261125) == "whole\n"
    # Each kill left one temporary file at most, and a store by a new process removes them when
    # they are old; here they are made to be.
    left = left_behind(tmp_path)
    assert len(left) <= 40
    assert {path.name for path in tmp_path.iterdir()} == {"a.pyon", *(p.name for p in left)}
    for path in left:
        make_old(path)
    run(
        "import sys; from sipyco_pyon import pyon; pyon.store_file(sys.argv[1], 1)",
        *tmp_path.glob("a*"),
    )
    assert os.listdir(tmp_path) == ["a.pyon"]


KILLED_AT_A_STEP = """
import builtins, os, signal, sys
from sipyco_pyon import files, pyon

path, step = sys.argv[1:]

class Killing:
    def __init__(self, file):
        self.file = file
    def __enter__(self):
        return self
    def __exit__(self, *exc):
        self.file.close()
        kill("closed")
    def write(self, data):
        self.file.write(data[: len(data) // 2])
        self.file.flush()
        kill("half written")
        self.file.write(data[len(data) // 2 :])
    def flush(self):
        self.file.flush()
        kill("written")

def kill(now):
    if now == step:
        os.kill(os.getpid(), signal.SIGKILL)

def then(name, call, before=False):
    def wrapper(*args, **kwargs):
        if before:
            kill(name)
        result = call(*args, **kwargs)
        kill(name)
        return result
    return wrapper

files.open = lambda *args: Killing(builtins.open(*args))
os.open = then("made", os.open)
os.fsync = then("flushed", os.fsync)
os.replace = then("renamed", os.replace)
pyon.store_file(path, "new" * 10_000)
"""
STEPS = ["made", "half written", "written", "flushed", "closed", "renamed"]


@POSIX
@pytest.mark.parametrize("step", STEPS)
def test_a_file_is_whole_after_a_kill_at_each_step(step: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pyon"
    pyon.store_file(path, "old")
    command = [sys.executable, "-c", KILLED_AT_A_STEP, str(path), step]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert pyon.load_file(path) == ("new" * 10_000 if step == "renamed" else "old")
    assert len(left_behind(tmp_path)) == (0 if step == "renamed" else 1)
    pyon.store_file(path, "next")
    assert pyon.load_file(path) == "next"


def make_old(path: Path) -> None:
    then = path.stat().st_mtime - HOUR
    os.utime(path, (then, then), follow_symlinks=False)


def test_only_what_killed_processes_left_is_removed(tmp_path: Path) -> None:
    abandoned = tmp_path / ".sipyco-0123456789abcdef.tmp"
    others = [
        ".sipyco-0123456789ABCDEF.tmp",
        ".sipyco-0123456789abcde.tmp",
        ".sipyco-0123456789abcdef.tmp~",
        "0123456789abcdef.tmp",
        "a.tmp",
        "sipyco-0123456789abcdef.tmp",
    ]
    for name in [*others, abandoned.name]:
        (tmp_path / name).write_text("x")
        make_old(tmp_path / name)
    directory = tmp_path / ".sipyco-00000000000000aa.tmp"
    directory.mkdir()
    make_old(directory)
    fresh = tmp_path / ".sipyco-fedcba9876543210.tmp"
    fresh.write_text("somebody writes it now")
    pyon.store_file(tmp_path / "a", 1)
    assert sorted(os.listdir(tmp_path)) == sorted([*others, directory.name, fresh.name, "a"])


@POSIX
def test_a_link_with_the_name_of_a_temporary_file_is_left_alone(tmp_path: Path) -> None:
    link = tmp_path / ".sipyco-0123456789abcdef.tmp"
    (tmp_path / "target").write_text("x")
    make_old(tmp_path / "target")
    link.symlink_to("target")
    os.utime(link, (0, 0), follow_symlinks=False)
    pyon.store_file(tmp_path / "a", 1)
    assert sorted(os.listdir(tmp_path)) == [link.name, "a", "target"]


def test_a_directory_is_searched_once_in_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[Any] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: searched.append(path) or scandir(path))
    clock = [1000.0]
    monkeypatch.setattr(files.time, "monotonic", lambda: clock[0])
    pyon.store_file(tmp_path / "a", 1)
    clock[0] += 599
    pyon.store_file(tmp_path / "b", 1)
    assert searched == [os.path.realpath(tmp_path)]
    clock[0] += 1
    pyon.store_file(tmp_path / "c", 1)
    assert len(searched) == 2


def test_the_memory_of_what_was_searched_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_looked", {str(i): 0.0 for i in range(256)})
    pyon.store_file(tmp_path / "a", 1)
    assert list(files._looked) == [os.path.realpath(tmp_path)]


def test_who_was_only_slow_writes_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.pyon"
    replace = os.replace
    times = 2

    def somebody_was_faster(source: str, target: str) -> None:
        nonlocal times
        if times > 0:
            times -= 1
            os.unlink(source)
        replace(source, target)

    monkeypatch.setattr(os, "replace", somebody_was_faster)
    pyon.store_file(path, "new")
    assert pyon.load_file(path) == "new"
    times = 3
    with pytest.raises(FileNotFoundError, match="its temporary file is removed each time: ") as e:
        pyon.store_file(path, "newer")
    assert e.value.filename == str(path)
    assert pyon.load_file(path) == "new"


# Without room.


class Full:
    """A file on a disk that becomes full at one of the steps."""

    def __init__(self, file: Any, step: str) -> None:
        self._file, self._step = file, step

    def _fail(self, step: str) -> None:
        if step == self._step:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()
        self._fail("close")

    def write(self, data: bytes) -> None:
        self._file.write(data[: len(data) // 2])
        self._fail("write")

    def flush(self) -> None:
        self._file.flush()
        self._fail("flush")


@pytest.mark.parametrize(
    "step", ["write", "flush", "close", "os.open", "os.fsync", "os.chmod", "os.replace"]
)
def test_a_disk_that_is_full_at_some_step(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.pyon"
    pyon.store_file(path, "old")
    path.chmod(0o606)  # no umask gives this one

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "something internal")

    with monkeypatch.context() as patch:
        if step.startswith("os."):
            patch.setattr(os, step.removeprefix("os."), fail)
        else:
            ordinary = builtins.open
            patch.setattr(files, "open", lambda *a: Full(ordinary(*a), step), raising=False)
        with pytest.raises(OSError) as caught:
            pyon.store_file(path, "new")
    assert str(caught.value) == f"[Errno 28] No space left on device: {str(path)!r}"
    assert pyon.load_file(path) == "old"
    assert os.listdir(tmp_path) == ["a.pyon"]
    pyon.store_file(path, "new")
    assert pyon.load_file(path) == "new"


LIMITED = """
import resource, sys
from sipyco_pyon import pyon

resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
try:
    pyon.store_file(sys.argv[1], "new" * 100_000)
except OSError as exc:
    print(exc)
"""


@POSIX
def test_a_file_that_may_not_be_so_large(tmp_path: Path) -> None:
    path = tmp_path / "a.pyon"
    pyon.store_file(path, "old")
    assert run(LIMITED, path) == f"[Errno {errno.EFBIG}] File too large: {str(path)!r}\n"
    assert pyon.load_file(path) == "old"
    assert os.listdir(tmp_path) == ["a.pyon"]


ON_A_SMALL_DISK = """
import os, subprocess, sys
from sipyco_pyon import pyon

directory = sys.argv[1]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", directory], check=True)
path = os.path.join(directory, "a.pyon")

def fails(value):
    try:
        pyon.store_file(path, value)
    except OSError as exc:
        print(exc)
    assert pyon.load_file(path) == "old"
    assert set(os.listdir(directory)) <= {"a.pyon", "filler"}

pyon.store_file(path, "old")
fails("new" * 1_000_000)
with open(os.path.join(directory, "filler"), "wb", buffering=0) as filler:
    try:
        while True:
            filler.write(bytes(4096))
    except OSError:
        pass
fails("new")
os.unlink(os.path.join(directory, "filler"))
pyon.store_file(path, "new")
assert pyon.load_file(path) == "new"
pyon.store_file(path, "old")
subprocess.run(["mount", "-o", "remount,ro", directory], check=True)
fails("new")
"""


def mounting() -> tuple[str, ...]:
    """Return the command under which a process may mount, for itself alone."""
    for command in (("unshare", "-m"), ("unshare", "-rm")):
        if shutil.which("unshare") is None:
            break
        mount = [*command, "mount", "-t", "tmpfs", "tmpfs", tempfile.gettempdir()]
        if subprocess.run(mount, capture_output=True, timeout=DEADLINE).returncode == 0:
            return command
    pytest.skip("neither root nor user namespaces let this test mount a small disk")


@POSIX
def test_a_disk_that_is_full_and_one_that_is_read_only(tmp_path: Path) -> None:
    before = mounting()
    path = str(tmp_path / "a.pyon")
    assert run(ON_A_SMALL_DISK, tmp_path, before=before).splitlines() == [
        f"[Errno {errno.ENOSPC}] No space left on device: {path!r}",
        f"[Errno {errno.ENOSPC}] No space left on device: {path!r}",
        f"[Errno {errno.EROFS}] Read-only file system: {path!r}",
    ]


def test_the_content_is_on_the_disk_before_its_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noting_fsync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        done.append("directory" if stat.S_ISDIR(status.st_mode) else f"{status.st_size} bytes")
        fsync(descriptor)

    def noting_replace(source: str, target: str) -> None:
        done.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(os, "replace", noting_replace)
    pyon.store_file(tmp_path / "a", "text")
    assert done[:2] == ["6 bytes", "rename"]
    assert done[2:] == ["directory"] * (os.name == "posix")


# Without permission.


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that every user of this machine can reach; `tmp_path` is for one only."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


AS_NOBODY = """
import os, sys
from sipyco_pyon import pyon

pyon.encode("", pretty=True)  # all is loaded that is needed: nobody may not reach it
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
path = sys.argv[1]
try:
    pyon.load_file(path)
except PermissionError:
    print("out of reach")
    sys.exit()
try:
    pyon.store_file(path, "new")
except OSError as exc:
    print(type(exc).__name__, exc)
"""


@POSIX
def test_a_directory_without_permission(public: Path) -> None:
    path = public / "a.pyon"
    pyon.store_file(path, "old")
    path.chmod(0o666)  # the file may be written, but not be replaced
    public.chmod(0o555)
    said = run(AS_NOBODY, path)
    if said == "out of reach\n":
        pytest.skip(f"other users cannot reach {public}")
    assert said == (
        f"PermissionError [Errno 13] Permission denied: no file can be made in "
        f"{os.path.realpath(public)}: {str(path)!r}\n"
    )
    public.chmod(0o755)
    assert pyon.load_file(path) == "old"
    assert os.listdir(public) == ["a.pyon"]


@POSIX
def test_a_directory_that_may_be_written_and_not_be_read(public: Path) -> None:
    path = public / "a.pyon"
    pyon.store_file(path, "old")
    path.chmod(0o644)
    public.chmod(0o733)
    said = run(AS_NOBODY, path)
    if said == "out of reach\n":
        pytest.skip(f"other users cannot reach {public}")
    assert said == ""
    assert pyon.load_file(path) == "new"


@POSIX
def test_the_owner_stays_where_that_is_allowed(public: Path) -> None:
    path = public / "a.pyon"
    pyon.store_file(path, "old")
    if os.getuid() != 0:
        pytest.skip("only root gives files away")
    os.chown(path, 65534, 65533)
    path.chmod(0o640)
    pyon.store_file(path, "new")
    status = path.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (65534, 65533, 0o640)
    # Another user's file becomes that of who replaces it.
    os.chown(path, 0, 0)
    path.chmod(0o644)
    public.chmod(0o777)
    if run(AS_NOBODY, path) == "out of reach\n":
        pytest.skip(f"other users cannot reach {public}")
    status = path.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (65534, 65534, 0o644)


@POSIX
def test_a_secret_is_one_from_the_first_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.pyon"
    pyon.store_file(path, "old")
    path.chmod(0o600)
    modes: list[int] = []
    fdopen = builtins.open

    def noting(descriptor: int, mode: str) -> Any:
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return fdopen(descriptor, mode)

    monkeypatch.setattr(files, "open", noting, raising=False)
    umask = os.umask(0)
    try:
        pyon.store_file(path, "new")
    finally:
        os.umask(umask)
    assert modes == [0o600]


# Something else than a file.


def test_a_directory_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        pyon.store_file(path, 1)
    assert str(caught.value) == f"[Errno 21] Is a directory: {str(path)!r}"
    assert os.listdir(tmp_path) == ["a"]


@POSIX
def test_a_device_or_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a"
    os.mkfifo(path)
    for name in (str(path), os.devnull):
        with pytest.raises(OSError) as caught:
            pyon.store_file(name, 1)
        assert str(caught.value) == (
            f"[Errno 22] expected a regular file, got a device, a pipe or a socket: {name!r}"
        )
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    assert os.listdir(tmp_path) == ["a"]


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "nosuch" / "a"
    with pytest.raises(FileNotFoundError) as caught:
        pyon.store_file(path, 1)
    assert "no file can be made in " in str(caught.value)
    assert caught.value.filename == str(path)


@pytest.mark.parametrize("name", ["n" * 255, "é" * 127 + "n"], ids=["ascii", "utf-8"])
def test_a_name_of_255_bytes(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    try:
        path.touch()
    except OSError:
        pytest.skip("this file system has no names of 255 bytes")
    pyon.store_file(path, "new")
    assert pyon.load_file(path) == "new"
    assert os.listdir(tmp_path) == [name]


def test_a_name_that_is_too_long_is_said(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 300)
    with pytest.raises(OSError) as caught:
        pyon.store_file(path, 1)
    assert caught.value.filename == str(path)
    assert os.listdir(tmp_path) == []


# Links.


@POSIX
def test_chains_of_links_stay_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    data.mkdir()
    target = data / "target"
    pyon.store_file(target, "old")
    (tmp_path / "first").symlink_to("data/second")  # both relative to where they are
    (data / "second").symlink_to("../data/target")
    monkeypatch.chdir(data)
    for number, name in enumerate([tmp_path / "first", "../first", "second"]):
        pyon.store_file(name, number)
        assert pyon.load_file(target) == number
    assert os.readlink(tmp_path / "first") == "data/second"
    assert os.readlink(data / "second") == "../data/target"
    assert not target.is_symlink()
    assert sorted(os.listdir(data)) == ["second", "target"]
    assert sorted(os.listdir(tmp_path)) == ["data", "first"]


@POSIX
def test_a_dangling_link_gets_its_target(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("target")
    pyon.store_file(link, 1)
    assert link.is_symlink()
    assert pyon.load_file(tmp_path / "target") == 1
    lost = tmp_path / "lost"
    lost.symlink_to("nosuch/target")
    with pytest.raises(FileNotFoundError, match=r"no file can be made in .*nosuch") as caught:
        pyon.store_file(lost, 1)
    assert caught.value.filename == str(lost)
    assert lost.is_symlink()


@POSIX
def test_a_loop_of_links_is_said(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError) as caught:
        pyon.store_file(tmp_path / "a", 1)
    assert caught.value.errno == errno.ELOOP
    assert caught.value.filename == str(tmp_path / "a")
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


@POSIX
def test_another_hard_link_keeps_the_old_content(tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    pyon.store_file(path, "old")
    os.link(path, other)
    pyon.store_file(path, "new")
    assert pyon.load_file(path) == "new"
    assert pyon.load_file(other) == "old"


# Rivals.

STORE_MANY = """
import sys
from sipyco_pyon import pyon

path, letter, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
for _ in range(times):
    pyon.store_file(path, letter * 100_000)
"""


@POSIX  # Windows refuses to replace a file that somebody reads
def test_rivals_in_threads_and_processes(tmp_path: Path) -> None:
    path = tmp_path / "a.pyon"
    values = [letter * 100_000 for letter in "abcd"]
    pyon.store_file(path, values[0])
    failures: list[BaseException] = []

    def store(value: str) -> None:
        try:
            for _ in range(25):
                pyon.store_file(path, value)
        except BaseException as exc:
            failures.append(exc)

    processes = [
        subprocess.Popen([sys.executable, "-c", STORE_MANY, str(path), letter, "25"])
        for letter in "cd"
    ]
    threads = [threading.Thread(target=store, args=(value,)) for value in values[:2]]
    try:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            assert pyon.load_file(path) in values
        while any(process.poll() is None for process in processes):
            assert pyon.load_file(path) in values
        assert [process.wait(DEADLINE) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
            process.wait()
        for thread in threads:
            thread.join(DEADLINE)
    assert failures == []
    assert pyon.load_file(path) in values
    assert os.listdir(tmp_path) == ["a.pyon"]


# What some systems, and some users, cannot do.


def refuses(*args: Any, **kwargs: Any) -> Any:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


def test_a_directory_that_cannot_be_listed_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "scandir", refuses)
    pyon.store_file(tmp_path / "a", "new")
    assert pyon.load_file(tmp_path / "a") == "new"


@pytest.mark.parametrize("step", ["open", "fsync"])
def test_a_directory_that_cannot_be_flushed_is_written_to(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = getattr(os, step)

    def of_files_only(what: Any, *args: Any, **kwargs: Any) -> Any:
        if os.path.isdir(what):
            refuses()
        return original(what, *args, **kwargs)

    monkeypatch.setattr(os, step, of_files_only)
    pyon.store_file(tmp_path / "a", "new")
    assert pyon.load_file(tmp_path / "a") == "new"


@POSIX
def test_what_somebody_else_removes_at_the_same_time_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / ".sipyco-0123456789abcdef.tmp"
    left.write_text("half")
    make_old(left)
    monkeypatch.setattr(os, "unlink", refuses)
    pyon.store_file(tmp_path / "a", "new")
    assert sorted(os.listdir(tmp_path)) == [left.name, "a"]


@POSIX
def test_who_may_not_give_files_away_keeps_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    pyon.store_file(path, "old")
    if os.getuid() != 0:
        pytest.skip("only root can make a file of somebody else's")
    os.chown(path, 65534, 65533)
    path.chmod(0o640)
    monkeypatch.setattr(os, "fchown", refuses)
    pyon.store_file(path, "new")
    status = path.stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (0, 0o640)
    assert pyon.load_file(path) == "new"


def test_an_error_stays_the_first_one_if_the_rest_cannot_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    pyon.store_file(path, "old")
    monkeypatch.setattr(os, "unlink", refuses)
    monkeypatch.setattr(os, "replace", lambda *names: os.stat("/no/such/../file\0"))
    with pytest.raises(ValueError, match="null"):
        pyon.store_file(path, "new")
    assert pyon.load_file(path) == "old"
