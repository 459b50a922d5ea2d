"""What a client does whose process has no descriptor left: it goes on with its connection."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sipyco_rpc.pc_rpc import Server
from support.peers import DEADLINE, HOST, running_server

pytest.importorskip("resource", reason="this system has no such limits")

PROGRAM = """
import os, resource, sys
from sipyco_rpc.pc_rpc import Client

host, port, kind = sys.argv[1:]
if kind == "arrays":
    import numpy

client = Client(host, int(port))
loaded = set(sys.modules)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
taken = []
try:
    while True:
        taken.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    pass

if kind == "large":
    # More than the system takes at once, to a server that sends as much back meanwhile.
    forgotten = client.numbers(10**9)
    next(forgotten)
    data = bytes(30_000_000)
    for _ in range(3):
        assert client.echo(data) == data
elif kind == "generator":
    assert list(client.numbers(100)) == list(range(100))
elif kind == "error":
    try:
        client.fail()
    except KeyError as exc:
        assert str(exc) == "'k'", exc
elif kind == "arrays":
    assert (client.echo(numpy.arange(100_000)) == numpy.arange(100_000)).all()
assert client.echo("still there") == "still there"
for descriptor in taken:
    os.close(descriptor)
client.close_rpc()
print("ok", sorted(name for name in set(sys.modules) - loaded if "sipyco" in name))
"""


class Target:
    def echo(self, value: object) -> object:
        return value

    def numbers(self, count: int) -> object:
        yield from range(count)

    def fail(self) -> None:
        raise KeyError("k")


@pytest.mark.parametrize("kind", ["large", "generator", "error", "arrays"])
@pytest.mark.parametrize("frames", [True, False], ids=["frames", "lines"])
def test_a_client_goes_on_without_a_descriptor(kind: str, frames: bool) -> None:
    if not frames and kind in ("generator", "large"):
        pytest.skip("generators need frames")
    if kind == "arrays":
        pytest.importorskip("numpy")
    with running_server(lambda: Server({"t": Target()}, frames=frames)) as port:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, HOST, str(port), kind],
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
    assert (done.stderr, done.stdout, done.returncode) == ("", "ok []\n", 0)
