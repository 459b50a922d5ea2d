"""Remote execution: code of a client runs in the server. No protection against that code.

Whoever can connect can do whatever the server's user can: listen on localhost, or use TLS.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from sipyco_rpc.net.tls import SimpleSSLConfig
from sipyco_rpc.pc_rpc import simple_server_loop
from sipyco_rpc.support.validation import check_host, checked_port

if TYPE_CHECKING:
    from typing import Unpack

    from sipyco_rpc.pc_rpc import ServerLoopOptions

__all__ = ["RemoteExecServer", "connect_global_rpc", "simple_rexec_server_loop"]

_MODULE: Final = "sipyco.remote_exec"  # where code of clients believes to be

# Classes that code of clients defines name their module, and `dataclasses` and `pickle` look it
# up: it has to be there without the meta-package, too.
sys.modules.setdefault(_MODULE, sys.modules[__name__])


class _RemoteExecClient(Protocol):
    def add_code(self, code: str, /) -> Any: ...

    def get_local_host(self) -> str: ...


def _call(self: RemoteExecServer, function: str, *args: Any, **kwargs: Any) -> Any: ...


_SIGNATURE: Final = inspect.signature(_call)  # what listings say of `RemoteExecServer.call`


class RemoteExecServer:
    """RPC target that runs code of its client, in a namespace of its own.

    A server makes one for each connection; see `simple_rexec_server_loop`.

    Args:
        initial_namespace: names that are there from the start; the dictionary is copied.

    Attributes:
        namespace: the names of the code.
    """

    def __init__(self, initial_namespace: Mapping[str, Any]) -> None:
        self.namespace: dict[str, Any] = {**initial_namespace, "__name__": _MODULE}

    def add_code(self, code: str) -> None:
        """Execute code in the namespace.

        :param code: statements, usually definitions of functions
        """
        exec(code, self.namespace)  # noqa: S102  (what this is for)

    def call(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call a function of the namespace, and return its value.

        A coroutine function is awaited.

        :param function: the name of the function; the other arguments are passed on to it
        """
        # Its name is no parameter: the function's own may have one that is called the same.
        if not args and "function" not in kwargs:
            raise TypeError("`call` needs the name of a function")
        name, args = (args[0], args[1:]) if args else (kwargs.pop("function"), ())
        return self.namespace[name](*args, **kwargs)

    call.__signature__ = _SIGNATURE  # type: ignore[attr-defined]


def simple_rexec_server_loop(
    target_name: str,
    target: Any,
    host: str | list[str] | None,
    port: int,
    description: str | None = None,
    allow_parallel: bool = False,
    ssl_config: SimpleSSLConfig | None = None,
    **options: Unpack[ServerLoopOptions],
) -> None:
    """Serve a target, and code of clients that uses it, until Ctrl-C or a `terminate()`.

    Code is taken by a second target, `target_name` with `_rexec` behind it: a `RemoteExecServer`
    for each connection. Its namespace has `controller_driver`, which is the target, and
    `controller_initial_namespace`, the dictionary that namespaces of new connections are copied
    from.

    Whoever can connect can do whatever the server's user can: listen on localhost, or use TLS.
    After the name and the object of the target, what it takes and raises is as of
    `simple_server_loop`.
    """
    initial_namespace: dict[str, Any] = {"controller_driver": target}
    initial_namespace["controller_initial_namespace"] = initial_namespace
    simple_server_loop(
        {target_name: target, f"{target_name}_rexec": lambda: RemoteExecServer(initial_namespace)},
        host,
        port,
        description,
        allow_parallel,
        ssl_config,
        **options,
    )


# It runs in the server, which may be of another origin and version.
_CONNECT: Final = """\
def _connect_global_rpc(host, port, target, name):
    if name not in controller_initial_namespace:
        import atexit
        try:
            from sipyco.pc_rpc import Client
        except ImportError:
            from sipyco_rpc.pc_rpc import Client
        client = Client(host, port, target)
        atexit.register(client.close_rpc)
        controller_initial_namespace[name] = client
    globals()[name] = controller_initial_namespace[name]

try:
    _connect_global_rpc({host!r}, {port!r}, {target!r}, {name!r})
finally:
    del _connect_global_rpc
"""


def connect_global_rpc(
    controller_rexec: _RemoteExecClient,
    host: str | None = None,
    port: int = 3251,
    target: str = "master_dataset_db",
    name: str = "dataset_db",
) -> None:
    """Make a client inside a server, for code that runs there.

    It is made once for the whole server, whoever asks, and closed when the server's process ends.

        with Client("::1", 3255, "camera_rexec") as camera:
            connect_global_rpc(camera)
            camera.add_code("def store(): dataset_db.set('mean', controller_driver.mean())")

    Args:
        controller_rexec: client of the server's `RemoteExecServer`.
        host: of the other server; by default this computer, as the first server sees it.
        port: TCP port of the other server.
        target: name of its target.
        name: the client's name in the namespaces.

    Raises:
        ValueError: the name is no name of a variable, or host or port cannot be one.
        OSError, …: what connecting raises over there.
    """
    if not name.isidentifier():
        raise ValueError(f"expected the name of a variable, got {name!r}")
    check_host(host)
    port = checked_port(port)
    if host is None:
        host = controller_rexec.get_local_host()
    controller_rexec.add_code(_CONNECT.format(host=host, port=port, target=target, name=name))
