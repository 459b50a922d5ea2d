"""The command `sipyco_logserver`, as a process: what came is stored, and what is not is said."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from sipyco_rpc.pc_rpc import Client, SimpleSSLConfig
from sipyco_tools._logstore.query import Filter
from sipyco_tools._logstore.reading import CannotRead, LogReader
from support.certificates import identity
from support.environment import without_durations
from support.peers import DEADLINE, HOST, until
from support.programs import free_port

if sys.platform == "win32":
    pytest.skip("Windows ends programs without a signal", allow_module_level=True)

COMMAND = [sys.executable, "-m", "sipyco_tools.sipyco_logserver"]
BANNER = b"ARTIQ logging\n"
ROOT = os.getuid() == 0


class Logserver:
    """The process, and its port."""

    def __init__(self, process: subprocess.Popen[str], port: int, said: Path) -> None:
        self.process = process
        self.port = port
        self._said = said

    @property
    def said(self) -> str:
        """What it has said on standard error."""
        return self._said.read_text()

    def send(self, *lines: str) -> None:
        with socket.create_connection((HOST, self.port), DEADLINE) as sock:
            sock.sendall(BANNER + "".join(f"{line}\n" for line in lines).encode())

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(DEADLINE)


@contextmanager
def logserver(
    directory: Path, *arguments: object, env: Mapping[str, str] | None = None, **options: Any
) -> Iterator[Logserver]:
    """Run the command; unless told otherwise, with a database in a directory."""
    port = free_port()
    said = directory / "said"
    options.setdefault("stdout", subprocess.DEVNULL)
    command = [*COMMAND, "--no-localhost-bind", "--bind", HOST, "--port", str(port)]
    environment = {**os.environ, "SIPYCO_LOGS": str(directory / "logs.db"), **(env or {})}
    with open(said, "w") as errors:
        process = subprocess.Popen(
            [*command, *map(str, arguments)],
            stderr=errors,
            text=True,
            env=environment,
            **options,
        )
    try:
        until(lambda: f" on {HOST} port " in said.read_text() or process.poll() is not None)
        assert process.poll() is None, said.read_text()
        yield Logserver(process, port, said)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def fails(*arguments: object, **options: Any) -> str:
    """Run the command, which cannot start; return the line that says why."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        **options,
    )
    assert (done.returncode, done.stdout) == (1, "")
    said = without_durations(done.stderr)
    assert said.startswith("sipyco_logserver: ")
    assert said.count("\n") == 1
    return said.removeprefix("sipyco_logserver: ").removesuffix("\n")


def stored(path: Path) -> list[str]:
    """Return the messages that other programs have sent; none while there is no database."""
    try:
        with closing(LogReader(path)) as reader:
            rows = list(reader.rows(Filter(by_arrival=True), None, reader.last_id()))
    except CannotRead:
        return []
    return [row.message for row in rows if row.source != "sipyco_logserver"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_has_come_is_stored_when_it_is_stopped(
    number: signal.Signals, tmp_path: Path
) -> None:
    database, file = tmp_path / "logs.db", tmp_path / "lab.log"
    with logserver(tmp_path, "--file", file) as server:
        server.send("laser:ERROR<2>:laser.lock:lost", "Traceback")
        until(lambda: stored(database))
        with socket.create_connection((HOST, server.port), DEADLINE) as sock:
            sock.sendall(BANNER + b"".join(b"s:INFO:n:%d\n" % n for n in range(2000)))
            until(lambda: "1999" in stored(database))
            sock.sendall(b"s:INFO:n:the last\n")
            assert server.end(number) == 0
    assert stored(database)[0] == "lost\nTraceback"
    assert stored(database)[-1] == "the last"
    assert len(stored(database)) == 2002
    assert " laser ERROR:laser.lock:lost\n    Traceback\n" in file.read_text()
    assert file.read_text().count(" s INFO:n:") == 2001
    lines = without_durations(server.said).splitlines()
    ready = next(line for line in lines if "storing in" in line)
    assert " sipyco_logserver INFO:sipyco.logs:" in ready
    assert f"storing in the database {database} and the file {file}" in ready
    reason = "SIGTERM" if number == signal.SIGTERM else "Ctrl-C"
    assert lines[-2].endswith(f":stopping, with what has come until now: {reason}")
    assert lines[-1].endswith(":stopped; 2002 records were received")


def test_a_kill_loses_nothing_that_was_stored(tmp_path: Path) -> None:
    database = tmp_path / "logs.db"
    for number in range(3):
        with logserver(tmp_path) as server:
            server.send(*(f"s:INFO:n:{number} {n}" for n in range(500)))
            until(lambda number=number: f"{number} 499" in stored(database))  # type: ignore[misc]
            server.process.kill()
            server.process.wait(DEADLINE)
    assert len(stored(database)) == 1500


def test_what_comes_is_printed_where_nothing_is_stored(tmp_path: Path) -> None:
    with logserver(tmp_path, "--no-database", stdout=subprocess.PIPE) as server:
        server.send("laser:INFO:n:\x1b[2J locked")
        assert server.process.stdout is not None
        line = server.process.stdout.readline()
        assert line.endswith(" laser INFO:n:\\x1b[2J locked\n")
        server.process.stdout.close()
        server.send("laser:INFO:n:nobody reads this")  # as with `| head -1`
        assert server.process.wait(DEADLINE) == 0
    assert not (tmp_path / "logs.db").exists()


def test_a_pipe_that_nobody_reads_does_not_keep_it_from_ending(tmp_path: Path) -> None:
    with logserver(tmp_path, "--print", stdout=subprocess.PIPE) as server:
        server.send(*(f"s:INFO:n:{number}" for number in range(20_000)))
        until(lambda: len(stored(tmp_path / "logs.db")) == 20_000)
        assert server.end() == 0  # nothing is lost in the database
        assert re.search(
            r"^standard output: \d+ records were not written$", server.said, re.MULTILINE
        )


def test_records_that_come_while_it_stops_are_counted(tmp_path: Path) -> None:
    with logserver(tmp_path) as server:
        with socket.create_connection((HOST, server.port), DEADLINE) as sock:
            sock.sendall(BANNER + b"s:INFO:n:before\n")
            until(lambda: stored(tmp_path / "logs.db") == ["before"])
            server.process.send_signal(signal.SIGTERM)
            assert sock.recv(1) == b""  # it has told that it stops
            sock.sendall(b"s:INFO:n:after\n")
        assert server.process.wait(DEADLINE) == 0
        assert server.said.endswith(":stopped; 2 records were received\n")
    assert stored(tmp_path / "logs.db") == ["before", "after"]


def test_what_is_printed_has_a_level(tmp_path: Path) -> None:
    with logserver(tmp_path, "--print", "warning", stdout=subprocess.PIPE) as server:
        server.send("s:INFO:n:not this", "s:ERROR:n:but this")
        assert server.process.stdout is not None
        assert server.process.stdout.readline().endswith(" s ERROR:n:but this\n")
        server.end()
        assert server.process.stdout.read() == ""  # nor anything but records
    assert stored(tmp_path / "logs.db") == ["not this", "but this"]


def test_a_terminal_shows_what_comes(tmp_path: Path) -> None:
    import pty

    ours, theirs = pty.openpty()
    try:
        environment = {"TERM": "xterm", "NO_COLOR": ""}
        with logserver(tmp_path, stdout=theirs, env=environment) as server:
            server.send("laser:ERROR:n:lost")
            shown = b""
            while b"lost\x1b[0m" not in shown:
                shown += os.read(ours, 1000)
            assert b"\x1b[31mERROR:n:lost\x1b[0m" in shown
            server.end()
    finally:
        os.close(ours)
        os.close(theirs)


def test_how_much_it_says_of_itself(tmp_path: Path) -> None:
    port = free_port()
    arguments = ["--no-localhost-bind", "--bind", HOST, "--port", str(port), "-q"]
    process = subprocess.Popen(
        [*COMMAND, *arguments, "--database", str(tmp_path / "logs.db")],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        until(lambda: stored_anything(port))
        until(lambda: "x" in stored(tmp_path / "logs.db"))
        process.terminate()
        _, said = process.communicate(timeout=DEADLINE)
    finally:
        process.kill()
        process.communicate()
    assert without_durations(said) == ""


def stored_anything(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), DEADLINE) as sock:
            sock.sendall(BANNER + b"s:INFO:n:x\n")
    except ConnectionRefusedError:
        return False
    return True


def test_it_tells_its_status(tmp_path: Path) -> None:
    port = free_port()
    with logserver(tmp_path, "--status-port", port) as server:
        server.send("s:INFO:n:x")
        until(lambda: stored(tmp_path / "logs.db"))
        with Client(HOST, port, timeout=DEADLINE) as client:
            [status] = client.get_rpc_status()["log_servers"]
            assert list(client.get_rpc_method_list()["methods"]) == []
        assert status["received"] == 1
        assert status["addresses"] == [{"host": HOST, "port": server.port}]
        [store] = status["stores"]
        assert store["where"] == f"the database {tmp_path / 'logs.db'}"
        assert (store["lost"], store["failing_for_seconds"]) == (0, None)
        assert server.end() == 0
    assert f"status on port {port}" in server.said
    assert "serving sipyco_logserver" not in server.said  # what is ready is said in one line


def test_its_port_is_in_a_file_while_it_can_be_used(tmp_path: Path) -> None:
    path = tmp_path / "port"
    with logserver(tmp_path, "--port", 0, "--port-file", path) as server:
        until(path.exists)
        server.port = int(path.read_text())
        server.send("s:INFO:n:x")
        until(lambda: stored(tmp_path / "logs.db") == ["x"])
        assert server.end() == 0
    assert not path.exists()


def test_output_that_nobody_takes_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with logserver(tmp_path, "--print", stdout=subprocess.PIPE) as server:
        server.send(*["s:INFO:n:" + 1000 * "x"] * 1000)  # more than a pipe holds
        until(lambda: len(stored(tmp_path / "logs.db")) == 1000)
        assert server.end() == 0
    assert re.search(r"^standard output: \d+ records were not written$", server.said, re.MULTILINE)


def test_records_come_by_tls(tmp_path: Path) -> None:
    ours, theirs = identity("client"), identity("server")
    with logserver(tmp_path, "--ssl", *theirs, ours.cert) as server:
        context = SimpleSSLConfig(*ours, theirs.cert).create_client_context()
        with socket.create_connection((HOST, server.port), DEADLINE) as plain:
            with context.wrap_socket(plain, server_hostname=HOST) as sock:
                sock.sendall(BANNER + b"s:INFO:n:in secret\n")
        until(lambda: stored(tmp_path / "logs.db") == ["in secret"])
        assert server.end() == 0


def test_systemd_is_told_when_it_is_ready_and_when_it_stops(tmp_path: Path) -> None:
    with (
        tempfile.TemporaryDirectory() as name,  # the path of such a socket must be short
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
    ):
        manager.settimeout(DEADLINE)
        manager.bind(f"{name}/notify")
        with logserver(tmp_path, env={"NOTIFY_SOCKET": f"{name}/notify"}) as server:
            assert manager.recv(10_000).startswith(b"READY=1\nSTATUS=receiving log records on ")
            assert server.end() == 0
        assert manager.recv(10_000) == b"STOPPING=1\nSTATUS=SIGTERM"


# --- what it cannot do is said -------------------------------------------------------------------


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as sock:
        port = sock.getsockname()[1]
        line = fails(
            *("--no-localhost-bind", "--bind", HOST, "--port", port, "-q"),
            *("--database", tmp_path / "logs.db"),
        )
    assert "ddress already in use" in line
    assert str(port) in line


def test_a_certificate_that_is_not_there_is_said(tmp_path: Path) -> None:
    line = fails(
        "--port", "0", "--ssl", "no.pem", "no.key", "x.pem", "--no-database", cwd=tmp_path
    )
    assert "no.pem" in line


@pytest.mark.parametrize("option", ["--database", "--file"])
def test_a_directory_that_is_not_there_is_said(option: str, tmp_path: Path) -> None:
    path = tmp_path / "no" / "logs"
    more = ["--no-database"] if option == "--file" else []
    line = fails(option, path, *more)
    assert line.startswith(f"the {'file' if more else 'database'} {path} cannot be written: ")
    assert "No such file or directory" in line
    assert str(path.parent) in line


def test_a_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "results.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE results (x)")
    before = path.read_bytes()
    assert fails("--database", path) == f"{path} is a database of something else than logs"
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max-size", "1k"], "argument --max-size: expected at least 1M, got '1k'"),
        (["--max-size", "much"], "expected a size such as 65536, 64K or 2G, got 'much'"),
        (["--max-age", "5"], "expected how long, such as 30d, 12h or 8w, got '5'"),
        (["--rotate", "hour"], "expected `day` or a size such as 100M, got 'hour'"),
        (["--keep", "0"], "argument --keep: expected a whole number of at least 1, got '0'"),
        (["--print", "loud"], "expected one of TRACE, DEBUG, INFO, WARNING, ERROR, CRITICAL, or"),
        (["--database", ""], "argument --database: expected a file, got an empty name"),
        (["--database", "x", "--no-database"], "not allowed with argument --database"),
        (["--status-port", "99999"], "argument --status-port: "),
    ],
)
def test_a_wrong_command_line(arguments: list[str], message: str) -> None:
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 2
    assert message in done.stderr


# --- the default ---------------------------------------------------------------------------------


def test_both_commands_know_where_the_database_is(tmp_path: Path) -> None:
    environment = {"SIPYCO_LOGS": "", "XDG_STATE_HOME": str(tmp_path / "state")}
    with logserver(tmp_path, env=environment) as server:
        server.send("s:INFO:n:found")
        until(lambda: stored(tmp_path / "state" / "sipyco" / "logs.db") == ["found"])
        assert server.end() == 0
    assert (tmp_path / "state" / "sipyco").stat().st_mode & 0o777 == 0o700
    done = subprocess.run(
        [sys.executable, "-m", "sipyco_tools.sipyco_logs", "foun"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("~ s INFO:n:found\n")


# --- disks ---------------------------------------------------------------------------------------


def test_a_damaged_database_is_set_aside_and_said(tmp_path: Path) -> None:
    database = tmp_path / "logs.db"
    with logserver(tmp_path) as server:
        server.send("s:INFO:n:before")
        until(lambda: stored(database))
    with open(database, "rb+") as file:
        file.write(os.urandom(4096))
    for suffix in ("-wal", "-shm"):
        database.with_name(f"logs.db{suffix}").unlink(missing_ok=True)
    with logserver(tmp_path) as server:
        server.send("s:INFO:n:after")
        until(lambda: stored(database) == ["after"])
        assert server.end() == 0
    said = r" is damaged \(.*\): it was set aside as logs\.db\.damaged-\d+-1, and a new one is "
    assert re.search(said, server.said)
    assert list(tmp_path.glob("logs.db.damaged-*-1"))


def test_a_directory_that_is_gone_is_said_once_and_used_when_it_is_back(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    database, file = there / "logs.db", there / "lab.log"
    with logserver(tmp_path, "--database", database, "--file", file) as server:
        server.send("s:INFO:n:before")
        until(lambda: stored(database) and file.exists() and "before" in file.read_text())
        shutil.rmtree(there)
        server.send("s:INFO:n:meanwhile")
        until(lambda: server.said.count("cannot be written") == 2)
        server.send("s:INFO:n:goes on")
        there.mkdir()
        until(lambda: stored(database)[-2:] == ["meanwhile", "goes on"])
        until(lambda: server.said.count("is written again") == 2)
        assert server.end() == 0
    assert server.said.count("cannot be written") == 2
    assert server.said.count("; 0 records were lost") == 2
    assert "goes on" in file.read_text()


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    if sys.platform != "linux" or not ROOT:
        pytest.skip("only root can make a small disk")
    with tempfile.TemporaryDirectory() as name:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}M", "tmpfs", name]
        if subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("this container may not mount")
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", name], check=True)


def test_a_full_disk_is_said_and_it_goes_on_receiving_and_recovers(tmp_path: Path) -> None:
    with small_disk(3) as disk:
        database, file = disk / "logs.db", disk / "lab.log"
        with logserver(tmp_path, "--database", database, "--file", file) as server:
            server.send("s:INFO:n:before")
            until(lambda: stored(database) == ["before"])
            with open(disk / "fill", "wb", buffering=0) as fill:
                while fill_up(fill):
                    pass
            for number in range(10):
                server.send(*(f"s:INFO:n:{number} {n} {'x' * 200}" for n in range(300)))
            until(lambda: server.said.count("cannot be written") == 2)
            server.send("s:INFO:n:it still receives")
            (disk / "fill").unlink()
            until(lambda: stored(database)[-1:] == ["it still receives"])
            until(lambda: server.said.count("is written again") == 2)
            assert server.end() == 0
            assert len(stored(database)) == 3002
            assert file.read_text().count(" s INFO:n:") == 3002
        assert server.said.count("cannot be written") == 2
        assert server.said.count("; 0 records were lost") == 2


def fill_up(file: Any) -> bool:
    try:
        return bool(file.write(b"x" * 4096))
    except OSError:
        return False


def test_a_disk_that_is_full_when_it_starts_and_when_it_ends(tmp_path: Path) -> None:
    with small_disk(1) as disk:
        with open(disk / "fill", "wb", buffering=0) as fill:
            while fill_up(fill):
                pass
        with logserver(tmp_path, "--database", disk / "logs.db") as server:
            server.send("s:INFO:n:not stored")
            until(lambda: "cannot be written: database or disk is full" in server.said)
            assert server.end() == 1
        assert re.search(
            r"^the database .*: \d records were not written$", server.said, re.MULTILINE
        )


@pytest.mark.parametrize("full", ["no room", "no more files"])
def test_a_disk_that_is_full_when_it_starts_again(full: str, tmp_path: Path) -> None:
    with small_disk(1) as disk:
        database = disk / "logs.db"
        with logserver(tmp_path, "--database", database) as server:
            server.send("s:INFO:n:before")
            until(lambda: stored(database) == ["before"])
            assert server.end() == 0
        remount = ["mount", "-o", "remount,nr_inodes=2", str(disk)]
        if full == "no room":
            with open(disk / "fill", "wb", buffering=0) as fill:
                while fill_up(fill):
                    pass
        elif subprocess.run(remount, capture_output=True).returncode:
            pytest.skip("this system does not count the files of such a disk")
        assert stored(database) == ["before"]  # to be read, too
        with logserver(tmp_path, "--database", database) as server:
            server.send("s:INFO:n:waits")
            until(lambda: f"cannot be written: No space left on device: {disk};" in server.said)
            assert stored(database) == ["before"]
            (disk / "fill").unlink(missing_ok=True)
            subprocess.run(["mount", "-o", "remount,nr_inodes=100", str(disk)], check=True)
            until(lambda: stored(database) == ["before", "waits"])
            assert server.end() == 0
