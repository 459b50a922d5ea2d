"""Code of a client runs in the server, in a namespace for each connection."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sipyco_rpc.net.tls import SimpleSSLConfig
from sipyco_rpc.pc_rpc import Client, Server
from sipyco_sync.remote_exec import (
    RemoteExecServer,
    connect_global_rpc,
    simple_rexec_server_loop,
)
from support.certificates import paths_of
from support.peers import DEADLINE, HOST, rpc_server, until
from support.programs import free_port


class Camera:
    def __init__(self) -> None:
        self.value = 3

    def read(self) -> int:
        return self.value


@contextmanager
def served(camera: Camera) -> Iterator[int]:
    """Serve as `simple_rexec_server_loop` does, in a thread."""
    namespace: dict[str, Any] = {"controller_driver": camera}
    namespace["controller_initial_namespace"] = namespace
    targets = {"camera": camera, "camera_rexec": lambda: RemoteExecServer(namespace)}
    with rpc_server(targets) as port:
        yield port


def test_a_namespace_of_its_own() -> None:
    initial = {"x": 1}
    one, two = RemoteExecServer(initial), RemoteExecServer(initial)
    one.add_code("x = 2\ndef f(a, *, b=0): return [a, b, x, __name__]")
    assert one.call("f", 5, b=6) == [5, 6, 2, "sipyco.remote_exec"]
    assert one.namespace["x"] == 2
    assert (two.namespace["x"], initial) == (1, {"x": 1})
    with pytest.raises(KeyError, match="f"):
        two.call("f")


def test_arguments_of_any_name_are_passed_to_the_function() -> None:
    with served(Camera()) as port, Client(HOST, port, "camera_rexec") as rexec:
        rexec.add_code("def f(*args, **names): return args, names")
        names = {"self": 1, "function": 2, "args": 3, "kwargs": 4, "name": 5}
        assert rexec.call("f", 0, **names) == ((0,), names)
        assert rexec.call(function="f", self=1) == ((), {"self": 1})
        with pytest.raises(TypeError, match="the name of a function"):
            rexec.call(self=1)
        argspec = rexec.get_rpc_method_list()["methods"]["call"][0]
        assert (argspec["args"], argspec["varargs"], argspec["varkw"], argspec["defaults"]) == (
            ["self", "function"],
            "args",
            "kwargs",
            None,
        )


def test_classes_find_the_module_that_they_name() -> None:
    server = RemoteExecServer({})
    server.add_code(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from typing import ClassVar\n"
        "@dataclass\n"
        "class Point:\n"
        "    x: int\n"
        "    origin: ClassVar[int] = 0\n"
        "def make(x): return Point(x).x\n"
    )
    assert server.call("make", 4) == 4
    code = (
        "from sipyco_sync.remote_exec import RemoteExecServer; import sys;"
        "print(RemoteExecServer({}).namespace['__name__'] in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_code_uses_the_driver_near_the_data() -> None:
    camera = Camera()
    with served(camera) as port:
        with Client(HOST, port, "camera_rexec") as rexec:
            rexec.add_code(
                "def mean(count):\n"
                "    return sum(controller_driver.read() for _ in range(count)) / count\n"
                "async def later():\n"
                "    return 'awaited'\n"
            )
            assert rexec.call("mean", 4) == 3.0
            assert rexec.call("later") == "awaited"
            with pytest.raises(KeyError, match="nosuch"):
                rexec.call("nosuch")
            with pytest.raises(SyntaxError, match=r"invalid syntax \(<string>, line 1\)"):
                rexec.add_code("syntax error")
            rexec.add_code("def fail(): raise ZeroDivisionError('over there')")
            with pytest.raises(ZeroDivisionError, match="over there"):
                rexec.call("fail")
            with Client(HOST, port, "camera_rexec") as other:
                with pytest.raises(KeyError, match="mean"):
                    other.call("mean", 4)
                other.add_code("controller_initial_namespace['shared'] = 7")
            with Client(HOST, port, "camera_rexec") as new:
                new.add_code("def get(): return shared")
                assert new.call("get") == 7


class Database:
    def get(self, key: str) -> str:
        return f"value of {key}"


def test_one_client_of_another_server_for_all_connections() -> None:
    made: list[int] = []

    def connection() -> Database:
        made.append(1)
        return Database()

    with rpc_server({"master_dataset_db": connection}) as database, served(Camera()) as port:
        for _ in range(2):
            with Client(HOST, port, "camera_rexec") as rexec:
                connect_global_rpc(rexec, port=database)
                connect_global_rpc(rexec, port=database)
                rexec.add_code("def ask(key): return dataset_db.get(key)")
                assert rexec.call("ask", "k") == "value of k"
        assert made == [1]
        with Client(HOST, port, "camera_rexec") as rexec:
            with pytest.raises(ValueError, match="name of a variable, got 'a b'"):
                connect_global_rpc(rexec, name="a b")
            with pytest.raises(ConnectionRefusedError):
                connect_global_rpc(rexec, HOST, 1, name="other")
            rexec.add_code(
                "def close():\n"
                "    controller_initial_namespace.pop('dataset_db').close_rpc()\n"
                "def names(): return sorted(n for n in globals() if 'connect' in n)\n"
            )
            assert rexec.call("names") == []
            rexec.call("close")


def test_what_is_sent_is_plain_python_with_quoted_values() -> None:
    sent: list[str] = []

    class Recorder:
        def add_code(self, code: str) -> None:
            sent.append(code)

        def get_local_host(self) -> str:
            return "::1"

    connect_global_rpc(Recorder())
    assert "_connect_global_rpc('::1', 3251, 'master_dataset_db', 'dataset_db')" in sent[0]
    assert sent[0].index("from sipyco.pc_rpc") < sent[0].index("from sipyco_rpc.pc_rpc")
    connect_global_rpc(Recorder(), "it's", target="'\\", name="x")
    compile(sent[1], "<string>", "exec")


PROGRAM = """
import sys
from sipyco_sync.remote_exec import simple_rexec_server_loop

class Camera:
    def read(self):
        return 3

host, port, *files = sys.argv[1:]
tls = dict(zip(("local_cert", "local_key", "peer_cert"), files))
simple_rexec_server_loop("camera", Camera(), host, int(port), "a camera", **tls)
"""


@pytest.mark.parametrize("tls", [False, True])
def test_the_loop_serves_driver_and_code(tls: bool) -> None:
    port = free_port()
    files: tuple[str, ...] = ()
    config: SimpleSSLConfig | None = None
    if tls:
        files = tuple(paths_of("server", "client").values())
        config = SimpleSSLConfig(**paths_of("client", "server"))
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, HOST, str(port), *files])
    try:
        clients: list[Client] = []

        def answers() -> bool:
            assert process.poll() is None
            try:
                clients.append(Client(HOST, port, "camera_rexec", DEADLINE, config))
            except ConnectionRefusedError:
                return False
            return True

        until(answers)
        with clients[0] as rexec:
            assert rexec.get_rpc_id() == (["camera", "camera_rexec"], "a camera")
            rexec.add_code("def f(): return controller_driver.read()")
            assert rexec.call("f") == 3
        with Client(HOST, port, "camera", DEADLINE, config) as camera:
            assert camera.read() == 3
            camera.terminate()
        assert process.wait(DEADLINE) == 0
    finally:
        process.kill()
        process.wait()


def test_the_loop_passes_its_options_on(tmp_path: Path) -> None:
    file = tmp_path / "port"

    def ready(server: Server) -> None:
        raise LookupError(file.read_text(), server.bound_port())

    with pytest.raises(LookupError) as raised:
        simple_rexec_server_loop("camera", object(), HOST, 0, ready=ready, port_file=file)
    text, port = raised.value.args
    assert text == f"{port}\n"
    with pytest.raises(TypeError, match="'colour'"):
        simple_rexec_server_loop("camera", object(), HOST, 0, colour=3)  # type: ignore[call-arg]
