"""The command `sipyco_certs`: what it makes works in TLS, and what is there is never lost."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import io
import os
import re
import shutil
import signal
import ssl
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sipyco_rpc.pc_rpc import Client, Server, SimpleSSLConfig
from sipyco_tools import sipyco_certs
from support.peers import DEADLINE, HOST, running_server

NEEDS_CRYPTOGRAPHY = pytest.mark.skipif(
    importlib.util.find_spec("cryptography") is None,
    reason="making certificates needs cryptography, the extra `certs`",
)
POSIX = pytest.mark.skipif(os.name != "posix", reason="Windows has no such permissions")
MODULE = [sys.executable, "-m", "sipyco_tools.sipyco_certs"]
DATE = r"\d\d\d\d-\d\d-\d\d"


class Done(NamedTuple):
    status: int
    out: str
    err: str


def certs(*arguments: object) -> Done:
    """Run the command in this process, which is faster; `process` is the real one."""
    out, err = io.StringIO(), io.StringIO()
    status: Any = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["sipyco_certs", *map(str, arguments)])
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                sipyco_certs.main()
            except SystemExit as exc:
                status = exc.code
                if isinstance(status, str):  # what the interpreter does with it
                    print(status, file=sys.stderr)
                    status = 1
    return Done(status, out.getvalue(), err.getvalue())


def process(*arguments: object, **options: Any) -> Done:
    done = subprocess.run(
        [*MODULE, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        **options,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def modes(directory: Path) -> dict[str, str]:
    return {
        path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in sorted(directory.iterdir())
    }


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def in_clients(directory: Path) -> list[str]:
    """Return the names in the comments of `clients.pem`, and look that TLS finds as many."""
    path = directory / "clients.pem"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_verify_locations(path)
    names = re.findall(rf"^# (.*), until {DATE}$", path.read_text(), re.MULTILINE)
    assert context.cert_store_stats()["x509"] == len(names)
    return names


class Target:
    def echo(self, x: Any) -> Any:
        return x


def keywords(directory: Path, own: str, peer: str) -> dict[str, Any]:
    return {
        "local_cert": directory / f"{own}.pem",
        "local_key": directory / f"{own}.key",
        "peer_cert": directory / f"{peer}.pem",
    }


def config(directory: Path, own: str, peer: str) -> dict[str, Any]:
    return {"ssl_config": SimpleSSLConfig(*keywords(directory, own, peer).values())}


def call(port: int, **how: Any) -> Any:
    with Client(HOST, port, timeout=DEADLINE, **how) as client:
        return client.echo(1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a server for this host, and two clients; tests only read it."""
    directory = tmp_path_factory.mktemp("certs") / "made"
    assert certs(directory, "--client", "alice", "--client", "bob").status == 0
    return directory


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    """The same, to change."""
    return Path(shutil.copytree(made, tmp_path / "copy"))


# What it makes.


@NEEDS_CRYPTOGRAPHY
@POSIX
def test_keys_are_for_their_owner_whatever_the_umask(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "certs"
    done = process(directory, "--client", "alice", "--client", "bob", umask=0)
    assert (done.status, done.err) == (0, "")
    assert modes(directory) == {
        "alice.key": "0o600",
        "alice.pem": "0o644",
        "bob.key": "0o600",
        "bob.pem": "0o644",
        "clients.pem": "0o644",
        "server.key": "0o600",
        "server.pem": "0o644",
    }
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    key = (directory / "server.key").read_text()
    assert key.startswith("-----BEGIN PRIVATE KEY-----\n")  # PKCS#8, not encrypted


@NEEDS_CRYPTOGRAPHY
@POSIX
def test_keys_are_private_from_the_first_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: dict[str, int] = {}
    ordinary = os.open

    def noting(path: Any, flags: int, mode: int = 0o777) -> int:
        descriptor = ordinary(path, flags, mode)
        if flags & os.O_CREAT:
            assert flags & os.O_EXCL
            status = os.fstat(descriptor)
            assert status.st_size == 0
            opened[Path(path).name] = stat.S_IMODE(status.st_mode)
        return descriptor

    umask = os.umask(0)
    try:
        monkeypatch.setattr(os, "open", noting)
        assert certs(tmp_path / "new").status == 0
    finally:
        os.umask(umask)
    assert opened["server.key"] == opened["client.key"] == 0o600
    assert opened["server.pem"] == opened["client.pem"] == 0o644


@NEEDS_CRYPTOGRAPHY
def test_it_says_what_goes_where(tmp_path: Path) -> None:
    directory = tmp_path / "certs"
    done = certs(directory, "--host", "192.168.1.100", "--host", "MyLab.example", "--days", 100)
    both = "192.168.1.100, mylab.example"
    lines = done.out.splitlines()
    assert lines[:12] == [
        f"in {directory.resolve()}:",
        "made server.key, server.pem",
        "made client.key, client.pem, and put client into clients.pem",
        "",
        "the server needs server.pem, server.key and clients.pem:",
        '  local_cert="server.pem", local_key="server.key", peer_cert="clients.pem"',
        "  --ssl server.pem server.key clients.pem",
        "client needs client.pem, client.key and server.pem:",
        '  local_cert="client.pem", local_key="client.key", peer_cert="server.pem"',
        "  sipyco_rpctool --ssl client.pem client.key server.pem HOST PORT ...",
        "each key is for its owner alone; the .pem files are no secret",
        "",
    ]
    assert [re.sub(DATE, "DATE", line) for line in lines[12:]] == [
        "ok  client.pem: client: until DATE, 99 days",
        "ok  clients.pem: client: until DATE, 99 days",
        f"ok  server.pem: server at 192.168.1.100: until DATE, 99 days, for {both}",
    ]
    assert (done.status, done.err) == (0, "")


# In use.


@NEEDS_CRYPTOGRAPHY
def test_the_command_that_it_prints_works(tmp_path: Path) -> None:
    printed = re.search(r"sipyco_rpctool (--ssl .*) HOST PORT", certs(tmp_path).out)
    assert printed is not None
    how = keywords(tmp_path, "server", "clients")
    with running_server(lambda: Server({"t": Target()}), **how) as port:
        tool = [sys.executable, "-m", "sipyco_tools.sipyco_rpctool", *printed[1].split()]
        done = subprocess.run(
            [*tool, HOST, str(port), "list-targets"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
    assert (done.stdout, done.stderr) == ("Target(s):   t\n", "")


@NEEDS_CRYPTOGRAPHY
@pytest.mark.parametrize("way", [keywords, config])
def test_they_work_in_tls(made: Path, way: Any) -> None:
    with running_server(lambda: Server({"t": Target()}), **way(made, "server", "clients")) as port:
        assert call(port, **way(made, "alice", "server")) == 1
        assert call(port, **way(made, "bob", "server")) == 1


@NEEDS_CRYPTOGRAPHY
@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_the_host_is_compared(made: Path, tmp_path: Path, host: str) -> None:
    assert handshake(
        context(made, "server", "clients", True), context(made, "alice", "server", False), host
    )
    with pytest.raises(ssl.SSLCertVerificationError, match="not valid for 'elsewhere'"):
        handshake(
            context(made, "server", "clients", True),
            context(made, "alice", "server", False),
            "elsewhere",
        )


@NEEDS_CRYPTOGRAPHY
def test_a_stranger_is_refused(made: Path, tmp_path: Path) -> None:
    assert certs(tmp_path / "other", "--client", "alice").status == 0
    stranger = keywords(tmp_path / "other", "alice", "server")
    stranger["peer_cert"] = made / "server.pem"
    how = keywords(made, "server", "clients")
    with running_server(lambda: Server({"t": Target()}), **how) as port:
        with pytest.raises((ConnectionResetError, EOFError)):
            call(port, **stranger)
        assert call(port, **keywords(made, "alice", "server")) == 1


def context(directory: Path, own: str, peer: str, server: bool, flags: int = 0) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags = ssl.VerifyFlags(flags)
    made.load_cert_chain(directory / f"{own}.pem", directory / f"{own}.key")
    made.load_verify_locations(directory / f"{peer}.pem")
    return made


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> bool:
    """Let two contexts talk to each other, in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    waiting = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(10):
        for side in list(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)
        if not waiting:
            return True
    return False


FLAGS = {
    "plain": 0,
    "partial": ssl.VERIFY_X509_PARTIAL_CHAIN,
    "strict": ssl.VERIFY_X509_STRICT,
    "strict and partial": ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN,
}


@NEEDS_CRYPTOGRAPHY
@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
def test_strict_and_lenient_verifiers_accept_them(made: Path, flags: int) -> None:
    assert handshake(
        context(made, "server", "clients", True, flags),
        context(made, "alice", "server", False, flags),
        "127.0.0.1",
    )


@NEEDS_CRYPTOGRAPHY
def test_the_server_may_be_a_client_but_no_client_a_server(made: Path) -> None:
    assert handshake(
        context(made, "server", "server", True), context(made, "server", "server", False), HOST
    )
    client = context(made, "server", "alice", False)
    client.check_hostname = False
    with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
        handshake(context(made, "alice", "server", True), client, HOST)


@NEEDS_CRYPTOGRAPHY
def test_a_client_cannot_sign_another(made: Path, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    for name in ("alice.pem", "alice.key", "clients.pem", "server.pem", "server.key"):
        shutil.copy(made / name, tmp_path)

    def run(*arguments: str) -> None:
        subprocess.run([str(openssl), *arguments], cwd=tmp_path, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    run("req", *key, "-keyout", "eve.key", "-out", "eve.csr", "-subj", "/CN=eve")
    run(
        *[
            "x509",
            "-req",
            "-in",
            "eve.csr",
            "-CA",
            "alice.pem",
            "-CAkey",
            "alice.key",
            "-out",
            "leaf.pem",
        ]
    )
    (tmp_path / "eve.pem").write_bytes(
        (tmp_path / "leaf.pem").read_bytes() + (tmp_path / "alice.pem").read_bytes()
    )
    server = context(tmp_path, "server", "clients", True, ssl.VERIFY_X509_PARTIAL_CHAIN)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, context(tmp_path, "eve", "server", False), HOST)


# What is there already.


@NEEDS_CRYPTOGRAPHY
@pytest.mark.parametrize(
    ("arguments", "file", "hint"),
    [
        (["--client", "alice"], "alice.pem", "--client alice --force"),
        (["--client", "carol", "--client", "bob"], "bob.pem", "--client bob --force"),
        (["--host", "::1"], "server.pem", "--host HOST --force"),
    ],
)
def test_nothing_is_overwritten(copy: Path, arguments: list[str], file: str, hint: str) -> None:
    before = contents(copy)
    done = certs(copy, *arguments)
    assert done.status == 1
    assert done.err == f"sipyco_certs: {copy / file} exists already; {hint} replaces it\n"
    assert contents(copy) == before


@NEEDS_CRYPTOGRAPHY
@pytest.mark.parametrize(
    ("arguments", "file"),
    [(["--host", "::1"], "client.key"), (["--client", "alice"], "server.key")],
)
def test_force_does_not_replace_what_is_not_named(
    tmp_path: Path, arguments: list[str], file: str
) -> None:
    (tmp_path / file).write_text("made by somebody else")
    done = certs(tmp_path, *arguments, "--force")
    assert (done.status, done.out) == (1, "")
    assert f"{tmp_path / file} exists already; " in done.err
    assert contents(tmp_path) == {file: b"made by somebody else"}


@NEEDS_CRYPTOGRAPHY
@pytest.mark.parametrize("name", ["alice.key", "server.key", "clients.pem"])
def test_a_part_that_is_left_is_not_overwritten_either(copy: Path, name: str) -> None:
    for path in copy.iterdir():
        if path.name != name:
            path.unlink()
    before = contents(copy)
    done = certs(copy, "--client", "alice")
    assert (done.status, done.out) == (1, "")
    assert str(copy / name) in done.err
    assert contents(copy) == before


@NEEDS_CRYPTOGRAPHY
@POSIX
def test_no_link_is_written_through(tmp_path: Path) -> None:
    directory, elsewhere = tmp_path / "certs", tmp_path / "elsewhere"
    directory.mkdir()
    (directory / "server.key").symlink_to(elsewhere)
    assert certs(directory).status == 1
    assert not elsewhere.exists()


@NEEDS_CRYPTOGRAPHY
def test_what_appears_in_the_meantime_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os.path, "lexists", lambda path: False)
    directory = tmp_path / "certs"
    directory.mkdir()
    (directory / "client.pem").write_text("somebody else's")
    done = certs(directory)
    assert done.status == 1
    assert f"File exists: {str(directory / 'client.pem')!r}" in done.err
    assert contents(directory) == {"client.pem": b"somebody else's"}


@NEEDS_CRYPTOGRAPHY
def test_without_names_what_is_there_is_kept(copy: Path) -> None:
    before = contents(copy)
    done = certs(copy)
    assert done.status == 0
    assert "made nothing: what is needed is there\n" in done.out
    assert re.search(rf"^ok  server.pem: server at 127.0.0.1: until {DATE}", done.out, re.M)
    assert contents(copy) == before


@NEEDS_CRYPTOGRAPHY
def test_force_replaces_what_is_named(copy: Path) -> None:
    before = contents(copy)
    done = certs(copy, "--client", "alice", "--force")
    assert (done.status, done.err) == (0, "")
    after = contents(copy)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"alice.key", "alice.pem", "clients.pem"}
    assert after.keys() == before.keys()
    assert in_clients(copy) == ["bob", "alice"]
    assert before["alice.pem"] not in after["clients.pem"]
    assert after["alice.pem"] in after["clients.pem"]
    assert modes(copy)["alice.key"] == "0o600" or os.name != "posix"
    done = certs(copy, "--host", "::1", "--force")
    assert "each client needs the new server.pem\n" in done.out
    assert contents(copy)["server.pem"] != before["server.pem"]
    assert contents(copy)["clients.pem"] == after["clients.pem"]
    with running_server(
        lambda: Server({"t": Target()}), **config(copy, "server", "clients")
    ) as port:
        assert call(port, **config(copy, "alice", "server")) == 1


@NEEDS_CRYPTOGRAPHY
@POSIX
def test_who_could_read_a_file_can_read_the_new_one(copy: Path) -> None:
    root = os.getuid() == 0
    (copy / "clients.pem").chmod(0o640)
    (copy / "server.key").chmod(0o640)
    for name in ("clients.pem", "server.key", "server.pem"):
        if root:
            os.chown(copy / name, 65534, 65533)
    umask = os.umask(0o077)
    try:
        done = certs(copy, "--host", "::1", "--client", "carol", "--client", "bob", "--force")
    finally:
        os.umask(umask)
    assert done.status == 0
    assert modes(copy) == {
        "alice.key": "0o600",
        "alice.pem": "0o644",
        "bob.key": "0o600",
        "bob.pem": "0o644",  # as the old one
        "carol.key": "0o600",
        "carol.pem": "0o600",  # as the umask says
        "clients.pem": "0o640",
        "server.key": "0o600",  # a key is for its owner, whatever the old one was
        "server.pem": "0o644",
    }
    if root:
        for name in ("clients.pem", "server.key", "server.pem"):
            status = (copy / name).stat()
            assert (status.st_uid, status.st_gid) == (65534, 65533)


@NEEDS_CRYPTOGRAPHY
@POSIX
def test_a_link_to_the_trusted_clients_stays_one(copy: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (copy / "clients.pem").rename(elsewhere / "trusted.pem")
    (copy / "clients.pem").symlink_to("../elsewhere/trusted.pem")
    assert certs(copy, "--client", "carol").status == 0
    assert os.readlink(copy / "clients.pem") == "../elsewhere/trusted.pem"
    assert in_clients(copy) == ["alice", "bob", "carol"]
    assert os.listdir(elsewhere) == ["trusted.pem"]


# One more client, one less.


@NEEDS_CRYPTOGRAPHY
def test_one_more_client_of_the_same_server(copy: Path) -> None:
    before = contents(copy)
    done = certs(copy, "--client", "carol")
    assert done.status == 0
    assert "the server needs the new clients.pem; it uses it from then on" in done.out
    after = contents(copy)
    assert after.keys() - before.keys() == {"carol.key", "carol.pem"}
    assert {name for name in before if after[name] != before[name]} == {"clients.pem"}
    assert in_clients(copy) == ["alice", "bob", "carol"]
    assert after["clients.pem"].startswith(before["clients.pem"])


@NEEDS_CRYPTOGRAPHY
def test_one_more_client_where_the_server_is_not(copy: Path) -> None:
    for name in ("server.pem", "server.key", "alice.key", "bob.key", "alice.pem"):
        (copy / name).unlink()
    assert certs(copy, "--client", "carol").status == 0
    assert not (copy / "server.pem").exists()
    assert in_clients(copy) == ["alice", "bob", "carol"]
    before = contents(copy)
    done = certs(copy, "--client", "alice")  # whose files are elsewhere
    assert done.err == (
        f"sipyco_certs: {copy / 'clients.pem'} has a client `alice` already; "
        "--client alice --force replaces it\n"
    )
    assert contents(copy) == before


@NEEDS_CRYPTOGRAPHY
@pytest.mark.parametrize("arguments", [["--client", "carol"], ["--remove", "bob"]])
def test_two_at_the_same_time_take_turns(
    copy: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows has no lock for directories")
    import fcntl

    from sipyco_tools._certs import directory

    kept_out: list[str] = []

    def somebody_else(step: str) -> None:
        descriptor = os.open(copy, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            kept_out.append(step)
        finally:
            os.close(descriptor)

    read, write_files = directory.read_bundle, directory.write_files

    def reading(path: Path) -> Any:
        if not kept_out:
            somebody_else("before it reads")
        return read(path)

    def writing(files: Any) -> None:
        write_files(files)
        somebody_else("after it has written")

    monkeypatch.setattr(directory, "read_bundle", reading)
    monkeypatch.setattr(directory, "write_files", writing)
    assert certs(copy, *arguments).status == 0
    assert kept_out == ["before it reads", "after it has written"]


@NEEDS_CRYPTOGRAPHY
def test_a_client_that_is_removed_is_refused(copy: Path) -> None:
    before = contents(copy)
    done = certs(copy, "--remove", "bob")
    assert (done.status, done.err) == (0, "")
    assert done.out == (
        f"removed bob from {copy / 'clients.pem'}\n"
        "the server needs the new clients.pem, without a restart; open connections stay so\n"
    )
    after = contents(copy)
    assert in_clients(copy) == ["alice"]
    assert {name for name in before if after[name] != before[name]} == {"clients.pem"}
    how = keywords(copy, "server", "clients")
    with running_server(lambda: Server({"t": Target()}), **how) as port:
        assert call(port, **keywords(copy, "alice", "server")) == 1
        with pytest.raises((ConnectionResetError, EOFError)):
            call(port, **keywords(copy, "bob", "server"))


@NEEDS_CRYPTOGRAPHY
def test_a_server_that_runs_lets_clients_in_and_shuts_them_out(copy: Path) -> None:
    with running_server(
        lambda: Server({"t": Target()}), **keywords(copy, "server", "clients")
    ) as port:
        assert call(port, **keywords(copy, "bob", "server")) == 1
        assert certs(copy, "--client", "carol").status == 0
        assert call(port, **keywords(copy, "carol", "server")) == 1
        assert certs(copy, "--remove", "bob").status == 0
        with pytest.raises((ConnectionResetError, EOFError)):
            call(port, **keywords(copy, "bob", "server"))
        assert call(port, **keywords(copy, "carol", "server")) == 1


@NEEDS_CRYPTOGRAPHY
def test_what_people_write_into_the_file_stays(copy: Path) -> None:
    path = copy / "clients.pem"
    alice, bob = ((copy / f"{name}.pem").read_text() for name in ("alice", "bob"))
    # The end of the last line is missing, and one certificate has no comment.
    path.write_text(f"The laboratory.\n\n{bob}# of Monday\n\n# the best\n{alice}see also".rstrip())
    assert certs(copy, "--remove", "bob").status == 0
    assert path.read_text() == (f"The laboratory.\n\n# of Monday\n\n# the best\n{alice}see also\n")
    assert certs(copy, "--client", "carol").status == 0
    carol = (copy / "carol.pem").read_text()
    assert re.sub(DATE, "DATE", path.read_text()) == (
        f"The laboratory.\n\n# of Monday\n\n# the best\n{alice}see also\n"
        f"# carol, until DATE\n{carol}"
    )
    assert certs(copy, "--remove", "alice").status == 0
    assert re.sub(DATE, "DATE", path.read_text()) == (
        f"The laboratory.\n\n# of Monday\n\nsee also\n# carol, until DATE\n{carol}"
    )


@NEEDS_CRYPTOGRAPHY
def test_removing_nobody_and_the_last(copy: Path) -> None:
    path = copy / "clients.pem"
    done = certs(copy, "--remove", "carol")
    assert done == (
        1,
        "",
        f"sipyco_certs: no client `carol` in {path}; it has: `alice`, `bob`\n",
    )
    assert certs(copy, "--remove", "bob").status == 0
    before = contents(copy)
    done = certs(copy, "--remove", "alice")
    assert done.status == 1
    assert f"`alice` is the last client in {path}, which cannot be empty" in done.err
    assert contents(copy) == before
    done = certs(copy / "nosuch", "--remove", "alice")
    assert done.status == 1
    assert "No such file or directory" in done.err


@NEEDS_CRYPTOGRAPHY
def test_a_file_that_cannot_be_read_is_not_changed(copy: Path) -> None:
    path = copy / "clients.pem"
    text = path.read_text().replace("MII", "mii", 1)
    path.write_text(text)
    before = contents(copy)
    for arguments in (["--client", "carol"], ["--remove", "bob"]):
        done = certs(copy, *arguments)
        assert done.status == 1
        assert done.err.startswith(f"sipyco_certs: certificate 1 in {path} cannot be read: ")
    assert contents(copy) == before
    assert f"BAD certificate 1 in {path} cannot be read: " in certs(copy, "--check").out


# Failures.


class FullDisk:
    """A disk without room for one file more, from some moment on."""

    def __init__(self, after: int, patch: pytest.MonkeyPatch) -> None:
        self._left = after
        self._fsync = os.fsync
        patch.setattr(os, "fsync", self._limited)

    def _limited(self, descriptor: int) -> None:
        self._left -= 1
        if self._left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._fsync(descriptor)


NEW = ["server.key", "server.pem", "client.key", "client.pem", "clients.pem"]


@NEEDS_CRYPTOGRAPHY
@pytest.mark.parametrize("number", range(len(NEW)), ids=NEW)
def test_a_disk_that_is_full_leaves_nothing_half(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "certs"
    with monkeypatch.context() as patch:
        FullDisk(number, patch)
        done = certs(directory)
    assert done == (
        1,
        "",
        f"sipyco_certs: [Errno 28] No space left on device: {str(directory / NEW[number])!r}\n",
    )
    assert not directory.exists()


@NEEDS_CRYPTOGRAPHY
@pytest.mark.parametrize("number", range(5))
def test_a_disk_that_is_full_keeps_what_was_there(
    number: int, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(copy)
    with monkeypatch.context() as patch:
        FullDisk(number, patch)
        done = certs(copy, "--client", "alice", "--client", "carol", "--force")
    assert done.status == 1
    assert "No space left on device" in done.err
    assert contents(copy) == before


@NEEDS_CRYPTOGRAPHY
def test_a_directory_in_the_way_is_found_before_anything_changes(copy: Path) -> None:
    (copy / "server.pem").unlink()
    (copy / "server.pem").mkdir()
    key = (copy / "server.key").read_bytes()
    done = certs(copy, "--host", "127.0.0.1", "--force")
    assert done.status == 1
    assert "Is a directory" in done.err
    assert (copy / "server.key").read_bytes() == key
    assert not list(copy.glob(".*"))


@NEEDS_CRYPTOGRAPHY
@pytest.mark.parametrize("arguments", [["--remove", "alice"], ["--client", "carol"], ["--check"]])
def test_a_certificate_that_would_be_overlooked_is_told_of(
    copy: Path, arguments: list[str]
) -> None:
    path = copy / "clients.pem"
    path.write_text(path.read_text().replace(" CERTIFICATE", " X509 CERTIFICATE", 2))
    before = contents(copy)
    done = certs(copy, *arguments)
    assert done.status == 1
    assert "in the form `X509 CERTIFICATE`" in done.out + done.err
    assert contents(copy) == before


def refuses(*args: Any, **kwargs: Any) -> Any:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


@NEEDS_CRYPTOGRAPHY
@pytest.mark.parametrize("number", range(2))
def test_a_rename_that_fails_leaves_no_temporary_file(
    number: int, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(contents(copy))
    replace, left = os.replace, number
    with monkeypatch.context() as patch:

        def some(source: Any, target: Any) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                refuses()
            replace(source, target)

        patch.setattr(os, "replace", some)
        done = certs(copy, "--client", "alice", "--force")
    assert done.status == 1
    assert "Operation not permitted" in done.err
    assert sorted(contents(copy)) == before


@NEEDS_CRYPTOGRAPHY
@POSIX
@pytest.mark.parametrize("step", ["open", "fsync"])
def test_a_directory_that_cannot_be_flushed_is_written_to(
    step: str, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = getattr(os, step)

    def of_files_only(what: Any, *args: Any, **kwargs: Any) -> Any:
        # The command locks the directory, with another flag.
        if os.path.isdir(what) and not (step == "open" and args[0] & os.O_DIRECTORY):
            refuses()
        return original(what, *args, **kwargs)

    monkeypatch.setattr(os, step, of_files_only)
    assert certs(copy, "--client", "carol").status == 0
    assert in_clients(copy) == ["alice", "bob", "carol"]


@NEEDS_CRYPTOGRAPHY
@POSIX
def test_who_may_not_give_files_away_keeps_the_new_ones(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can make a file of somebody else's")
    os.chown(copy / "clients.pem", 65534, 65533)
    monkeypatch.setattr(os, "fchown", refuses)
    assert certs(copy, "--client", "carol").status == 0
    assert (copy / "clients.pem").stat().st_uid == 0
    assert in_clients(copy) == ["alice", "bob", "carol"]


KILLED_WHEN_IT_RENAMES = """
import os, signal, sys
from sipyco_tools import sipyco_certs

os.replace = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
sipyco_certs.main()
"""


@NEEDS_CRYPTOGRAPHY
@POSIX
def test_a_kill_keeps_the_trusted_clients(copy: Path) -> None:
    before = contents(copy)
    command = [sys.executable, "-c", KILLED_WHEN_IT_RENAMES, str(copy), "--client", "carol"]
    killed = subprocess.run(command, timeout=DEADLINE, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    after = contents(copy)
    assert {name: after[name] for name in before} == before
    done = certs(copy, "--client", "carol", "--force")
    assert done.status == 0
    assert in_clients(copy) == ["alice", "bob", "carol"]


@NEEDS_CRYPTOGRAPHY
def test_a_directory_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    done = certs(path)
    assert (done.status, done.out) == (1, "")
    assert str(path) in done.err
    assert path.read_text() == ""


# Until when.


@NEEDS_CRYPTOGRAPHY
def test_what_expires_soon_fails_the_check(tmp_path: Path) -> None:
    directory = tmp_path / "certs"
    assert certs(directory, "--days", 60).status == 0
    assert certs(directory, "--client", "guest", "--days", 20).status == 0
    done = certs(directory, "--check")
    assert done.status == 1
    assert re.sub(DATE, "DATE", done.out).splitlines() == [
        "ok  client.pem: client: until DATE, 59 days",
        "ok  clients.pem: client: until DATE, 59 days",
        "BAD clients.pem: guest: until DATE, 19 days",
        "BAD guest.pem: guest: until DATE, 19 days",
        "ok  server.pem: server at 127.0.0.1: until DATE, 59 days, for 127.0.0.1, ::1, localhost",
    ]
    assert certs(directory, "--check", "--days", 19).status == 0
    assert certs(directory, "--check", "--days", 60).out.count("BAD") == 5


@NEEDS_CRYPTOGRAPHY
def test_expired_and_future_certificates_are_told_apart(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import UTC, datetime

    from sipyco_tools._certs import directory

    class Clock(datetime):
        year_now = 2000

        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime(cls.year_now, 1, 1, tzinfo=UTC)

    monkeypatch.setattr(directory, "datetime", Clock)
    done = certs(made, "--check")
    assert done.status == 1
    assert re.search(rf"^BAD alice.pem: alice: not valid before {DATE}$", done.out, re.M)
    Clock.year_now = 2999
    assert re.search(
        rf"^BAD alice.pem: alice: expired on {DATE}$", certs(made, "--check").out, re.M
    )


@NEEDS_CRYPTOGRAPHY
@POSIX
def test_the_check_looks_at_the_keys(copy: Path) -> None:
    assert certs(copy, "--check").status == 0
    (copy / "alice.key").chmod(0o640)
    shutil.copy(copy / "server.key", copy / "bob.key")
    (copy / "server.key").write_text("none")
    done = certs(copy, "--check")
    assert done.status == 1
    bad = [line for line in done.out.splitlines() if line.startswith("BAD")]
    assert bad[:2] == [
        f"BAD alice.key: others can read it; chmod 600 {copy / 'alice.key'}",
        "BAD bob.key: it does not belong to bob.pem",
    ]
    assert bad[2].startswith("BAD server.key: it cannot be read: ")
    assert len(bad) == 3


@NEEDS_CRYPTOGRAPHY
@POSIX
def test_the_check_looks_at_what_files_hold_and_not_at_their_names_only(copy: Path) -> None:
    both = (copy / "alice.pem").read_bytes() + (copy / "alice.key").read_bytes()
    (copy / "both.pem").write_bytes(both)
    (copy / "both.pem").chmod(0o644)
    shutil.copy(copy / "alice.key", copy / "private.pem")  # with its mode
    (copy / "clients.pem").write_text("# nobody\n")
    done = certs(copy, "--check")
    assert done.status == 1
    assert [line for line in done.out.splitlines() if line.startswith("BAD")] == [
        f"BAD both.pem: others can read it; chmod 600 {copy / 'both.pem'}",
        "BAD clients.pem: there is no certificate in it",
    ]
    assert "ok  both.pem: alice: " in done.out


@NEEDS_CRYPTOGRAPHY
def test_nothing_to_check(tmp_path: Path) -> None:
    assert certs(tmp_path, "--check") == (
        1,
        "",
        f"sipyco_certs: no certificates in {tmp_path}\n",
    )


@NEEDS_CRYPTOGRAPHY
def test_certificates_of_openssl_are_checked_too(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    command += " -keyout server.key -out server.pem -subj / -days 90"
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    done = certs(tmp_path, "--check")
    assert re.sub(DATE, "DATE", done.out).splitlines()[0] == (
        "ok  server.pem: no name: until DATE, 89 days"
    )


# The command line.


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the following arguments are required: DIRECTORY"),
        ([""], "expected a directory, got an empty name"),
        (["d", "--host", "192.168.1.300"], "expected an address or a host name"),
        (["d", "--host", "my lab"], "expected an address or a host name"),
        (["d", "--host", "fe80::1%eth0"], "expected an address without a zone"),
        (["d", "--client", "../alice"], "expected a name of at most 64 letters"),
        (["d", "--client", "-alice"], "expected"),
        (["d", "--client", "Server"], "expected another name than 'Server', a file has it"),
        (["d", "--client", "clients"], "expected another name than 'clients', a file has it"),
        (["d", "--client", "a", "--client", "A"], "each --client needs a name of its own"),
        (["d", "--days", "0"], "expected 1 to 36500 days, got '0'"),
        (["d", "--days", "ten"], "expected 1 to 36500 days, got 'ten'"),
        (["d", "--force"], "--force replaces what you name: give --host or --client"),
        (["d", "--check", "--client", "a"], "--check goes with --days only"),
        (["d", "--remove", "a", "--days", "1"], "--remove goes with no other option"),
        (["d", "--remove", "a", "--check"], "not allowed with argument"),
    ],
)
def test_a_wrong_command_line(arguments: list[str], said: str, tmp_path: Path) -> None:
    with contextlib.chdir(tmp_path):
        done = certs(*arguments)
    assert (done.status, done.out) == (2, "")
    assert said in done.err
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("192.168.1.100", "192.168.1.100"),
        ("[2001:DB8:0::1]", "2001:db8::1"),
        ("MyLab", "mylab"),
        ("*.lab.example", "*.lab.example"),
        ("3com.example", "3com.example"),
        ("xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
    ],
)
def test_hosts(text: str, host: str) -> None:
    assert sipyco_certs.get_argparser().parse_args(["d", "--host", text]).host == [host]


BLOCKED = """
import sys
sys.modules["cryptography"] = None
from sipyco_tools import sipyco_certs
sipyco_certs.main()
"""


@pytest.mark.parametrize("arguments", [[], ["--check"], ["--remove", "alice"]])
def test_without_cryptography_it_says_what_to_install(
    arguments: list[str], tmp_path: Path
) -> None:
    command = [sys.executable, "-c", BLOCKED, str(tmp_path / "certs"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        "",
        "sipyco_certs: it needs the library cryptography: pip install 'sipyco-tools[certs]'\n",
    )
    assert os.listdir(tmp_path) == []


def test_help_needs_nothing() -> None:
    command = [sys.executable, "-c", BLOCKED, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 0
    assert "sipyco_certs certs --client carol" in done.stdout
