"""What a whole program logs, sent to a log server by one call. Loggers, and no sockets, here."""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
from types import FrameType
from typing import Any, Final

from sipyco_rpc.net.tls import SimpleSSLConfig
from sipyco_rpc.support.notices import say
from sipyco_rpc.support.validation import checked_port
from sipyco_tools._cli.arguments import LOG_PORT
from sipyco_tools._logging.forwarder import LogForwarder, only_forwarders_listen
from sipyco_tools._logging.records import SourceFilter
from sipyco_tools._logging.text import safe_name

_CONFIGURE: Final = {("logging", "basicConfig"), ("logging.config", "_clearExistingHandlers")}
_UNSENT: Final = "call forward_logs after that; log messages are no longer sent to"
_DEPTH: Final = 5  # frames: here, `close`, and who has called that


def forward_logs(
    host: str,
    port: int = LOG_PORT,
    *,
    level: int = logging.INFO,
    name: str | None = None,
    ssl_config: SimpleSSLConfig | None = None,
    local_cert: str | None = None,
    local_key: str | None = None,
    peer_cert: str | None = None,
) -> LogForwarder:
    """Send what this program logs to a log server, from now on until the program ends.

        logging.basicConfig()  # what is to be on the terminal, first
        forward_logs("192.168.1.10")

    It takes one call, anywhere in the program, with an event loop or without: a thread sends. The
    program never waits for it, and goes on if there is no server. What waits at the end of the
    program is sent within a second or two; what could not be is said. In a child that is forked it
    goes on, with a connection of its own, from the first message on.

    What went to the terminal or a file so far is what goes there now: where the level of the root
    logger is higher than `level`, it is lowered, and the handlers that it has leave out what they
    would not have got.

    A second call with the same host and port changes `level` and `name`.

    Args:
        host: name or address of the log server.
        port: its TCP port.
        level: the least level to send. Records that this program has from others are all sent.
        name: what the log is to call this program; by default, the name of its file.
        ssl_config: for TLS; as for `LogForwarder`, and so the following.
        local_cert: path of our certificate.
        local_key: path of its private key.
        peer_cert: path of the certificates to trust.

    Returns:
        What sends: its `status` tells how it fares, `close` or `await stop()` ends it earlier.

    Raises:
        ValueError: an argument makes no sense, or TLS was asked for twice.
        OSError: a certificate cannot be used.
    """
    port = checked_port(port)
    for forwarder in _program_forwarders():
        if (forwarder.host, forwarder.port) == (host, port):
            forwarder.mark(level, name)
            break
    else:
        forwarder = _ProgramForwarder(
            host,
            port,
            ssl_config=ssl_config,
            local_cert=local_cert,
            local_key=local_key,
            peer_cert=peer_cert,
        )
        forwarder.mark(level, name)
        forwarder.start()
        logging.getLogger().addHandler(forwarder)
    former, lowered = _lowered
    set_levels(former if logging.getLogger().level == lowered else logging.getLogger().level)
    return forwarder


class _ProgramForwarder(LogForwarder):
    """Sends from a thread of its own, and goes on in each child that is forked."""

    local_level: int

    def mark(self, level: int, name: str | None) -> None:
        """Set the least level to send, and the source of this program's records."""
        if name is not None:
            self._source = safe_name(name)
        self.local_level = level
        self.filters[:] = [SourceFilter(level, self._source)]

    def start(self, *, loop: asyncio.AbstractEventLoop | None = None) -> None:
        if loop is None:
            # A loop of the program may be held up by it, and ends before the last messages.
            self._start_thread()
        else:
            super().start(loop=loop)

    def handle(self, record: logging.LogRecord) -> Any:
        passed = super().handle(record)
        last = logging.lastResort
        if (
            last is not None
            and record.levelno >= last.level
            and not self._is_own(record)
            and self in _program_forwarders()[:1]
            and only_forwarders_listen(record.name)
        ):
            last.handle(record)  # as it would have been without this handler
        return passed

    def close(self) -> None:
        if self in logging.getLogger().handlers or self._thread is not None:
            if _is_configured_anew():
                say(f"logging was configured anew: {_UNSENT} {self._where}", sys.stderr)
            self._leave_root()
        super().close()

    async def stop(self) -> None:
        self._leave_root()
        await super().stop()

    def _leave_root(self) -> None:
        root, (former, lowered) = logging.getLogger(), _lowered
        root.removeHandler(self)
        if root.level == lowered:
            set_levels(former)

    def _in_child(self, reason: str) -> None:
        try:
            self._start_thread()
        except RuntimeError:  # no thread can be started any more
            super()._in_child(reason)


def _is_configured_anew() -> bool:
    """Tell whether `dictConfig`, `fileConfig` or `basicConfig(force=True)` closes a handler.

    They do it as the end of a program does, and tell nobody.
    """
    frame: FrameType | None = inspect.currentframe()
    for _ in range(_DEPTH):
        if frame is None:
            break
        if (frame.f_globals.get("__name__"), frame.f_code.co_name) in _CONFIGURE:
            return True
        frame = frame.f_back
    return False


def _program_forwarders() -> list[_ProgramForwarder]:
    handlers = logging.getLogger().handlers
    return [handler for handler in handlers if isinstance(handler, _ProgramForwarder)]


class _FormerLevel(logging.Filter):
    """Has a handler of the root logger write what it wrote before that had a lower level."""

    def __init__(self, level: int) -> None:
        super().__init__()
        self.level = level

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= self.level or _has_own_level(record.name)


def _has_own_level(name: str) -> bool:
    """Tell whether a logger has a level that is not the root's."""
    known = logging.Logger.manager.loggerDict
    while name:
        logger = known.get(name)
        if isinstance(logger, logging.Logger) and logger.level:
            return True
        name = name.rpartition(".")[0]
    return False


_lowered = (-1, -1)  # the level that the root logger had, and that which it got here


def set_levels(former: int) -> None:
    """Have the root logger let pass what is to be sent; its other handlers get what they got.

    Args:
        former: the level of the root logger for those.
    """
    global _lowered
    root = logging.getLogger()
    root.setLevel(min([former, *(each.local_level for each in _program_forwarders())]))
    _lowered = former, root.level
    for handler in root.handlers:
        if isinstance(handler, LogForwarder):
            continue
        for before in [each for each in handler.filters if isinstance(each, _FormerLevel)]:
            handler.removeFilter(before)
        if root.level < former:
            handler.addFilter(_FormerLevel(former))
