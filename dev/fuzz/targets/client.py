"""The blocking client's whole input: a server that says anything."""

from __future__ import annotations

import itertools
import socket
from typing import Any, Final
from unittest import mock

from dev.fuzz.memory import reads
from dev.fuzz.servers import check_error
from sipyco_rpc._client.blocking import connection
from sipyco_rpc.pc_rpc import AutoTarget, Client

__all__ = ["one_input"]

_LIMITS: Final = (2**27, 300)  # bytes of a reply
_ENDS: Final = (b"", ConnectionResetError(104, "reset"), TimeoutError("timed out"))
_MOST_READS: Final = 2000  # of a connection that is at its end: no client waits for ever
_MOST_ERRORS: Final = 9  # after which it is at its end
_MOST_ITEMS: Final = 30


class _Socket(socket.socket):
    """A socket that has said before what it will receive."""

    def __init__(self, said: list[bytes], end: bytes | Exception) -> None:
        super().__init__()
        self._said = said
        self._end = end
        self._idle = 0

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        if self._said:
            part = self._said.pop(0)
            size = min(len(part), len(buffer))
            assert size, "there is no room for what comes"
            buffer[:size] = part[:size]
            if size < len(part):
                self._said.insert(0, part[size:])
            return size
        self._idle += 1
        assert self._idle < _MOST_READS, "the client reads for ever"
        if isinstance(self._end, Exception) and self._idle < _MOST_ERRORS:
            raise type(self._end)(*self._end.args)
        return 0

    def send(self, data: Any, flags: int = 0) -> int:
        return len(data)

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        return b""

    def getsockname(self) -> Any:
        return ("memory", 1)


def one_input(data: bytes) -> None:
    """Connect, and do what a program does. The first byte has the options."""
    if not data:
        return
    options, said = data[0], reads(data[1:])
    sock = _Socket(said, _ENDS[(options >> 1 & 3) % len(_ENDS)])
    try:
        with mock.patch.object(connection, "connect", return_value=sock):
            target = None if options & 8 else AutoTarget
            client = Client("memory", 1, target, max_line=_LIMITS[options & 1])
    except Exception as exc:  # noqa: BLE001
        check_error(exc)
        assert sock.fileno() == -1, "the socket is left open"
        return
    try:
        _use(client, options)
    finally:
        client.close_rpc()
        client.close_rpc()
    assert sock.fileno() == -1, "the socket is left open"
    try:
        client.get_rpc_method_list()
    except Exception as exc:  # noqa: BLE001
        check_error(exc)
    else:
        raise AssertionError("a client that was closed has been answered")


def _use(client: Any, options: int) -> None:
    client.get_rpc_id()
    repr(client)
    if client.get_selected_target() is None:
        try:
            client.select_rpc_target("thing")
        except Exception as exc:  # noqa: BLE001
            check_error(exc)
    names = sorted(client._Client__valid_methods - set(dir(Client)))
    names = [name for name in names if not name.startswith("_")]
    for index, name in enumerate(itertools.islice(itertools.cycle(names), 8)):
        try:
            if options & 16 and index == 2:
                client.get_rpc_method_list()
            value = getattr(client, name)(index)
            if type(value).__name__ == "RemoteIterator":
                with value:
                    list(itertools.islice(value, _MOST_ITEMS if options & 32 else 2))
        except Exception as exc:  # noqa: BLE001
            check_error(exc)
